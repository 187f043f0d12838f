"""A humanoid that must find out by its reward in which direction of the plane to run.

Definition (Rothfuss et al. 2019, ProMP, the authors' `humanoid_rand_direc_2d.py` on Gym): a direction d uniform on the circle;
reward 0.25 d · Δ(centre of mass) / 0.003 s − 0.1 ‖torques‖² − min(5·10⁻⁷ ‖contact forces‖², 10) + 5; terminated when the
pelvis leaves 1 ≤ z ≤ 2 m. As there, a control step is five simulator steps of 0.003 s, and the displacement of all five is
divided by the time of one. 376 observations (`humanoids.py`). 200 steps, as ProMP's other robots.
Differs: MuJoCo 3 instead of 1.50; centre of mass, inertias and forces are those after the step, not one simulator step older;
actions ±1 are the motors' limits of ±0.4 (scale=10 is their `normalize` wrapper).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array

from innerloop.core import Task
from innerloop.tasks import humanoids
from innerloop.tasks.robot import Robot
from innerloop.tasks.robot_family import RobotFamily, directions


@dataclass(frozen=True)
class HumanoidDir(RobotFamily):
    """params [2]: a unit vector."""

    length: int = 200  # control steps in an episode
    skip: int = 5  # simulator steps of 0.003 s per control step; the authors': 5
    scale: float = 1.0  # of the actions; ProMP: 10

    name: ClassVar[str] = "humanoid-dir"

    @property
    def native(self) -> Robot:
        return humanoids.HumanoidDir(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return directions(self.stream(key), n)
