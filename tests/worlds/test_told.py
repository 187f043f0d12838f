"""What a host environment says in `info` is told to reports, row by row, and to no agent."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import line_walk
import numpy as np
import pytest
from walks import HostWalk, setup, walks

from innerloop.core import Plan
from innerloop.worlds import HostWorld
from innerloop.worlds.faults import HostFaults


class Telling(line_walk.LineWalk):
    def step(self, action):
        *out, info = super().step(action)
        return *out, info | {"place": self.x, "time": np.int64(self.t), "odd": self.odd}

    odd: Any = 0.0


class Silent(Telling):
    odd = "yes"


@dataclass(frozen=True)
class TellingWalk(HostWalk):
    make: ClassVar[Any] = staticmethod(Telling)
    told: ClassVar[tuple[str, ...]] = ("time", "place", "odd")


@dataclass(frozen=True)
class SilentWalk(TellingWalk):
    make: ClassVar[Any] = staticmethod(Silent)


@dataclass(frozen=True)
class AskingWalk(TellingWalk):
    told: ClassVar[tuple[str, ...]] = ("nothing",)


def lived(family):
    inner, meta = setup(Plan(2, 9, 3))
    return HostWorld(family, workers=0).live(inner, meta, walks([2.0, -1.0]), jax.random.key(5))[0]


def test_numbers_stand_beside_their_row():
    life = lived(TellingWalk())
    assert life.told.shape == (2, 2, 9, 3, 3)
    arrived = life.chunks.next_obs  # [x, t] before any reset
    np.testing.assert_array_equal(life.told[..., 0], arrived[..., 1])
    np.testing.assert_array_equal(life.told[..., 1], arrived[..., 0])


def test_lives_are_the_same_whether_or_not_it_is_asked():
    lives = [lived(family) for family in (HostWalk(), TellingWalk())]
    assert lives[0].told is None
    jax.tree.map(np.testing.assert_array_equal, lives[0].chunks, lives[1].chunks)


@pytest.mark.parametrize(
    ("family", "said"), [(SilentWalk(), "odd is 'yes', expected a number"), (AskingWalk(), "no number 'nothing'")]
)
def test_what_is_no_number_is_a_fault(family, said):
    with pytest.raises(HostFaults, match=said):
        lived(family)
