"""The package as a user meets it: its verbs, and recipes and families that lie beside where the command is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import innerloop

OWN = """
from dataclasses import replace

from innerloop.recipes import rl2
from innerloop.tasks.bandit import Bandit


class Three(Bandit):
    name = __name__ + ":tasks"


def tasks():
    return Three(k=3, n=10)


def make(family, steps=None):
    return replace(rl2.make(family, steps), name="mine")
"""


def test_evaluate_is_a_verb_and_a_package():
    import innerloop.evaluate.statistics

    assert callable(innerloop.evaluate)
    assert innerloop.evaluate.statistics.over_tasks


def test_a_recipe_and_a_family_beside_the_command_are_found(tmp_path: Path):
    """The console script does not have the working folder on its path, `python -m` does."""
    (tmp_path / "beside.py").write_text(OWN)
    code = "import sys; sys.path = [p for p in sys.path if p]; from innerloop.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["check", "beside:make", "--tasks", "beside:tasks", "--steps", "20480"]
    here = os.environ | {"PYTHONPATH": str(Path(innerloop.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mine on beside:tasks" in done.stdout


def test_a_family_of_ones_own_is_found_again(tmp_path: Path, monkeypatch):
    """recipe.json names where the family comes from, not only what it is called."""
    (tmp_path / "nearby.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    from innerloop import requests

    request = {"recipe": "nearby:make", "tasks": "nearby:tasks", "steps": 20480}
    recipe, family = requests.resolve(request)
    from innerloop.run.config import as_dict

    again, same = requests.recover(as_dict(recipe) | {"request": request})
    assert (again, same) == (recipe, family)


def test_what_is_no_family_is_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "wrong.py").write_text("def make():\n    return 3\n")
    monkeypatch.chdir(tmp_path)
    from innerloop.tasks.names import family

    with pytest.raises(ValueError, match="returned int"):
        family("wrong:make")
    (tmp_path / "misnamed.py").write_text("from innerloop.tasks.bandit import Bandit as make\n")
    with pytest.raises(ValueError, match="calls itself 'bandit-k5-n10'"):
        family("misnamed:make")
    with pytest.raises(ValueError, match="cannot be imported"):
        family("absent:make")
