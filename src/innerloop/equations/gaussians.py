"""Beliefs as products of independent Gaussians, unbatched: [T] factors of [D] dimensions; callers vmap.

Not networks, and not distributions over actions (`core/distributions.py`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def product(mean_t: Array, var_t: Array, mask_t: Array) -> tuple[Array, Array]:
    """Mean and variance [D] of Π_t N(mean_t, var_t) over the rows of [T, D] where mask_t [T]; N(0, 1) where there is none
    (Rakelly et al. 2019, eq. 4). Updating by one factor after another gives the same."""
    precision_t = jnp.where(mask_t[:, None], 1.0 / var_t, 0.0)
    precision, weighted = jnp.sum(precision_t, 0), jnp.sum(precision_t * mean_t, 0)
    some = jnp.any(mask_t)
    safe = jnp.where(some, precision, 1.0)
    return jnp.where(some, weighted / safe, 0.0), 1.0 / safe


def kl_to_standard(mean: Array, log_std: Array) -> Array:
    """KL(N(mean, std²) ‖ N(0, 1)), nats, summed over [D]: of one task. (Published PEARL code sums it over the tasks of a
    batch beside a critic's loss that is a mean; per task, its weight is the published λ times the number of tasks.)"""
    return jnp.sum(0.5 * (jnp.exp(2.0 * log_std) + mean**2 - 1.0) - log_std)
