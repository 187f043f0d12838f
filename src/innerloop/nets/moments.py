"""Running mean and variance of what an agent sees: carried in meta, never trained, frozen wherever nothing absorbs.

Not a layer: its leaves take no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Moments(NamedTuple):
    """Over all rows absorbed so far; `mean` and `square` [D]."""

    count: Array  # scalar, rows
    mean: Array
    square: Array  # sum of squared deviations from the mean

    @staticmethod
    def empty(width: int) -> Moments:
        """Before any experience: `standardise` changes nothing."""
        return Moments(jnp.zeros(()), jnp.zeros(width), jnp.zeros(width))

    def absorb(self, x: Array, mask: Array) -> Moments:
        """With the rows x [..., D] where mask [...] (Chan et al. 1979). Rows that are not finite are left out."""
        x = x.reshape(mask.size, x.shape[-1])  # D may be 0
        keep = (mask.reshape(-1) & jnp.all(jnp.isfinite(x), -1))[:, None]
        n = jnp.sum(keep).astype(jnp.float32)
        mean = jnp.sum(jnp.where(keep, x, 0.0), 0) / jnp.maximum(n, 1.0)
        square = jnp.sum(jnp.where(keep, (x - mean[None]) ** 2, 0.0), 0)
        total = jnp.maximum(self.count + n, 1.0)
        gap = mean - self.mean
        return Moments(self.count + n, self.mean + gap * n / total, self.square + square + gap**2 * self.count * n / total)

    def std(self) -> Array:
        """[D]; 1 before any experience, and where nothing varies."""
        std = jnp.sqrt(self.square / jnp.maximum(self.count, 1.0))
        return jax.lax.stop_gradient(jnp.where(std > 1e-6, std, 1.0))

    def standardise(self, x: Array, clip: float = 10.0) -> Array:
        """(x − mean) / std, clipped; x [..., D]."""
        mean, std = (jnp.broadcast_to(s, x.shape) for s in (jax.lax.stop_gradient(self.mean), self.std()))
        return jnp.clip((x - mean) / std, -clip, clip)
