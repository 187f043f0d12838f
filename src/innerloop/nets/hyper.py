"""A hypernetwork: the weights of a policy and critic made anew from what is known of the task.

Not a memory, and not the nets that read their input alone (`layers.py`).
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Categorical, Normal, Space
from innerloop.nets.layers import Dense


class HyperHead(eqx.Module):
    """From what is known [..., H] the weights of a net with one tanh layer, obs [..., O] → action distribution and value.

    The generator begins with zero weights and with biases that are an ordinary net's initial weights, so that at first every
    task has the same ordinary net (Bias-HyperInit: Beck et al. 2022, arXiv 2210.11348, §4.3).
    """

    generator: Dense  # H → all weights, in the order of `sizes`
    log_std: Any  # Array [A], or None for discrete actions
    sizes: tuple[int, int, int] = eqx.field(static=True)  # O, units, A

    @staticmethod
    def init(key: Array, known: int, obs: int, units: int, space: Space, std: float = 1.0) -> HyperHead:
        """`std`: initial standard deviation in units of the action space."""
        key_body, key_policy, key_value = jax.random.split(key, 3)
        body = Dense.init(key_body, obs, units)
        policy = Dense.init(key_policy, units, space.width, scale=0.1)
        value = Dense.init(key_value, units, 1, scale=0.1)
        weights = [x for layer in (body, policy, value) for x in (layer.weight, layer.bias)]
        bias = jnp.concatenate([jnp.ravel(x) for x in weights])
        log_std = jnp.full(space.width, math.log(std), jnp.float32) if isinstance(space, Box) else None
        return HyperHead(Dense(jnp.zeros((known, bias.shape[0])), bias), log_std, (obs, units, space.width))

    def __call__(self, known: Array, obs: Array) -> tuple[Any, Array]:
        """Distribution [..., A] and value [...]; both arguments have the same lead."""
        size, units, acts = self.sizes
        made, at = self.generator(known), 0

        def take(*shape: int) -> Array:
            nonlocal at
            at += math.prod(shape)
            return jnp.reshape(made[..., at - math.prod(shape) : at], (*made.shape[:-1], *shape))

        y = jnp.tanh(jnp.einsum("...o,...ou->...u", obs, take(size, units)) + take(units))
        out = jnp.einsum("...u,...ua->...a", y, take(units, acts)) + take(acts)
        value = jnp.einsum("...u,...uv->...v", y, take(units, 1)) + take(1)
        if self.log_std is None:
            return Categorical(out), value[..., 0]
        return Normal(out, jnp.broadcast_to(self.log_std, out.shape)), value[..., 0]
