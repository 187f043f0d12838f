"""The random baseline: an agent that knows nothing and learns nothing."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Categorical, Decision, Inner, Plan, Spaces, Uniform
from innerloop.core.spaces import encode


class Indifferent(Inner[tuple[()], tuple[()]]):
    """Uniformly random actions: the random baseline."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)

    def init(self, key: Array) -> tuple[()]:
        return ()

    def begin(self, meta: tuple[()], key: Array) -> tuple[()]:
        return ()

    def decide(self, meta: tuple[()], fast: tuple[()], obs: Any) -> Decision:
        lead = encode(self.spaces.obs, obs).shape[:-1]
        space = self.spaces.action
        if isinstance(space, Box):
            low, high = (space.low, space.high) if space.bounded else (-1.0, 1.0)
            flat = jnp.zeros((*lead, space.width))
            return Decision(Uniform(flat + low, flat + high), jnp.zeros(lead))
        return Decision(Categorical(jnp.zeros((*lead, space.n))), jnp.zeros(lead))
