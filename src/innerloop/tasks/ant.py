"""Ants that must find out where, or how fast, to go: four definitions that share a robot.

`ant-dir`, `ant-vel` (Finn et al. 2017, MAML, §5.3 and the authors' `ant_env_rand_direc.py` and `ant_env_rand.py` on rllab):
direction d = ±1 with equal probability, or velocity v* ~ U[0, 3]; reward d · v_x, or 1 − |v_x − v*|, then
− 0.005 ‖a‖² − 0.0005 ‖contact forces clipped to ±1‖² + 0.05, a in units of the motors' limits; 200 steps; terminated when
the torso leaves 0.2 ≤ z ≤ 1 m. As there: ONE simulator step of 0.02 s per control step; v_x of the centre of mass after the
step; 125 observations (positions with x and y, velocities, clipped contact forces of 14 bodies, the torso's rotation matrix,
centre of mass); starts N(0, 0.01²) around the XML's stance and N(0, 0.1²) in velocity. Differs: MuJoCo 3 instead of 1.31.

`ant-dir-circle`, `ant-goal` (Rothfuss et al. 2019, ProMP, the authors' `ant_rand_direc_2d.py` and `ant_rand_goal.py` on Gym;
PEARL's ant-goal is the latter): a direction uniform on the circle, or a place uniform in the disc of radius 3 m; reward
v · d − 0.5 ‖a‖² − 0.0005 ‖forces‖² + 1, terminated outside 0 ≤ z ≤ 1 m; or −‖xy − g‖₁ − 0.1 ‖a‖² − 0.0005 ‖forces‖² without
termination; 200 steps of five simulator steps (0.05 s). v = Δxy/Δt of the torso. 111 observations without x and y, or 113
with them. Differs: contact forces are those after the step, not one simulator step older; actions ±1 are the motors' limits
(scale=10 is their `normalize` wrapper).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array

from innerloop.core import Task
from innerloop.tasks import ants
from innerloop.tasks.robot import Robot
from innerloop.tasks.robot_family import RobotFamily, directions, disc, two_ways, uniform


@dataclass(frozen=True)
class AntDir(RobotFamily):
    """Run forward (index 0) or backward (index 1); params: +1 or -1. Both tasks stand in every split."""

    length: int = 200  # control steps in an episode; paper: 200
    skip: int = 1  # simulator steps of 0.02 s per control step; the authors': 1

    size: ClassVar[int] = 2
    tiny: ClassVar[bool] = True
    name: ClassVar[str] = "ant-dir"

    @property
    def native(self) -> Robot:
        return ants.RllabAntDir(self.length, self.skip)

    def sample(self, key: Array, n: int) -> Task:
        return two_ways(self.stream(key), n)


@dataclass(frozen=True)
class AntVel(RobotFamily):
    """Run at a velocity ~ U[0, 3] m/s; params: that velocity."""

    length: int = 200  # control steps in an episode; paper: 200
    skip: int = 1  # simulator steps of 0.02 s per control step; the authors': 1

    name: ClassVar[str] = "ant-vel"

    @property
    def native(self) -> Robot:
        return ants.RllabAntVel(self.length, self.skip)

    def sample(self, key: Array, n: int) -> Task:
        return uniform(self.stream(key), n, 0.0, 3.0)


@dataclass(frozen=True)
class AntDirCircle(RobotFamily):
    """Run in a direction of the plane; params [2]: a unit vector."""

    length: int = 200  # control steps in an episode
    skip: int = 5  # simulator steps of 0.01 s per control step
    scale: float = 1.0  # of the actions; ProMP: 10

    name: ClassVar[str] = "ant-dir-circle"

    @property
    def native(self) -> Robot:
        return ants.AntCircle(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return directions(self.stream(key), n)


@dataclass(frozen=True)
class AntGoal(RobotFamily):
    """Reach a place; params [2]: where, in m."""

    length: int = 200  # control steps in an episode
    skip: int = 5  # simulator steps of 0.01 s per control step
    scale: float = 1.0  # of the actions; ProMP: 10

    name: ClassVar[str] = "ant-goal"

    @property
    def native(self) -> Robot:
        return ants.AntGoal(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return disc(self.stream(key), n, 3.0)
