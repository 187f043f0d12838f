"""PPO's clipped surrogate and clipped value loss, elementwise. Not averages: the method masks and averages."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def clipped_surrogate(log_ratio: Array, advantage: Array, clip: float) -> Array:
    """−min(r A, clip(r, 1±ε) A) (Schulman et al. 2017, eq. 7), to be minimised."""
    ratio = jnp.exp(log_ratio)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)
