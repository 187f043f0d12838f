"""Spaces: the shape, type and bounds of observations and actions.

Not a sampler or a validator of user environments: that is `worlds/boundary.py`. Spaces are static and hashable, so that
they may stand in a jitted function's static arguments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Discrete:
    """One of `n` alternatives, as int32 in [0, n)."""

    n: int

    @property
    def width(self) -> int:
        """Length of the vector that `encode` gives."""
        return self.n

    def zeros(self, lead: tuple[int, ...] = ()) -> Array:
        return jnp.zeros(lead, jnp.int32)

    def encode(self, x: Array) -> Array:
        """int [...] → float32 [..., n], one-hot."""
        return jax.nn.one_hot(x, self.n, dtype=jnp.float32)


@dataclass(frozen=True)
class Cells(Discrete):
    """A cell of a square grid of `n` = side² by its number x · side + y, encoded by its coordinates: what is learned of some
    cells then says something of others."""

    @property
    def side(self) -> int:
        """Cells in a row."""
        return math.isqrt(self.n)

    @property
    def width(self) -> int:
        return 2 * self.side

    def encode(self, x: Array) -> Array:
        """int [...] → float32 [..., 2 side], the row and the column, one-hot each."""
        places = jax.nn.one_hot(jnp.stack([x // self.side, x % self.side], -1), self.side, dtype=jnp.float32)
        return jnp.reshape(places, (*jnp.shape(x), self.width))


IMAGE = 16  # pixels that either side of an image has at least; smaller boxes are flattened


@dataclass(frozen=True)
class Box:
    """Real vectors of `shape`; `low` and `high` bound every entry and may be infinite."""

    shape: tuple[int, ...]
    low: float = -math.inf
    high: float = math.inf
    dtype: str = "float32"  # in which lives hold it: "uint8" keeps images at a quarter of the memory

    @property
    def width(self) -> int:
        """Length of the vector that `encode` gives."""
        return math.prod(self.shape)

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def image(self) -> bool:
        """Whether it is an image [height, width, channels], of 16 × 16 pixels at least."""
        return len(self.shape) == 3 and min(self.shape[:2]) >= IMAGE

    def zeros(self, lead: tuple[int, ...] = ()) -> Array:
        return jnp.zeros((*lead, *self.shape), self.dtype)

    def encode(self, x: Array) -> Array:
        """real [..., *shape] → float32 [..., width]; a bounded box is scaled to [-1, 1]."""
        return self.scale(jnp.reshape(x, (*x.shape[: x.ndim - len(self.shape)], self.width)))

    def scale(self, x: Array) -> Array:
        """real [...] → float32 [...], a bounded box's from [low, high] to [-1, 1]."""
        x = x.astype(jnp.float32)
        if self.bounded:
            x = (2.0 * x - (self.high + self.low)) / (self.high - self.low)
        return x


Space = Discrete | Box


class Spaces(NamedTuple):
    """What a task family's agents see and do."""

    obs: Any  # a Space, or a tuple or dict of them
    action: Space


def _keys(space: Any) -> Any:
    """Of a nested space, in the order in which its parts are encoded."""
    return sorted(space) if isinstance(space, dict) else range(len(space))


def encode(space: Any, x: Any) -> Array:
    """Flatten an observation of any (nested) space to float32 [..., width]."""
    if isinstance(space, (Discrete, Box)):
        return space.encode(x)
    return jnp.concatenate([encode(space[k], x[k]) for k in _keys(space)], axis=-1)


def width(space: Any) -> int:
    """Length of the vector that `encode` gives for this (nested) space."""
    if isinstance(space, (Discrete, Box)):
        return space.width
    return sum(width(s) for s in (space.values() if isinstance(space, dict) else space))


def parts(space: Any, x: Any = None) -> list[tuple[Space, Any]]:
    """The plain spaces in a (nested) space, in the order in which they are encoded, each with its part of an observation."""
    if isinstance(space, (Discrete, Box)):
        return [(space, x)]
    return [part for k in _keys(space) for part in parts(space[k], None if x is None else x[k])]


def images(space: Any, x: Any = None) -> list[tuple[Box, Any]]:
    """The images in a (nested) space, each with its part of an observation."""
    return [(part, y) for part, y in parts(space, x) if isinstance(part, Box) and part.image]


def vectors(space: Any, x: Any) -> Array:
    """All but the images of an observation, flattened as `encode` does; float32 [..., P], and P may be 0."""
    found = parts(space, x)
    rows = [part.encode(y) for part, y in found if not (isinstance(part, Box) and part.image)]
    if rows:
        return jnp.concatenate(rows, axis=-1) if len(rows) > 1 else rows[0]
    image, y = images(space, x)[0]
    return jnp.zeros((*y.shape[: y.ndim - len(image.shape)], 0))


def zeros(space: Any, lead: tuple[int, ...] = ()) -> Any:
    """An all-zero observation or action of this (nested) space, with leading axes `lead`."""
    if isinstance(space, (Discrete, Box)):
        return space.zeros(lead)
    if isinstance(space, dict):
        return {k: zeros(s, lead) for k, s in space.items()}
    return tuple(zeros(s, lead) for s in space)
