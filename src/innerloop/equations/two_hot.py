"""Values as a distribution over bins: two ways to squash them, their inverses, and the two-hot code between two bins.

Not a critic: the method decides what is coded, and how classifiers are averaged.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def symlog(x: Array) -> Array:
    """sign(x) ln(1 + |x|) (Hafner et al. 2023, arXiv 2301.04104)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Array) -> Array:
    """sign(x) (e^|x| − 1), the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def hyperbolic(x: Array, slope: float = 1e-3) -> Array:
    """sign(x) (√(|x| + 1) − 1) + slope x (Pohlen et al. 2018, arXiv 1805.11593)."""
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1.0) - 1.0) + slope * x


def parabolic(x: Array, slope: float = 1e-3) -> Array:
    """The inverse of `hyperbolic`."""
    root = (jnp.sqrt(1.0 + 4.0 * slope * (slope + 1.0 + jnp.abs(x))) - 1.0) / (2.0 * slope)
    return jnp.sign(x) * (root**2 - 1.0)


def symlog_bins(limit: float, count: int) -> Array:
    """`count` bins [count] from −limit to limit, evenly spaced in symlog; with an odd count one is 0."""
    edge = symlog(jnp.asarray(limit, jnp.float32))
    bins = symexp(jnp.linspace(-1.0, 1.0, count) * edge)
    return 0.5 * (bins - jnp.flip(bins))  # symmetric to the last bit


def two_hot(x: Array, bins: Array) -> Array:
    """Probabilities [..., bins] on the two bins around x [...], with mean x; what lies beyond the last bins is clipped."""
    x = jnp.clip(x, bins[0], bins[-1])
    above = jnp.clip(jnp.searchsorted(bins, x, side="right"), 1, bins.size - 1)
    low, high = bins[above - 1], bins[above]
    share = (x - low) / (high - low)
    one_hot = lambda i: jax.nn.one_hot(i, bins.size)  # noqa: E731
    return (1.0 - share)[..., None] * one_hot(above - 1) + share[..., None] * one_hot(above)


def mean_of(logits: Array, bins: Array) -> Array:
    """The mean [...] of a classifier over bins; logits [..., bins]. Symmetric logits over symmetric bins give exactly 0."""
    p = jax.nn.softmax(logits)
    weighted = p * jnp.broadcast_to(bins, p.shape)
    half = bins.size // 2
    return jnp.sum(weighted[..., :half] + jnp.flip(weighted, -1)[..., :half], -1) + (
        weighted[..., half] if bins.size % 2 else jnp.zeros(p.shape[:-1])
    )
