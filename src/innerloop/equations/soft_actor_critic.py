"""Soft actor-critic's targets and losses of one transition (Haarnoja et al. 2018, arXiv 1812.05905), scalars; callers vmap.

Not networks or a memory, and no gradient is stopped here: that is the caller's, who knows what is learned.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def soft_target(r_t: Array, terminated_t: Array, q_tp1: Array, log_pi_tp1: Array, alpha: Array, discount: float) -> Array:
    """r_t + γ (min_i Q_i(o_{t+1}, a) − α log π(a | o_{t+1})), a ~ π; q_tp1 [E] of the twins. Nothing follows a termination; a
    truncation is none (eq. 3, 5)."""
    soft = jnp.min(q_tp1, 0) - alpha * log_pi_tp1
    return r_t + discount * jnp.where(terminated_t, 0.0, soft)


def critic_loss(q_t: Array, target_t: Array) -> Array:
    """Σ_i ½ (Q_i − target)² of the twins q_t [E] (eq. 5)."""
    return 0.5 * jnp.sum((q_t - target_t) ** 2)


def actor_loss(q_t: Array, log_pi_t: Array, alpha: Array) -> Array:
    """α log π(a) − min_i Q_i(a), a ~ π with the gradient through a; q_t [E] (eq. 7, 9)."""
    return alpha * log_pi_t - jnp.min(q_t, 0)


def temperature_loss(log_alpha: Array, log_pi_t: Array, entropy: float) -> Array:
    """−log α (log π(a) + `entropy`): α grows while the policy's entropy is below `entropy`, nats (eq. 18, in log α)."""
    return -log_alpha * (log_pi_t + entropy)
