"""What families of robots share: spaces, and both ways of stepping them, from one definition.

Not a robot (`robot.py`), nor a family that `--tasks` takes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces, Task
from innerloop.tasks.family import Family
from innerloop.tasks.robot import Robot
from innerloop.tasks.robot_env import RobotEnv, assign


@dataclass(frozen=True)
class RobotFamily(Family):
    """Tasks of one robot."""

    on_device: ClassVar[bool] = False
    assign: ClassVar[Callable[[Any, Any], None]] = staticmethod(assign)

    @property
    @abstractmethod
    def native(self) -> Robot: ...

    @property
    def spaces(self) -> Spaces:
        robot = self.native
        return Spaces(Box((robot.width,)), Box((robot.motors,), -robot.scale, robot.scale))

    @property
    def horizon(self) -> int:
        return self.native.length

    @property
    def episodes(self) -> int:
        return 2

    @property
    def make(self) -> Callable[[], RobotEnv]:
        """Makes one robot. Of modules without JAX, so that workers import none."""
        return partial(RobotEnv, self.native)


def two_ways(key: Array, n: int) -> Task:
    """Forward (index 0, params +1) and backward (1, -1) in equal number (an odd one out by chance), in random order."""
    key_order, key_odd = jax.random.split(key)
    index = (jnp.arange(n) + jax.random.randint(key_odd, (), 0, 2)) % 2
    index = jax.random.permutation(key_order, index).astype(jnp.int32)
    return Task(index, 1.0 - 2.0 * index)


def unbounded(params: Array) -> Task:
    """Tasks of a continuous law; params [n, ...]."""
    return Task(jnp.full(params.shape[0], -1, jnp.int32), params)


def uniform(key: Array, n: int, low: float, high: float) -> Task:
    """params [n] ~ U[low, high]"""
    return unbounded(jax.random.uniform(key, (n,), minval=low, maxval=high))


def directions(key: Array, n: int) -> Task:
    """params [n, 2]: unit vectors, uniform on the circle."""
    angle = jax.random.uniform(key, (n,), maxval=2.0 * jnp.pi)
    return unbounded(jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1))


def disc(key: Array, n: int, radius: float) -> Task:
    """params [n, 2]: points, uniform in the disc."""
    key_radius, key_angle = jax.random.split(key)
    away = radius * jnp.sqrt(jax.random.uniform(key_radius, (n, 1)))
    return unbounded(away * directions(key_angle, n).params)
