"""Point navigation of the MAML paper: reach a hidden goal in the unit square.

Definition (Finn et al. 2017, §5.3, as its published code has it): start (0, 0); goal ~ U[-0.5, 0.5]²; an action in
[-1, 1]² moves by at most 0.1 along each axis; reward −‖position − goal‖₂ after the move; the episode terminates where
both coordinates are within 0.01 of the goal's, and is truncated after 100 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Task
from innerloop.tasks.chart import Chart, square
from innerloop.tasks.point_robot import PointRobot

NEAR = 0.01  # per axis


@dataclass(frozen=True)
class PointGoal(PointRobot):
    """The MAML paper's point robot; params: the goal [2]. The paper has no trials: 3 episodes is this library's choice."""

    @property
    def name(self) -> str:
        return "point-goal"

    @property
    def horizon(self) -> int:
        return 100

    @property
    def episodes(self) -> int:
        return 3

    @property
    def chart(self) -> Chart:
        return square(self.pays, 0.5)

    def sample(self, key: Array, n: int) -> Task:
        goals = jax.random.uniform(self.stream(key), (n, 2), minval=-0.5, maxval=0.5)
        return Task(jnp.full(n, -1, jnp.int32), goals)

    def reward(self, distance: Array) -> Array:
        return -distance

    def arrives(self, gap: Array) -> Array:
        return jnp.all(jnp.abs(gap) < NEAR, axis=-1)
