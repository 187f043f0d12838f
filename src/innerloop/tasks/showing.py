"""A Gymnasium environment that shows its task: the host half of `shown.py`, free of JAX so that workers start fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np


class Showing(gymnasium.Wrapper):
    """Appends the task's parameters, flattened, to a flat observation, or puts them `beside` it."""

    def __init__(self, make: Callable[[], gymnasium.Env], beside: bool = False):
        super().__init__(make())
        self.params, self.beside = np.zeros(0), beside

    def _show(self, obs: Any) -> Any:
        if self.beside:
            return obs, self.params
        return np.concatenate([np.ravel(obs), self.params])

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**options)
        return self._show(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._show(obs), reward, terminated, truncated, info


def _flat(params: Any) -> np.ndarray:
    """Parameters in the order of `jax.tree`: dict keys sorted, tuples in order."""
    if isinstance(params, dict):
        params = [params[key] for key in sorted(params)]
    if isinstance(params, (tuple, list)):
        return np.concatenate([_flat(item) for item in params]) if params else np.zeros(0)
    return np.ravel(np.asarray(params, np.float64))


def assign(base: Callable[[Any, Any], None], env: Showing, params: Any) -> None:
    """Put a task into the wrapped environment, and remember what to show."""
    base(env.env, params)
    env.params = _flat(params)
