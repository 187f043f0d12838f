"""HalfCheetah that must find out by its reward which way, or how fast, to run: five definitions that share a name.

`half-cheetah-dir`, `half-cheetah-vel` (Finn et al. 2017, MAML, §5.3 and the authors' `half_cheetah_env_rand_direc.py` and
`half_cheetah_env_rand.py` on rllab): direction d = ±1 with equal probability, or velocity v* ~ U[0, 2]; reward
d · v_x − 0.05 ‖a‖², or −|v_x − v*| − 0.05 ‖a‖², with a clipped to [-1, 1]; 200 steps; no termination.
As there: rllab's robot (Gymnasium's XML has the same bodies, joints and motors) and its control step of ONE simulator step
of 0.01 s, so an episode lasts two seconds; v_x is the velocity of the whole body's centre of mass after the step
(`comvel`, not Δx/Δt of the torso); the 20 observations are joint positions without x, joint velocities, and the centre of
mass in x, y, z (its x shows how far the robot has run); starts are N(0, 0.01²) around rest and N(0, 0.1²) in velocity.
Differs: MuJoCo 3 instead of 1.31 (contacts and solver), so returns near the paper's are expected, not the same.

`half-cheetah-dir-promp`, `half-cheetah-vel-u3` (Rothfuss et al. 2019, ProMP, the authors' `half_cheetah_rand_direc.py` and
`half_cheetah_rand_vel.py` on Gym): the same costs, v* ~ U[0, 3], with v_x = Δx/Δt of the torso over a control step of five
simulator steps (0.05 s); 17 observations without the centre of mass; starts U[-0.1, 0.1] around rest and N(0, 0.1²) in
velocity. `-dir-promp` is their whole setting: 100 steps, and actions ±10 for the motors' limits (their `normalize` wrapper,
so that a policy of standard deviation 1 uses a tenth of the range). `-vel-u3` and `half-cheetah-dir-pearl` have the 200 steps
and the plain action scale ±1 of those who came later (PEARL, VariBAD); ProMP's own -vel is length=100, scale=10.
Figures of different definitions do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array

from innerloop.core import Task
from innerloop.tasks import cheetah
from innerloop.tasks.robot_family import RobotFamily, two_ways, uniform


@dataclass(frozen=True)
class HalfCheetahDir(RobotFamily):
    """Run forward (index 0) or backward (index 1); params: the direction, +1 or -1. Both tasks stand in every split."""

    length: int = 200  # control steps in an episode; paper: 200
    skip: int = 1  # simulator steps of 0.01 s per control step; paper: 1

    size: ClassVar[int] = 2
    tiny: ClassVar[bool] = True
    name: ClassVar[str] = "half-cheetah-dir"

    @property
    def native(self) -> cheetah.Cheetah:
        return cheetah.RllabCheetahDir(self.length, self.skip)

    def sample(self, key: Array, n: int) -> Task:
        """n tasks in random order, forward and backward in equal number (an odd one out by chance)."""
        return two_ways(self.stream(key), n)


@dataclass(frozen=True)
class HalfCheetahDirPromp(HalfCheetahDir):
    """The same two tasks by ProMP's definition."""

    length: int = 100  # control steps in an episode; paper: 100
    skip: int = 5  # simulator steps of 0.01 s per control step; paper: 5
    scale: float = 10.0  # of the actions; paper: 10

    name: ClassVar[str] = "half-cheetah-dir-promp"

    @property
    def native(self) -> cheetah.Cheetah:
        return cheetah.GymCheetahDir(self.length, self.skip, self.scale)


@dataclass(frozen=True)
class HalfCheetahDirPearl(HalfCheetahDirPromp):
    """The same two tasks as PEARL and VariBAD have them: 200 steps, and actions of ±1 for the motors' limits."""

    length: int = 200  # control steps in an episode; papers: 200
    scale: float = 1.0  # of the actions; papers: 1

    name: ClassVar[str] = "half-cheetah-dir-pearl"


@dataclass(frozen=True)
class HalfCheetahVel(RobotFamily):
    """Run at a velocity ~ U[0, 2] m/s; params: that velocity."""

    length: int = 200  # control steps in an episode; paper: 200
    skip: int = 1  # simulator steps of 0.01 s per control step; the authors': 1

    name: ClassVar[str] = "half-cheetah-vel"

    @property
    def native(self) -> cheetah.Cheetah:
        return cheetah.RllabCheetahVel(self.length, self.skip)

    def sample(self, key: Array, n: int) -> Task:
        return uniform(self.stream(key), n, 0.0, 2.0)


@dataclass(frozen=True)
class HalfCheetahVelU3(RobotFamily):
    """Run at a velocity ~ U[0, 3] m/s, by the definition that ProMP, PEARL and VariBAD share; params: that velocity."""

    length: int = 200  # control steps in an episode; ProMP: 100, PEARL and VariBAD: 200
    skip: int = 5  # simulator steps of 0.01 s per control step
    scale: float = 1.0  # of the actions; ProMP: 10

    name: ClassVar[str] = "half-cheetah-vel-u3"

    @property
    def native(self) -> cheetah.Cheetah:
        return cheetah.GymCheetahVel(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return uniform(self.stream(key), n, 0.0, 3.0)
