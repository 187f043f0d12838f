"""minGRU (Feng et al. 2024, arXiv 2410.01201): gates that do not read the state, so that time is a linear recurrence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense
from innerloop.nets.memory.cell import Cell, along, dense, emptied, product, recurrence, wide


class MinGRU(Cell):
    """h_t = (1 − z_t) h_{t-1} + z_t g(x W_h), z_t = σ(x W_z), g(u) = u + ½ for u ≥ 0, σ(u) below. h [N, E], y [N, H]."""

    gates: Array  # [I, 2E]
    bias: Array  # [2E]
    out: Dense  # E → H

    @staticmethod
    def init(key: Array, inputs: int, width: int, states: int) -> MinGRU:
        """The update gates' biases spread, so that some units keep for a few steps and some for hundreds."""
        key_gates, key_out = jax.random.split(key)
        weight = jax.nn.initializers.glorot_uniform()(key_gates, (inputs, 2 * states), jnp.float32)
        keep = -jnp.log(jnp.exp(jnp.linspace(jnp.log(2.0), jnp.log(500.0), states)) - 1.0)
        return MinGRU(weight, jnp.concatenate([keep, jnp.zeros(states)]), Dense.init(key_out, states, width))

    def empty(self, lead: tuple[int, ...], context: int) -> Array:
        return jnp.zeros((*lead, self.bias.shape[0] // 2))

    def step(self, state: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        decay, gain = self._terms(x)
        h = decay * emptied(reset, state) + gain
        return h, self._read(h, x)

    def unroll(self, state: Array, xs: Array, resets: Array) -> tuple[Array, Array]:
        h = recurrence(*self._terms(xs), resets, state)
        return h[-1], self._read(h, xs)

    def _terms(self, x: Array) -> tuple[Array, Array]:
        y = wide(product(x, self.gates))
        gate, u = jnp.split(y + along(self.bias, y), 2, axis=-1)
        z = jax.nn.sigmoid(gate)
        return 1.0 - z, z * jnp.where(u >= 0, u + 0.5, jax.nn.sigmoid(u))

    def _read(self, h: Array, x: Array) -> Array:
        return dense(self.out, h.astype(x.dtype))
