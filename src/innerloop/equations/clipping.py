"""PPO's clipped surrogate and what was discovered in its place, elementwise. Not averages: the method masks and averages.

Both are mirror learning (Kuba et al. 2022, arXiv 2208.01682): ratio times advantage, less a *drift* that is nowhere negative,
and zero with zero slope where the ratio is 1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def clipped_surrogate(log_ratio: Array, advantage: Array, clip: float) -> Array:
    """−min(r A, clip(r, 1±ε) A) (Schulman et al. 2017, eq. 7), to be minimised."""
    ratio = jnp.exp(log_ratio)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)


def clipped_drift(log_ratio: Array, advantage: Array, clip: float) -> Array:
    """The drift behind `clipped_surrogate`: ReLU((r − clip(r, 1±ε)) A) (Lu et al. 2022, arXiv 2210.05639, §4)."""
    ratio = jnp.exp(log_ratio)
    return jax.nn.relu((ratio - jnp.clip(ratio, 1.0 - clip, 1.0 + clip)) * advantage)


def discovered_drift(log_ratio: Array, advantage: Array, alpha: float = 2.0, beta: float = 0.6) -> Array:
    """DPO's, the closed form of what evolution found (Lu et al. 2022, eq. 4):
    A ≥ 0: ReLU((r − 1) A − α tanh((r − 1) A / α));  A < 0: ReLU(log r A − β tanh(log r A / β))."""
    better, worse = (jnp.exp(log_ratio) - 1.0) * advantage, log_ratio * advantage
    rise = jax.nn.relu(better - alpha * jnp.tanh(better / alpha))
    fall = jax.nn.relu(worse - beta * jnp.tanh(worse / beta))
    return jnp.where(advantage >= 0, rise, fall)


def discovered_surrogate(log_ratio: Array, advantage: Array) -> Array:
    """−(r A − drift), to be minimised."""
    return -(jnp.exp(log_ratio) * advantage - discovered_drift(log_ratio, advantage))
