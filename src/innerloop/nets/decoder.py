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


class Decoder(eqx.Module):
    """Two ReLU nets; all arguments are flat and encoded, [..., *], with one lead."""

    body: Perceptron
    reward: Dense
    state_body: Any  # Perceptron, or None where states are not foretold
    state: Any

    @staticmethod
    def init(key: Array, latent: int, obs: int, action: int, hidden: tuple[int, ...], whole: bool, states: bool) -> Decoder:
        """`whole`: rewards by (m, s, a, s'), else by (m, s') alone; `states`: foretell s' too."""
        key_body, key_reward, key_state_body, key_state = jax.random.split(key, 4)
        read, moved = latent + obs + (obs + action if whole else 0), latent + obs + action
        body = Perceptron.init(key_body, read, hidden)
        reward = Dense.init(key_reward, (read, *hidden)[-1], 1)
        if not states:
            return Decoder(body, reward, None, None)
        state = Dense.init(key_state, (moved, *hidden)[-1], obs)
        return Decoder(body, reward, Perceptron.init(key_state_body, moved, hidden), state)

    def paid(self, latent: Array, arrived: Array, before: tuple[Array, ...] = ()) -> Array:
        """One number a transition [...]; `before`: observation and action, where it was made to read them."""
        return self.reward(self.body(jnp.concatenate([latent, *before, arrived], -1), "relu"))[..., 0]

    def led(self, latent: Array, obs: Array, action: Array) -> Array:
        """The state that an action leads to [..., O]."""
        return self.state(self.state_body(jnp.concatenate([latent, obs, action], -1), "relu"))
