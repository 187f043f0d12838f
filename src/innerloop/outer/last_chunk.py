"""The last chunk of each life, which all earlier ones adapted: what its rows are credited with, and what it paid.

Not an objective: outers for adapted policies share this.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Chunk, Lifetime, Spaces
from innerloop.core.spaces import vectors
from innerloop.equations.linear_baseline import credit
from innerloop.equations.returns import masked_mean


def last_rows(lives: Lifetime, axis: int = 0) -> Chunk:
    """The chunk at the end; `axis` of the chunks: 0 in one life, 1 in a batch of lives."""
    return jax.tree.map(lambda x: jnp.take(x, -1, axis), lives.chunks)


def credits(spaces: Spaces, lives: Lifetime, discount: float, lam: float, weights: str, normalise: str) -> Array:
    """Of the last chunks of lives [B, ...]: [B, T, N], each task's by itself, with no gradient."""

    def one(rows: Chunk) -> Array:
        ends = rows.terminated | rows.truncated
        obs = vectors(spaces.obs, rows.step.obs)
        return credit(weights, obs, rows.reward, rows.step.first, ends, rows.mask, discount, lam, normalise)

    return jax.vmap(one)(last_rows(lives, 1))


def luck(lives: Lifetime) -> Array:
    """Of lives [B, ...]: by how much the last chunk's mean reward per step was above that of the other tasks; [B], with no
    gradient. The others' mean does not depend on the task's own experience, so as a baseline it adds no bias."""
    rows = last_rows(lives, 1)
    paid = jax.vmap(masked_mean)(rows.reward, rows.mask)
    good = jnp.isfinite(paid)
    total, count = jnp.sum(jnp.where(good, paid, 0.0)), jnp.sum(good)
    others = jnp.where(count > 1, (total - paid) / jnp.maximum(count - 1, 1), 0.0)
    return jax.lax.stop_gradient(paid - others)
