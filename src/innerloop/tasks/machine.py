"""What families of trials on a machine of classic control share. Not the machines (`classic_control.py`), nor what varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jax import Array

from innerloop.core import Box, Spaces
from innerloop.tasks.classic_control import Control
from innerloop.tasks.family import Family


class Moment(NamedTuple):
    """Where an episode stands: the machine's state and steps taken, int32."""

    state: Array
    time: Array


@dataclass(frozen=True)
class Machine(Family):
    """Episodes as long as Gymnasium's, `n` of them in a trial. Where they end early more fit into it, and the first n count."""

    n: int = 4  # episodes in a trial

    control: ClassVar[Control]  # the machine
    bare: ClassVar[str]  # the name without the number of episodes

    @property
    def name(self) -> str:
        return self.bare if self.n == Machine.n else f"{self.bare}-n{self.n}"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((self.control.width,)), self.control.action)

    @property
    def horizon(self) -> int:
        return self.control.length

    @property
    def episodes(self) -> int:
        return self.n
