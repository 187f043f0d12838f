"""HalfCheetah forward/backward: a MuJoCo robot that must find out by its reward which way to run.

Definition (Finn et al. 2017, MAML, §5.3 and the authors' `half_cheetah_env_rand_direc.py` on rllab): the direction d is
+1 or -1 with equal probability; reward = d · v_x − 0.05 ‖a‖² with a clipped to [-1, 1]; 200 steps; no termination.
As there: rllab's robot (Gymnasium's XML has the same bodies, joints and motors) and its control step of ONE simulator step
of 0.01 s, so an episode lasts two seconds; v_x is the velocity of the whole body's centre of mass after the step
(`comvel`, not Δx/Δt of the torso); the 20 observations are joint positions without x, joint velocities, and the centre of
mass in x, y, z (its x shows how far the robot has run); starts are N(0, 0.01²) around rest and N(0, 0.1²) in velocity.
Differs: MuJoCo 3 instead of 1.31 (contacts and solver), so returns near the paper's are expected, not the same.
Gymnasium's HalfCheetah-v5 is another definition (`skip=5`, 17 observations, Δx/Δt, cost 0.1): figures do not compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces, Task
from innerloop.tasks import cheetah
from innerloop.tasks.family import Family


@dataclass(frozen=True)
class HalfCheetahDir(Family):
    """Run forward (index 0) or backward (index 1); params: the direction, +1 or -1. Both tasks stand in every split."""

    length: int = 200  # control steps in an episode; paper: 200
    skip: int = 1  # simulator steps of 0.01 s per control step; paper: 1

    size: ClassVar[int] = 2
    on_device: ClassVar[bool] = False
    tiny: ClassVar[bool] = True
    assign: ClassVar[Callable[[Any, Any], None]] = staticmethod(cheetah.assign_direction)

    @property
    def name(self) -> str:
        return "half-cheetah-dir"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((20,)), Box((6,), -1.0, 1.0))

    @property
    def horizon(self) -> int:
        return self.length

    @property
    def episodes(self) -> int:
        return 2

    def sample(self, key: Array, n: int) -> Task:
        """n tasks in random order, forward and backward in equal number (an odd one out by chance)."""
        key_order, key_odd = jax.random.split(self.stream(key))
        index = (jnp.arange(n) + jax.random.randint(key_odd, (), 0, 2)) % 2
        index = jax.random.permutation(key_order, index).astype(jnp.int32)
        return Task(index, 1.0 - 2.0 * index)

    @property
    def make(self) -> Callable[[], cheetah.HalfCheetah]:
        """Makes one robot. A plain function of a module without JAX, so that workers import none."""
        return partial(cheetah.HalfCheetah, self.length, self.skip)
