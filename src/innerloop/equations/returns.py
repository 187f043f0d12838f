"""Returns and advantages of one stream, time-major [T]; callers vmap over streams and tasks.

Not normalisation: that is a choice of the method. `ends` marks rows after which nothing is credited backwards.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def discounted_returns(r_t: Array, ends_t: Array, discount: float, bootstrap: Array | float = 0.0) -> Array:
    """G_t = r_t + γ G_{t+1}, cut after every row where `ends_t`; `bootstrap` follows the last row. [T] → [T]."""

    def back(g: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        r, end = x
        g = r + discount * jnp.where(end, 0.0, g)
        return g, g

    return jax.lax.scan(back, jnp.asarray(bootstrap, r_t.dtype), (r_t, ends_t), reverse=True)[1]


def gae(r_t: Array, v_t: Array, v_tp1: Array, cuts_t: Array, zero_tp1: Array, discount: float, lam: float) -> Array:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16). All [T].

    Args:
        v_tp1: value of what follows each row (of the observation before any reset).
        cuts_t: the sum of residuals stops after these rows.
        zero_tp1: nothing of value follows these rows (termination; not truncation).
    """
    delta_t = r_t + discount * jnp.where(zero_tp1, 0.0, v_tp1) - v_t

    def back(a: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, cut = x
        a = delta + discount * lam * jnp.where(cut, 0.0, a)
        return a, a

    return jax.lax.scan(back, jnp.zeros((), r_t.dtype), (delta_t, cuts_t), reverse=True)[1]


def retrace(r_t: Array, d_t: Array, v_tp1: Array, q_t: Array, c_t: Array, cuts_t: Array) -> Array:
    """Retrace (Munos et al. 2016, arXiv 1606.02647): G_t = r_t + d_t (v_{t+1} + c_{t+1} (G_{t+1} − q_{t+1})). All [T].

    Args:
        d_t: discount of what follows each row, 0 after termination.
        v_tp1: value of what follows each row (of the observation before any reset).
        q_t, c_t: value and trace of the action taken, the trace λ min(1, π / μ).
        cuts_t: nothing is traced back across the end of these rows; nor is it across the last.
    """

    def back(later: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        r, d, v, q, c, cut = x
        g = r + d * (v + jnp.where(cut, 0.0, later))
        return c * (g - q), g

    return jax.lax.scan(back, jnp.zeros((), r_t.dtype), (r_t, d_t, v_tp1, q_t, c_t, cuts_t), reverse=True)[1]


def standardise(x: Array, mask: Array, eps: float = 1e-8) -> Array:
    """(x − mean) / (std + eps) over the masked entries of any shape; 0 elsewhere."""
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(jnp.where(mask, x, 0.0)) / count
    std = jnp.sqrt(jnp.sum(jnp.where(mask, (x - mean) ** 2, 0.0)) / count)
    return jnp.where(mask, (x - mean) / (std + eps), 0.0)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of the masked entries; 0 where none is."""
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1)
