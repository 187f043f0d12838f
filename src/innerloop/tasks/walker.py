"""Walkers and hoppers: other directions and velocities, or other bodies.

`walker-dir`, `walker-vel` (Rothfuss et al. 2019, ProMP, the authors' `walker2d_rand_direc.py` and `walker2d_rand_vel.py` on
Gym): direction d = ±1 with equal probability, reward d · v + 1 − 0.001 ‖a‖²; or velocity v* ~ U[0, 10] m/s, reward
15 − |v − v*| − 0.001 ‖a‖². v = Δx/Δt over eight simulator steps of 0.002 s (as there, unlike the four of Walker2d-v5).

`walker-params`, `hopper-params` (github.com/dennisl88/rand_param_envs, `base.py`, used by ProMP, PEARL and others): every
entry of body_mass, body_inertia and geom_friction times 1.5^U[-3, 3], every entry of dof_damping times 1.3^U[-3, 3]; reward
v + 1 − 0.001 ‖a‖²; five simulator steps (walker) or four (hopper) of 0.002 s. A finite set of 100 bodies, drawn once and the
same for everybody: 40 to train, 20 to validate, 40 to test (PEARL: 40 and 10).

All: 200 steps (ours for some; no source says it of all); terminated by a fall (`walkers.py`); Gymnasium's `walker2d.xml`
(feet of friction 0.9 and 1.9, as of old) and `hopper.xml`. Differs: MuJoCo 3 instead of 1.31 and 1.50; actions ±1 are the
motors' limits (scale=10 is ProMP's `normalize` wrapper).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import jax
import numpy as np
from jax import Array

from innerloop.core import Task
from innerloop.tasks import walkers
from innerloop.tasks.family import deal
from innerloop.tasks.robot import Robot
from innerloop.tasks.robot_family import RobotFamily, two_ways, uniform

IDS = {"train": (0, 40), "validation": (40, 60), "test": (60, 100)}


@dataclass(frozen=True)
class WalkerDir(RobotFamily):
    """Walk forward (index 0) or backward (index 1); params: +1 or -1. Both tasks stand in every split."""

    length: int = 200  # control steps in an episode
    skip: int = 8  # simulator steps of 0.002 s per control step; the authors': 8
    scale: float = 1.0  # of the actions; ProMP: 10

    size: ClassVar[int] = 2
    tiny: ClassVar[bool] = True
    name: ClassVar[str] = "walker-dir"

    @property
    def native(self) -> Robot:
        return walkers.WalkerDir(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return two_ways(self.stream(key), n)


@dataclass(frozen=True)
class WalkerVel(RobotFamily):
    """Walk at a velocity ~ U[0, 10] m/s; params: that velocity."""

    length: int = 200  # control steps in an episode
    skip: int = 8  # simulator steps of 0.002 s per control step; the authors': 8
    scale: float = 1.0  # of the actions; ProMP: 10

    name: ClassVar[str] = "walker-vel"

    @property
    def native(self) -> Robot:
        return walkers.WalkerVel(self.length, self.skip, self.scale)

    def sample(self, key: Array, n: int) -> Task:
        return uniform(self.stream(key), n, 0.0, 10.0)


@dataclass(frozen=True)
class _Bodies(RobotFamily):
    """A hundred bodies; params: the factors, {name: as that array of MjModel}."""

    length: int = 200  # control steps in an episode
    skip: int = 4  # simulator steps of 0.002 s per control step
    scale: float = 1.0  # of the actions; ProMP: 10

    size: ClassVar[int] = 100

    @property
    @abstractmethod
    def native(self) -> Robot: ...

    @property
    def ids(self) -> range:
        """Of this split."""
        return range(*IDS[self.which])

    def sample(self, key: Array, n: int) -> Task:
        index = self.ids.start + deal(self.stream(key), len(self.ids), n)
        return Task(index, _draw(type(self.native))(index))


@dataclass(frozen=True)
class WalkerParams(_Bodies):
    """A walker with another body in every task."""

    skip: int = 5  # simulator steps of 0.002 s per control step; the authors': 5

    name: ClassVar[str] = "walker-params"

    @property
    def native(self) -> Robot:
        return walkers.WalkerParams(self.length, self.skip, self.scale)


@dataclass(frozen=True)
class HopperParams(_Bodies):
    """A hopper with another body in every task."""

    name: ClassVar[str] = "hopper-params"

    @property
    def native(self) -> Robot:
        return walkers.HopperParams(self.length, self.skip, self.scale)


@lru_cache
def _draw(kind: type[walkers.Walker]) -> Callable[[Array], dict[str, Array]]:
    """ids [n] → the factors of those bodies, leaves [n, ...]."""
    model = kind(1, 1).model
    shapes = {name: np.shape(getattr(model, name)) for name in walkers.VARIED}

    def one(index: Array) -> dict[str, Array]:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(2019), index), len(shapes))
        bases = {"dof_damping": 1.3}
        return {
            name: bases.get(name, 1.5) ** jax.random.uniform(key, shape, minval=-3.0, maxval=3.0)
            for key, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    return jax.jit(jax.vmap(one))
