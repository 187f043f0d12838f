"""The gated recurrent unit (Cho et al. 2014): RL²'s memory."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import orthogonal_init
from innerloop.nets.memory.cell import Cell, along, emptied, product


class GRU(Cell):
    """With the reset gate applied after the recurrent product (cuDNN's variant). Order of the gates: reset, update,
    candidate. The state is the output, h [N, H]."""

    input: Array  # [I, 3H]
    hidden: Array  # [H, 3H]
    bias: Array  # [3H]
    candidate_bias: Array  # [H]

    @staticmethod
    def init(key: Array, inputs: int, width: int) -> GRU:
        key_input, key_hidden = jax.random.split(key)
        blocks = [orthogonal_init((width, width))(k) for k in jax.random.split(key_hidden, 3)]
        bound = 1.0 / math.sqrt(inputs)
        weight = jax.random.uniform(key_input, (inputs, 3 * width), jnp.float32, -bound, bound)
        return GRU(weight, jnp.concatenate(blocks, axis=1), jnp.zeros(3 * width), jnp.zeros(width))

    def empty(self, lead: tuple[int, ...], context: int) -> Array:
        return jnp.zeros((*lead, self.hidden.shape[0]))

    def step(self, state: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        h = self._advance(state, self._project(x), reset)
        return h, h

    def unroll(self, state: Array, xs: Array, resets: Array) -> tuple[Array, Array]:
        """All input projections in one product; only the recurrence is scanned."""

        def one(h: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            h = self._advance(h, *row)
            return h, h

        return jax.lax.scan(one, state, (self._project(xs), resets))

    def _project(self, x: Array) -> Array:
        y = product(x, self.input)
        return y + along(self.bias, y)

    def _advance(self, h: Array, projected: Array, reset: Array) -> Array:
        h = emptied(reset, h)
        r_x, z_x, n_x = jnp.split(projected, 3, axis=-1)
        r_h, z_h, n_h = jnp.split(product(h.astype(projected.dtype), self.hidden), 3, axis=-1)
        r, z = jax.nn.sigmoid(r_x + r_h), jax.nn.sigmoid(z_x + z_h)
        n = jnp.tanh(n_x + r * (n_h + along(self.candidate_bias, n_h)))
        return n + z * (h - n)
