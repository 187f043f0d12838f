"""Do two cars in motion overlap, and will they within a moment? The separating axis test for rectangles.

Not what becomes of cars that do (`traffic.py`). As highway-env 1.12 has it (`utils.are_polygons_intersecting`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

LENGTH, WIDTH = 5.0, 2.0  # of a car, m
_CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))


def corners(place: Array, heading: Array) -> Array:
    """place [..., 2] of the centre, heading [...] → [..., 4, 2], in turn around the car."""
    c, s = jnp.cos(heading)[..., None], jnp.sin(heading)[..., None]
    along = jnp.asarray([x * LENGTH for x, _ in _CORNERS], place.dtype).reshape((1,) * heading.ndim + (4,))
    across = jnp.asarray([y * WIDTH for _, y in _CORNERS], place.dtype).reshape((1,) * heading.ndim + (4,))
    return place[..., None, :] + jnp.stack([c * along - s * across, s * along + c * across], -1)


def collide(place: Array, heading: Array, velocity: Array, dt: float) -> tuple[Array, Array, Array]:
    """The first of V cars against each of the others.

    Args:
        place: [V, 2] m; heading: [V] rad; velocity: [V, 2] m/s; dt: s.

    Returns:
        bool [V − 1], which of them it overlaps; bool [V − 1], which it will within `dt`; float [V − 1, 2], the least way it would
        have to give.
    """
    shapes = corners(place, heading)  # [V, 4, 2]
    others = shapes[1:]
    own = jnp.broadcast_to(shapes[:1], others.shape)
    both = jnp.stack([own, others], 1)  # [O, 2, 4, 2]
    edges = jnp.roll(both, -1, axis=2) - both
    normals = jnp.reshape(jnp.stack([-edges[..., 1], edges[..., 0]], -1), (len(others), 8, 2))
    normals = normals / jnp.linalg.norm(normals, axis=-1, keepdims=True)
    a = jnp.einsum("okd,ocd->okc", normals, own)
    b = jnp.einsum("okd,ocd->okc", normals, others)
    low_a, high_a, low_b, high_b = jnp.min(a, -1), jnp.max(a, -1), jnp.min(b, -1), jnp.max(b, -1)  # [O, 8]
    overlap = jnp.all(_apart(low_a, high_a, low_b, high_b) <= 0, -1)
    swept = jnp.einsum("okd,od->ok", normals, (velocity[:1] - velocity[1:]) * dt)
    apart = _apart(low_a + jnp.minimum(swept, 0.0), high_a + jnp.maximum(swept, 0.0), low_b, high_b)
    soon = jnp.all(apart <= 0, -1)
    least = jnp.argmin(jnp.abs(apart), -1)[:, None]
    axis = jnp.take_along_axis(normals, least[..., None], 1)[:, 0]  # [O, 2]
    away = jnp.sum((place[:1] - place[1:]) * axis, -1, keepdims=True) > 0
    give = jnp.take_along_axis(jnp.abs(apart), least, 1) * jnp.where(away, axis, -axis)
    diagonal = (LENGTH**2 + WIDTH**2) ** 0.5
    speed = jnp.linalg.norm(velocity[0])
    near = jnp.linalg.norm(place[1:] - place[:1], axis=-1) <= diagonal + speed * dt
    return overlap & near, soon & near, give


def _apart(low_a: Array, high_a: Array, low_b: Array, high_b: Array) -> Array:
    """Between two intervals; negative where they overlap."""
    return jnp.where(low_a < low_b, low_b - high_a, low_a - high_b)
