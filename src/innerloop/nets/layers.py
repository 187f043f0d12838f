"""Dense layers, perceptrons and action heads: modules whose leaves are all arrays, so plain jit, vmap, scan and grad take
them whole. Not recurrent cells: those are in `memory.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Categorical, Normal, Space
from innerloop.core.in_turn import in_turn

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": jax.nn.gelu}


def orthogonal_init(shape: tuple[int, int]) -> Callable[[Array], Array]:
    """key → a matrix with orthonormal rows or columns."""
    return in_turn(lambda key: jax.nn.initializers.orthogonal()(key, shape, jnp.float32))


class Dense(eqx.Module):
    """x [..., I] → x W + b [..., O]."""

    weight: Array  # [I, O]
    bias: Array  # [O]

    @staticmethod
    def init(key: Array, inputs: int, outputs: int, scale: float = 1.0, orthogonal: bool = False) -> Dense:
        """Glorot-uniform (or orthogonal) weights times `scale`, zero biases. Sizes may be 0."""
        if not inputs * outputs:
            return Dense(jnp.zeros((inputs, outputs)), jnp.zeros(outputs))
        shape = (inputs, outputs)
        drawn = orthogonal_init(shape)(key) if orthogonal else jax.nn.initializers.glorot_uniform()(key, shape, jnp.float32)
        return Dense(scale * drawn, jnp.zeros(outputs))

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight
        return y + jnp.broadcast_to(self.bias, y.shape)


class Perceptron(eqx.Module):
    """Hidden layers with one activation after each; x [..., I] → [..., sizes[-1]]."""

    layers: tuple[Dense, ...]

    @staticmethod
    def init(key: Array, inputs: int, sizes: tuple[int, ...], orthogonal: bool = False) -> Perceptron:
        widths = (inputs, *sizes)
        keys = jax.random.split(key, max(len(sizes), 1))
        gain = math.sqrt(2.0) if orthogonal else 1.0
        return Perceptron(
            tuple(Dense.init(k, i, o, gain, orthogonal) for k, i, o in zip(keys, widths, widths[1:], strict=False))
        )

    def __call__(self, x: Array, activation: str) -> Array:
        for layer in self.layers:
            x = ACTIVATIONS[activation](layer(x))
        return x


class Head(eqx.Module):
    """From features to an action distribution: logits for `Discrete`, mean and a free log-std for `Box`."""

    dense: Dense
    log_std: Any  # Array [D], or None for discrete actions

    @staticmethod
    def init(key: Array, inputs: int, space: Space, scale: float = 1.0, std: float = 1.0) -> Head:
        """`std`: initial standard deviation in units of the action space."""
        continuous = isinstance(space, Box)
        log_std = jnp.full(space.width, math.log(std), jnp.float32) if continuous else None
        return Head(Dense.init(key, inputs, space.width, scale), log_std)

    def __call__(self, x: Array, floor: float = 1e-6) -> Any:
        """`floor`: least standard deviation (1e-6 in rllab and its descendants)."""
        y = self.dense(x)
        if self.log_std is None:
            return Categorical(y)
        return Normal(y, jnp.broadcast_to(jnp.maximum(self.log_std, math.log(floor)), y.shape))
