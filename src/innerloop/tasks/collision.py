"""Do two cars in motion overlap, and will they within a moment? The separating axis test for rectangles.

Not what becomes of cars that do (`traffic.py`). As highway-env 1.12 has it (`utils.are_polygons_intersecting`), which takes the
sides one after another: of several equally good ways out the first counts.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

LENGTH, WIDTH = 5.0, 2.0  # of a car, m
Vector = tuple[Array, Array]  # its two components apart, which a CPU prefers


def collide(x: Array, y: Array, heading: Array, speed: Array, dt: float) -> tuple[Array, Array, Vector]:
    """The first of V cars against each of the others.

    Args:
        x, y: [V], m; heading: [V], rad; speed: [V], m/s; dt: s.

    Returns:
        bool [V − 1], which of them it overlaps; bool [V − 1], which it will within `dt`; two floats [V − 1], the least way
        along x and y that it would have to give.
    """
    c, s = jnp.cos(heading), jnp.sin(heading)
    apart = x[:1] - x[1:], y[:1] - y[1:]
    moved = (speed[:1] * c[:1] - speed[1:] * c[1:]) * dt, (speed[:1] * s[:1] - speed[1:] * s[1:]) * dt
    turned = c[:1] * c[1:] + s[:1] * s[1:], c[:1] * s[1:] - s[:1] * c[1:]  # cosine and sine of the angle between the two
    across_other = 0.5 * (LENGTH * jnp.abs(turned[0]) + WIDTH * jnp.abs(turned[1]))  # half of one, along the other
    aside_other = 0.5 * (LENGTH * jnp.abs(turned[1]) + WIDTH * jnp.abs(turned[0]))

    now = soon = jnp.ones(len(x) - 1, bool)
    least = jnp.full(len(x) - 1, jnp.inf, x.dtype)
    give = jnp.zeros_like(least), jnp.zeros_like(least)
    for number, side in enumerate((slice(0, 1), slice(1, None))):
        along, aside = (c[side], s[side]), (-s[side], c[side])
        for axis, own, other in ((along, LENGTH / 2, across_other), (aside, WIDTH / 2, aside_other)):
            extents = (own, other) if number == 0 else (other, own)
            centre, swept = (axis[0] * both[0] + axis[1] * both[1] for both in (apart, moved))
            now &= _apart(centre - extents[0], centre + extents[0], extents[1]) <= 0
            low, high = centre - extents[0] + jnp.minimum(swept, 0.0), centre + extents[0] + jnp.maximum(swept, 0.0)
            ahead, behind = jnp.abs(_apart(low, high, extents[1])), jnp.abs(_apart(-high, -low, extents[1]))
            soon &= (low <= extents[1]) & (high >= -extents[1])
            distance = jnp.minimum(ahead, behind)
            better, sign = distance < least, jnp.where(centre > 0, 1.0, -1.0).astype(x.dtype)
            least = jnp.where(better, distance, least)
            give = tuple(jnp.where(better, distance * sign * part, old) for part, old in zip(axis, give, strict=True))
    near = jnp.hypot(*apart) <= (LENGTH**2 + WIDTH**2) ** 0.5 + jnp.abs(speed[0]) * dt
    return now & near, soon & near, give


def _apart(low: Array, high: Array, half: Array | float) -> Array:
    """Between an interval and one of ± `half`; negative where they overlap."""
    return jnp.where(low < -half, -half - high, low - half)
