"""A chart of a family whose tasks are places on a plane: where a goal may lie, and which of them experience leaves possible.

Not a picture (`evaluate/page/trials.py` draws one), and nothing an agent ever sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True)
class Chart:
    """Places [M, 2], each standing for the goals around it, and what a goal pays for an arrival."""

    places: np.ndarray  # [M, 2]
    around: np.ndarray  # [M, J, 2], goals that a place stands for: itself where goals are no others
    side: float  # of the square that a place is; 0: it is a point
    pays: Callable[[Array, Array], Array]  # goal [..., 2], position after the move [..., 2] → reward [...]
    where: Callable[[Any], Array]  # observation [..., *obs] → position [..., 2]
    seen: Callable[[Array], Any]  # its inverse: position [..., 2] → observation [..., *obs]

    def possible(self, arrived: Array, reward: Array) -> Array:
        """Which places experience leaves possible, all being so at first.

        Args:
            arrived: positions after the moves of a trial [T, 2].
            reward: what they paid [T].

        Returns:
            bool [T + 1, M]; row t after t moves. A place that stands for goals around it stays while what was paid lies between
            what they would have paid.
        """
        would = self.pays(jnp.asarray(self.around)[None], jnp.asarray(arrived)[:, None, None])  # [T, M, J]
        paid = jnp.asarray(reward)[:, None]
        fits = (jnp.min(would, -1) - 1e-4 <= paid) & (paid <= jnp.max(would, -1) + 1e-4)
        return jnp.concatenate([jnp.ones((1, fits.shape[1]), bool), jnp.cumsum(~fits, 0) == 0])


def cells(
    places: np.ndarray, pays: Callable[[Array, Array], Array], where: Callable[[Any], Array], seen: Callable[[Array], Any]
) -> Chart:
    """Of a grid: `places` int [M, 2] are the cells in which a goal may lie."""
    places = np.asarray(places, np.float32)
    return Chart(places, places[:, None], 1.0, pays, where, seen)


def _itself(obs: Any) -> Any:
    return jnp.asarray(obs, jnp.float32)


def arc(pays: Callable[[Array, Array], Array], count: int = 121) -> Chart:
    """The upper half of the unit circle, of a robot that sees its position."""
    angles = np.linspace(0.0, np.pi, count)
    near = angles[:, None] + np.pi / (count - 1) * np.array([-0.5, 0.0, 0.5])
    places, around = (np.stack([np.cos(a), np.sin(a)], -1).astype(np.float32) for a in (angles, near))
    return Chart(places, around, 0.0, pays, _itself, _itself)


def square(pays: Callable[[Array, Array], Array], half: float, count: int = 21) -> Chart:
    """The square [-half, half]², of a robot that sees its position."""
    side = 2 * half / count
    middle = (np.arange(count) + 0.5) * side - half
    places = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    corners = side * np.array([(x, y) for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.0, 0.5)], np.float32)
    return Chart(places, places[:, None] + corners, side, pays, _itself, _itself)
