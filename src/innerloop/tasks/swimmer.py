"""A swimmer that must find out by its reward how fast to swim.

Definition (Rothfuss et al. 2019, ProMP, the authors' `swimmer_rand_vel.py` on Gym): velocity v* ~ U[0.1, 0.2] m/s;
reward −|Δx/Δt − v*| − 0.0001 ‖a‖² over four simulator steps of 0.01 s; no termination.
The authors' code has the wrong sign, +|Δx/Δt − v*|, which rewards being far from the velocity: this is what was meant, so
figures made with that code do not compare. 200 steps are ours. Differs: actions ±1 are the motors' limits (scale=10 is their
`normalize` wrapper).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array

from innerloop.core import Task
from innerloop.tasks import walkers
from innerloop.tasks.robot import Robot
from innerloop.tasks.robot_family import RobotFamily, uniform


@dataclass(frozen=True)
class SwimmerVel(RobotFamily):
    """params: the velocity wanted, in m/s."""

    length: int = 200  # control steps in an episode
    skip: int = 4  # simulator steps of 0.01 s per control step; the authors': 4
    scale: float = 1.0  # of the actions; ProMP: 10

    name: ClassVar[str] = "swimmer-vel"

    @property
    def native(self) -> Robot:
        return walkers.SwimmerVel(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return uniform(self.stream(key), n, 0.1, 0.2)
