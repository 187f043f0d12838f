"""Soft Q-learning's target (Haarnoja et al. 2018, arXiv 1812.05905, eq. 2 and 3). Not the losses around it."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def soft_target(reward: Array, terminated: Array, q_next: Array, log_prob_next: Array, discount: float, alpha: Array) -> Array:
    """r + γ (1 − terminated) (Q'(s', a') − α log π(a' | s')), a' ~ π; all of one shape. Truncation is no argument: an episode
    that a time limit cut is valued on."""
    soft = q_next - alpha * log_prob_next
    return reward + jnp.where(terminated, 0.0, discount * soft)
