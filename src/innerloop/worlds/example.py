"""The shapes of a batch of lives, without living any: what outers allocate memory from."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Inner, Lifetime, Spaces, live
from innerloop.core.spaces import zeros
from innerloop.tasks.family import Family


class _Still(NamedTuple):
    """A world where nothing happens; it has a family's spaces."""

    spaces: Spaces

    def reset(self, task: Any, key: Array) -> tuple[Any, Any]:
        return (), zeros(self.spaces.obs)

    def step(self, task: Any, state: Any, action: Any, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        no = jnp.zeros((), bool)
        return (), zeros(self.spaces.obs), jnp.zeros(()), no, no


def example_life(inner: Inner, meta: Any, family: Family, tasks: int) -> Lifetime:
    """A life in each of `tasks` tasks, leaves jax.ShapeDtypeStruct [tasks, ...]."""

    def lived(meta: Any) -> Lifetime:
        drawn = family.sample(jax.random.key(0), tasks)
        keys = jax.random.split(jax.random.key(0), tasks)
        return jax.vmap(lambda t, k: live(inner, _Still(family.spaces), family.spaces, meta, t, k)[0])(drawn, keys)

    return jax.eval_shape(lived, meta)
