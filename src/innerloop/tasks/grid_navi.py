"""GridNavi: find the goal cell of a 5 × 5 grid, then go there at once.

Definition (Zintgraf et al. 2020, VariBAD, §5.1, as its published code has it): cells (x, y) in {0..4}², start (0, 0);
actions 0 stay, 1 up (y + 1), 2 right (x + 1), 3 down (y − 1), 4 left (x − 1), and a move off the grid stays; the goal is
one of the 21 cells outside {0, 1}², uniformly; reward 1 if the cell after the move is the goal (staying there counts),
else −0.1; an episode is truncated after 15 steps and a trial is 4 episodes.

Exact values: knowing the goal, 11.0714 an episode on average; the best possible first episode without knowing it, 4;
the Bayes-optimal trial, 4 + 3 × 11.0714 = 37.2143.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks.chart import Chart, cells
from innerloop.tasks.family import Family, deal, evenly
from innerloop.tasks.grid import ACTIONS, move, towards

SIDE, HORIZON = 5, 15
GOALS = np.array([(x, y) for x in range(SIDE) for y in range(SIDE) if x > 1 or y > 1], np.int32)  # [21, 2]


class Cell(NamedTuple):
    """Where an episode stands: x, y and steps taken, int32."""

    x: Array
    y: Array
    time: Array


def _pays(goal: Array, xy: Array) -> Array:
    return jnp.where(jnp.all(goal == xy, axis=-1), 1.0, -0.1)


@dataclass(frozen=True)
class GridNavi(Family):
    """VariBAD's grid world; params: the goal's (x, y), int32 [2]; Task.index is the goal's row in GOALS."""

    size: ClassVar[int] = len(GOALS)
    tiny: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "grid-navi"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((2,), 0.0, SIDE - 1.0), Discrete(ACTIONS))

    @property
    def horizon(self) -> int:
        return HORIZON

    @property
    def episodes(self) -> int:
        return 4

    def best(self, task: Task) -> Array:
        """Return of one episode that walks straight to the goal and stays: d − 1 misses, 16 − d hits; [...]."""
        steps = jnp.sum(task.params, axis=-1).astype(jnp.float32)
        return (HORIZON + 1 - steps) - 0.1 * (steps - 1)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """Every shortest way to the goal, also where the episode is too short for it; on it, staying."""
        lead = jnp.broadcast_shapes(jnp.shape(task.params)[:-1], jnp.shape(obs)[:-1], jnp.shape(time), jnp.shape(earned))
        at, goal = (jnp.broadcast_to(jnp.asarray(x, jnp.int32), (*lead, 2)) for x in (obs, task.params))
        return evenly(towards(at[..., 0], at[..., 1], goal[..., 0], goal[..., 1], SIDE))

    @property
    def chart(self) -> Chart:
        return cells(GOALS, _pays, lambda obs: jnp.asarray(obs, jnp.float32), lambda xy: jnp.asarray(xy, jnp.float32))

    def sample(self, key: Array, n: int) -> Task:
        index = deal(self.stream(key), self.size, n)
        return Task(index, jnp.asarray(GOALS)[index])

    def reset(self, task: Task, key: Array) -> tuple[Cell, Array]:
        zero = jnp.zeros((), jnp.int32)
        return Cell(zero, zero, zero), jnp.zeros(2)

    def step(self, task: Task, state: Cell, action: Array, key: Array) -> tuple[Cell, Array, Array, Array, Array]:
        x, y = move(state.x, state.y, action, SIDE)
        time = state.time + 1
        obs = jnp.stack([x, y]).astype(jnp.float32)
        return Cell(x, y, time), obs, _pays(task.params, obs), jnp.zeros((), bool), time >= HORIZON
