"""Soft actor-critic's targets and losses of one transition (Haarnoja et al. 2018, arXiv 1812.05905), scalars; callers vmap.
For a few alternatives their expectations are exact sums (Christodoulou 2019, arXiv 1910.07207).

Not networks or a memory, and no gradient is stopped here: that is the caller's, who knows what is learned.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def soft_value(q: Array, log_pi: Array, alpha: Array) -> Array:
    """min_i Q_i(a) − α log π(a) of one a ~ π, which the policy ascends, gradient through a included; q [E], twins (eq. 3)."""
    return jnp.min(q, 0) - alpha * log_pi


def expected_soft_value(q: Array, logits: Array, alpha: Array) -> Array:
    """Σ_a π(a) (min_i Q_i(a) − α log π(a)); q [E, A], logits [A] (Christodoulou 2019, eq. 10)."""
    log_pi = jax.nn.log_softmax(logits)
    return jnp.sum(jnp.exp(log_pi) * (jnp.min(q, 0) - alpha * log_pi))


def soft_target(r_t: Array, terminated_t: Array, v_tp1: Array, discount: float) -> Array:
    """r_t + γ v_{t+1} of a soft value. Nothing follows a termination; a truncation is none (eq. 2)."""
    return r_t + discount * jnp.where(terminated_t, 0.0, v_tp1)


def critic_loss(q_t: Array, target_t: Array) -> Array:
    """Σ_i ½ (Q_i − target)² of the twins q_t [E] (eq. 5)."""
    return 0.5 * jnp.sum((q_t - target_t) ** 2)


def temperature_loss(log_alpha: Array, log_pi_t: Array, entropy: float) -> Array:
    """−log α (log π(a) + `entropy`): α grows while the policy's entropy is below `entropy`, nats (eq. 18, in log α)."""
    return -log_alpha * (log_pi_t + entropy)
