"""Square grids with walls around: five moves, and the shortest ways.

Not a family: GridNavi and the dark rooms stand on it. Cells are (x, y) in {0, …, side − 1}²; actions 0 stay, 1 up (y + 1),
2 right (x + 1), 3 down (y − 1), 4 left (x − 1); a move off the grid stays.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

ACTIONS = 5


def move(x: Array, y: Array, action: Array, side: int) -> tuple[Array, Array]:
    """The cell after an action; int32 of the shapes given, which are one."""
    ahead_x = jnp.clip(x + (action == 2) - (action == 4), 0, side - 1)
    ahead_y = jnp.clip(y + (action == 1) - (action == 3), 0, side - 1)
    return ahead_x, ahead_y


def towards(x: Array, y: Array, goal_x: Array, goal_y: Array, side: int) -> Array:
    """The moves that begin a shortest way to the goal, and on it those that stay; bool [..., 5] for int [...] of one shape."""
    reached = [move(x, y, jnp.int32(action), side) for action in range(ACTIONS)]
    left = jnp.stack([jnp.abs(goal_x - to_x) + jnp.abs(goal_y - to_y) for to_x, to_y in reached], axis=-1)
    return left == jnp.min(left, axis=-1, keepdims=True)
