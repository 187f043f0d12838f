"""Memory cells behind one interface: `init`, `empty`, `step`.

Not the agent around them: that is `inner/recurrent.py`.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


class GRU(eqx.Module):
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the recurrent product (cuDNN's variant).

    x [..., I], h [..., H] → h [..., H]. Order of the gates: reset, update, candidate.
    """

    input: Array  # [I, 3H]
    hidden: Array  # [H, 3H]
    bias: Array  # [3H]
    candidate_bias: Array  # [H]

    @staticmethod
    def init(key: Array, inputs: int, width: int) -> GRU:
        key_input, key_hidden = jax.random.split(key)
        orthogonal = jax.nn.initializers.orthogonal()
        blocks = [orthogonal(k, (width, width), jnp.float32) for k in jax.random.split(key_hidden, 3)]
        bound = 1.0 / math.sqrt(inputs)
        weight = jax.random.uniform(key_input, (inputs, 3 * width), jnp.float32, -bound, bound)
        return GRU(weight, jnp.concatenate(blocks, axis=1), jnp.zeros(3 * width), jnp.zeros(width))

    def empty(self, lead: tuple[int, ...]) -> Array:
        """The memory before any experience."""
        return jnp.zeros((*lead, self.hidden.shape[0]))

    def project(self, x: Array) -> Array:
        """The part of `step` that does not depend on the memory: a whole sequence's in one product."""
        y = x @ self.input
        return y + jnp.broadcast_to(self.bias, y.shape)

    def step(self, h: Array, projected: Array) -> Array:
        """One step from `project(x)`."""
        r_x, z_x, n_x = jnp.split(projected, 3, axis=-1)
        r_h, z_h, n_h = jnp.split(h @ self.hidden, 3, axis=-1)
        r, z = jax.nn.sigmoid(r_x + r_h), jax.nn.sigmoid(z_x + z_h)
        n = jnp.tanh(n_x + r * (n_h + jnp.broadcast_to(self.candidate_bias, n_h.shape)))
        return n + z * (h - n)
