"""A level of a Procgen game as a Gymnasium environment, by EnvPool's port of the games.

Not the family of tasks (`procgen.py`). On Linux the games need the system's Qt 5. Free of JAX: worker processes import it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from innerloop.tasks.envpool_env import package

ACTIONS = 15
SHAPE = (64, 64, 3)


def pool(game: str, level: int, seed: int) -> Any:
    """A pool of one environment that knows this level alone; `seed` is for what happens in it."""
    name = f"{game.capitalize()}Easy-v0"
    try:
        return package("a procgen family").make_gymnasium(
            name, num_envs=1, num_threads=1, num_levels=1, start_level=level, seed=seed
        )
    except ImportError as error:  # of the system's Qt, only when a game is made
        raise ValueError(f"procgen families: {error}") from None


class ProcgenEnv(gymnasium.Env):
    """One level, the same in every episode; truncated after `length` steps."""

    def __init__(self, game: str, length: int):
        self.game, self.length, self.level, self.elapsed = game, length, 0, 0
        self.action_space = gymnasium.spaces.Discrete(ACTIONS)
        self.observation_space = gymnasium.spaces.Box(0, 255, SHAPE, np.uint8)
        self.pool: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """The level's beginning. A pool is seeded when it is made, so each episode has its own (1 ms)."""
        super().reset(seed=seed)
        self.close()
        self.pool = pool(self.game, self.level, int(self.np_random.integers(2**31)))
        self.elapsed = 0
        return _seen(self.pool.reset()[0]), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step of the game."""
        obs, reward, terminated, truncated, _ = self.pool.step(np.array([int(action)], np.int32))
        self.elapsed += 1
        return _seen(obs), float(reward[0]), bool(terminated[0]), bool(truncated[0]) or self.elapsed >= self.length, {}

    def close(self) -> None:
        """Of the pool; the next reset makes another."""
        if self.pool is not None:
            self.pool.close()
        self.pool = None


def _seen(obs: np.ndarray) -> np.ndarray:
    """uint8 [1, 3, 64, 64] → [64, 64, 3]"""
    return np.ascontiguousarray(np.moveaxis(obs[0], 0, -1))


def assign(env: ProcgenEnv, params: Any) -> None:
    """Put a task into an environment; `params` is the level's number."""
    env.level = int(params)
