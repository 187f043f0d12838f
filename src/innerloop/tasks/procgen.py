"""Procgen (Cobbe et al. 2020, arXiv 1912.01588): sixteen games whose levels are drawn by a seed; a task is a level.

Definition: EnvPool's port of the games (an extra), in their "easy" distribution: [64, 64, 3] uint8, 15 actions, rewards and
ends as the game has them. The same level stands in every episode of a task, so that what was found out in one serves in the
next; the paper's agents meet another level in every episode.

Levels 0 to 199 train, as in the paper's protocol of generalisation for "easy"; 200 to 1,199 validate and 1,200 to 11,199 test
(the paper tests on all levels there are). Ours: episodes of 200 steps at most (the games': 500 or 1,000), three in a trial.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks import procgen_env
from innerloop.tasks.family import SPLITS, Family, deal

ENDS = (0, 200, 1_200, 11_200)  # of the levels of train, validation and test
GAMES = (
    *("bigfish", "bossfight", "caveflyer", "chaser", "climber", "coinrun", "dodgeball", "fruitbot"),
    *("heist", "jumper", "leaper", "maze", "miner", "ninja", "plunder", "starpilot"),
)


@dataclass(frozen=True)
class Procgen(Family):
    """Params: int32, the level's number, which is the task's index."""

    game: str
    t: int = 200  # steps in an episode at most
    n: int = 3  # episodes in a trial

    on_device = False
    size: ClassVar[int] = ENDS[-1]

    def __post_init__(self) -> None:
        if self.game not in GAMES:
            near = difflib.get_close_matches(self.game, GAMES, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"procgen-{self.game}: there is no such game.{hint} Accepted: {', '.join(GAMES)}.")

    @property
    def name(self) -> str:
        length = "" if self.t == Procgen.t else f"-t{self.t}"
        episodes = "" if self.n == Procgen.n else f"-n{self.n}"
        return f"procgen-{self.game}{length}{episodes}"

    @property
    def spaces(self) -> Spaces:
        procgen_env.package()  # whoever asks for spaces is about to play: say here what is missing
        return Spaces(Box(procgen_env.SHAPE, 0.0, 255.0, "uint8"), Discrete(procgen_env.ACTIONS))

    @property
    def horizon(self) -> int:
        return self.t

    @property
    def episodes(self) -> int:
        return self.n

    @property
    def ids(self) -> range:
        """The levels of this split."""
        at = SPLITS.index(self.which)
        return range(ENDS[at], ENDS[at + 1])

    def sample(self, key: Array, n: int) -> Task:
        level = self.ids.start + deal(self.stream(key), len(self.ids), n)
        return Task(level, level)

    @property
    def make(self) -> Any:
        return partial(procgen_env.ProcgenEnv, self.game, self.t)

    @property
    def assign(self) -> Any:
        return procgen_env.assign
