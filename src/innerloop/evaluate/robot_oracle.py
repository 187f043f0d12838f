"""Point robots: the largest return of one episode when the goal is known.

Not the environments (`tasks/point_goal.py`, `tasks/semi_circle.py`). Definitions: start (0, 0); a step moves each axis by at
most 0.1; the reward falls on the position AFTER the step. point-goal (Finn et al. 2017): goal U[−0.5, 0.5]², reward
−distance, ended once both axes are within 0.01, at most 100 steps. Semi-circles: goal on the upper unit half-circle, no
end; semi-circle-pearl: PEARL's 100 evenly spaced goals shuffled by RandomState(1337), the last 20 for testing, 20 steps,
1 − distance within 0.2, else 0; semi-circle-varibad: any angle, the same reward, 100 steps; semi-circle-dense: any angle,
20 steps, −distance.

The policy moves each axis towards the goal by as much as it may. It is exactly optimal, not only good: after t steps the
reachable positions are the square of half-width 0.1 t, and its position is the point of the square nearest to the goal on
each axis, so every reward, none rising with distance, is the largest possible at that step; and the end, after which a
−distance episode loses nothing more, is the earliest. The MAML paper's "oracle" on point-goal, −2.29, is a trained
stochastic policy that sees the goal, hence below this value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STRIDE, NEAR, RADIUS = 0.1, 0.01, 0.2
_ROUNDING = 1e-9  # a distance equal to RADIUS in exact arithmetic counts as within


def best_returns(goals: np.ndarray, horizon: int, reward: Callable[[np.ndarray], np.ndarray], near: float = 0.0) -> np.ndarray:
    """Return of the best episode for each known goal [M, 2]; `near` > 0 ends it once both axes are closer than that."""
    running = np.ones(goals.shape[0], bool)
    total = np.zeros(goals.shape[0])
    for t in range(1, horizon + 1):
        gap = np.maximum(np.abs(goals) - STRIDE * t, 0.0)
        total += np.where(running, reward(np.hypot(gap[:, 0], gap[:, 1])), 0.0)
        running &= ~np.all(gap < near, axis=1)
        if not running.any():
            break
    return total


def dense(distance: np.ndarray) -> np.ndarray:
    """−distance."""
    return -distance


def sparse(distance: np.ndarray) -> np.ndarray:
    """1 − distance within the radius 0.2, else 0."""
    return np.where(distance <= RADIUS + _ROUNDING, 1.0 - distance, 0.0)


def point_goal(side: int = 1000) -> float:
    """Mean over goals, by the midpoint rule on side² goals of one quadrant (the others mirror it)."""
    axis = (np.arange(side) + 0.5) * 0.5 / side
    goals = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return float(best_returns(goals, 100, dense, NEAR).mean())


def _on_arc(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _any_angle(count: int = 200_000) -> np.ndarray:
    return _on_arc((np.arange(count) + 0.5) * np.pi / count)


def semi_circle_pearl() -> float:
    """Mean over PEARL's 20 test goals."""
    goals = _on_arc(np.linspace(0.0, np.pi, 100))
    np.random.RandomState(1337).shuffle(goals)
    return float(best_returns(goals[80:], 20, sparse).mean())


def semi_circle_varibad() -> float:
    """Mean over angles, by the midpoint rule."""
    return float(best_returns(_any_angle(), 100, sparse).mean())


def semi_circle_dense() -> float:
    """Mean over angles, by the midpoint rule."""
    return float(best_returns(_any_angle(), 20, dense).mean())
