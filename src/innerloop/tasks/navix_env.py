"""NAVIX: MiniGrid's worlds in JAX, by the package of that name.

Not the family (`traced.py`). Its environments have no parameters that JAX may trace; what varies is `level`, a whole number
from which a world is drawn: the same one in all episodes of a task, so that where things lie can be found out and remembered.
Without it, every episode lies in another world.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete, Spaces

LEVEL = "level"
CUT, OVER = 1, 2  # its kinds of steps: truncation, termination


@cache
def _made(name: str) -> Any:
    try:
        navix = importlib.import_module("navix")
    except ImportError as missing:
        raise ValueError(f"the package navix cannot be imported ({missing}): pip install 'innerloop[navix]'") from None
    with jax.ensure_compile_time_eval():
        try:
            return navix.make(name)
        except (KeyError, ValueError, NotImplementedError) as error:
            raise ValueError(f"navix has no {name!r} ({error}); an example of its names: Navix-Empty-8x8-v0.") from None


class Navix:
    """See `traced.Simulator`."""

    def __init__(self, name: str, task: dict[str, Any], max_steps: int = 0):
        self._env, self._level = _made(name), task.get(LEVEL)
        other = sorted(set(task) - {LEVEL})
        if other:
            raise ValueError(
                f"{other[0]} cannot vary in navix; accepted: {LEVEL}, a range of whole numbers, for example 0:999."
            )
        self.limit = int(max_steps or self._env.max_steps)
        with jax.ensure_compile_time_eval():
            # Its spaces say that no cell is above 8, and cells are 10 in Navix-DoorKey-5x5-v0.
            self.spaces = Spaces(
                Box(tuple(int(n) for n in self._env.observation_space.shape)), Discrete(int(self._env.action_space.n))
            )

    def reset(self, key: Array) -> tuple[Any, Any]:
        timestep = self._env.reset(key if self._level is None else jax.random.key(jnp.asarray(self._level, jnp.uint32)))
        return timestep, timestep.observation

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        now = self._env.step(state, action)
        return now, now.observation, now.reward, now.step_type == OVER, now.step_type == CUT
