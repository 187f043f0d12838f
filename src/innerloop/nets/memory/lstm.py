"""The long short-term memory (Hochreiter & Schmidhuber 1997; forget gates of Gers et al. 2000)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import orthogonal_init
from innerloop.nets.memory.cell import Cell, along, emptied, product


class Held(NamedTuple):
    """Output h and cell c, each [N, H]."""

    h: Array
    c: Array


class LSTM(Cell):
    """Order of the gates: input, forget, candidate, output. The forget gate's bias begins at 1 (Jozefowicz et al. 2015)."""

    input: Array  # [I, 4H]
    hidden: Array  # [H, 4H]
    bias: Array  # [4H]

    @staticmethod
    def init(key: Array, inputs: int, width: int) -> LSTM:
        key_input, key_hidden = jax.random.split(key)
        blocks = [orthogonal_init((width, width))(k) for k in jax.random.split(key_hidden, 4)]
        bound = 1.0 / math.sqrt(inputs)
        weight = jax.random.uniform(key_input, (inputs, 4 * width), jnp.float32, -bound, bound)
        return LSTM(weight, jnp.concatenate(blocks, axis=1), jnp.zeros(4 * width).at[width : 2 * width].set(1.0))

    def empty(self, lead: tuple[int, ...], context: int) -> Held:
        zero = jnp.zeros((*lead, self.hidden.shape[0]))
        return Held(zero, zero)

    def step(self, state: Held, x: Array, reset: Array) -> tuple[Held, Array]:
        held = self._advance(state, self._project(x), reset)
        return held, held.h

    def unroll(self, state: Held, xs: Array, resets: Array) -> tuple[Held, Array]:
        """All input projections in one product; only the recurrence is scanned."""

        def one(held: Held, row: tuple[Array, Array]) -> tuple[Held, Array]:
            held = self._advance(held, *row)
            return held, held.h

        return jax.lax.scan(one, state, (self._project(xs), resets))

    def _project(self, x: Array) -> Array:
        y = product(x, self.input)
        return y + along(self.bias, y)

    def _advance(self, held: Held, projected: Array, reset: Array) -> Held:
        h, c = (emptied(reset, x) for x in held)
        i, f, g, o = jnp.split(projected + product(h.astype(projected.dtype), self.hidden), 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return Held(jax.nn.sigmoid(o) * jnp.tanh(c), c)
