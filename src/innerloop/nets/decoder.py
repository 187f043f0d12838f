"""A decoder: from a latent and what was seen and done, what a transition pays and where it leads.

Not a likelihood: what its outputs mean is the inner's to say.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense, Perceptron


class Factored(eqx.Module):
    """Σ_f φ_f(latent) ψ_f(rows), and an offset from either: E latents explain I rows in E + I passes of nets, not E · I."""

    latent: Perceptron
    latent_out: Dense  # → O offsets and F features
    rows: Perceptron
    rows_out: Dense  # → O offsets and F · O features
    outputs: int = eqx.field(static=True)  # O

    @staticmethod
    def init(key: Array, latent: int, inputs: int, hidden: tuple[int, ...], features: int, outputs: int) -> Factored:
        keys = jax.random.split(key, 4)
        return Factored(
            Perceptron.init(keys[0], latent, hidden),
            Dense.init(keys[1], (latent, *hidden)[-1], outputs + features),
            Perceptron.init(keys[2], inputs, hidden),
            Dense.init(keys[3], (inputs, *hidden)[-1], (1 + features) * outputs),
            outputs,
        )

    def __call__(self, latent: Array, rows: Array) -> Array:
        """latent [E, ..., D] and rows [I, ..., R], of one lead between → [E, I, ..., O]."""
        z, x, o = self.latent_out(self.latent(latent, "relu")), self.rows_out(self.rows(rows, "relu")), self.outputs
        kernel = jnp.reshape(x[..., o:], (*x.shape[:-1], z.shape[-1] - o, o))
        y = jnp.einsum("e...f,i...fo->ei...o", z[..., o:], kernel)
        offsets = jnp.broadcast_to(z[:, None, ..., :o], y.shape), jnp.broadcast_to(x[None, ..., :o], y.shape)
        return y + offsets[0] + offsets[1]


class Decoder(eqx.Module):
    """All arguments are flat and encoded."""

    reward: Factored
    state: Any  # Factored, or None where states are not foretold

    @staticmethod
    def init(
        key: Array, latent: int, obs: int, action: int, hidden: tuple[int, ...], features: int, whole: bool, states: bool
    ) -> Decoder:
        """`whole`: rewards by (m, s, a, s'), else by (m, s') alone; `states`: foretell s' too."""
        key_reward, key_state = jax.random.split(key)
        read = obs + (obs + action if whole else 0)
        state = Factored.init(key_state, latent, obs + action, hidden, features, obs) if states else None
        return Decoder(Factored.init(key_reward, latent, read, hidden, features, 1), state)

    def paid(self, latent: Array, arrived: Array, before: tuple[Array, ...] = ()) -> Array:
        """One number for each latent and transition [E, I, ...]; `before`: observation and action, where it reads them."""
        return self.reward(latent, jnp.concatenate([*before, arrived], -1))[..., 0]

    def led(self, latent: Array, obs: Array, action: Array) -> Array:
        """The state that each action leads to by each latent [E, I, ..., O]."""
        return self.state(latent, jnp.concatenate([obs, action], -1))
