"""Names to families, and what a wrong name is told."""

import subprocess
import sys

import pytest

from innerloop.tasks import Bandit, TabularMDP
from innerloop.tasks.names import examples, family, names


@pytest.mark.parametrize("name", [*examples(), "bandit-k50-n500", "tabular-mdp-n100", "dark-room-n20"])
def test_a_name_is_its_familys_name(name):
    assert family(name).name == name


def test_numbers_fill_the_fields():
    assert family("bandit-k3-n7") == Bandit(k=3, n=7)
    assert family("tabular-mdp-n25") == TabularMDP(n=25)
    assert family("dark-room-n20") == family("dark-room", n=20) != family("dark-room") == family("dark-room-n10")
    assert family("grid-navi", which="test") == family("grid-navi").split("test")


def test_every_name_has_an_example():
    assert len(names()) == len(examples()) == len(set(names()))
    assert {"bandit-k{K}-n{N}", "tabular-mdp-n{N}", "half-cheetah-dir"} <= set(names())


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("bandit-5-10", "bandit-k5-n10"),
        ("bandit-k0-n10", "bandit-k5-n10"),
        ("bandit-k5-n10x", "bandit-k5-n10"),
        ("point_goal", "point-goal"),
        ("gridnavi", "grid-navi"),
        ("half-cheeta-dir", "half-cheetah-dir"),
    ],
)
def test_a_wrong_name_is_told_the_nearest(wrong, near):
    with pytest.raises(ValueError) as caught:
        family(wrong)
    assert repr(wrong) in str(caught.value) and f"Did you mean {near!r}?" in str(caught.value)
    assert all(name in str(caught.value) for name in names())


def test_a_wrong_field_is_told_the_accepted_ones():
    with pytest.raises(ValueError, match="no free field 'wich'; accepted: which. Did you mean 'which'"):
        family("grid-navi", wich="test")
    with pytest.raises(ValueError, match="no free field 'k'"):
        family("bandit-k5-n10", k=3)


def test_listing_names_imports_nothing_heavy():
    code = (
        "import sys; from innerloop.tasks.names import names; names(); sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
