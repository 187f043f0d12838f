"""The same family with the task shown in the observation: the world in which a task-id oracle is trained.

Not a way for an inner to see the task elsewhere: contracts rule that out, and this is the one place that shows it openly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces, Task, Transitions
from innerloop.core.spaces import encode, images, width
from innerloop.tasks import showing
from innerloop.tasks.family import Family, Measure

PREFIX = "shown:"


@dataclass(frozen=True)
class Shown(Family):
    """`base` with its task's parameters behind the (flattened) observation, as one Box; beside it, where it holds an image."""

    base: Family

    @property
    def name(self) -> str:
        return PREFIX + self.base.name

    @property
    def spaces(self) -> Spaces:
        params = jax.eval_shape(lambda key: self.base.sample(key, 1), jax.random.key(0)).params
        shown = sum(math.prod(x.shape[1:]) for x in jax.tree.leaves(params))
        obs, action = self.base.spaces
        return Spaces((obs, Box((shown,))) if images(obs) else Box((width(obs) + shown,)), action)

    @property
    def horizon(self) -> int:
        return self.base.horizon

    @property
    def episodes(self) -> int:
        return self.base.episodes

    @property
    def size(self) -> int:  # type: ignore[override]  # of the base, not of the class
        return self.base.size

    @property
    def unit(self) -> str:  # type: ignore[override]
        return self.base.unit

    @property
    def on_device(self) -> bool:  # type: ignore[override]
        return self.base.on_device

    @property
    def tiny(self) -> bool:  # type: ignore[override]
        return self.base.tiny

    @property
    def told(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.base.told

    @property
    def protocol(self) -> dict[str, str]:
        return self.base.protocol

    @property
    def native(self) -> Any:
        robot = self.base.native
        return None if robot is None else replace(robot, shown=True)

    def split(self, name: str) -> Shown:
        return Shown(self.base.split(name))

    def sample(self, key: Array, n: int) -> Task:
        return self.base.sample(key, n)

    def best(self, task: Task) -> Any:
        return self.base.best(task)

    @property
    def measures(self) -> Mapping[str, Measure]:  # type: ignore[override]  # of the base, where its observation can be had back
        seen = self.base.spaces.obs
        return self.base.measures if isinstance(seen, Box) and not seen.bounded and not images(seen) else {}

    def measure(self, task: Task, seen: Transitions) -> dict[str, Array]:
        space = self.base.spaces.obs
        obs, arrived = (jnp.reshape(x[: space.width], space.shape) for x in (seen.obs, seen.arrived))
        return self.base.measure(task, seen._replace(obs=obs, arrived=arrived)) if self.measures else {}

    def _show(self, task: Task, obs: Any) -> Any:
        params = [jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(task.params)]
        if images(self.base.spaces.obs):
            return obs, jnp.concatenate(params)
        return jnp.concatenate([encode(self.base.spaces.obs, obs), *params])

    def reset(self, task: Task, key: Array) -> tuple[Any, Any]:
        state, obs = self.base.reset(task, key)
        return state, self._show(task, obs)

    def step(self, task: Task, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        state, obs, reward, terminated, truncated = self.base.step(task, state, action, key)
        return state, self._show(task, obs), reward, terminated, truncated

    @property
    def make(self) -> Callable[[], Any]:
        return partial(showing.Showing, self.base.make, bool(images(self.base.spaces.obs)))

    @property
    def assign(self) -> Callable[[Any, Any], None]:
        return partial(showing.assign, self.base.assign)
