"""Environments of Brax's interface: those of Brax and of MuJoCo Playground, and classes of one's own that have it.

Not the family (`traced.py`). The interface: `reset(rng) → State`, `step(State, action) → State`, the State being a pytree with
`obs`, `reward` and `done`; `observation_size` (a number, a shape, or a dict of them), `action_size`, actions within ±1; and,
where it is there, `episode_length`. What varies are the arguments that the environment is made with; where those are not
enough, a function of one's own makes it: `env:brax:package.module:make?mass=0.5:2`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces
from innerloop.tasks.traced import own

LENGTH = 1000  # steps of an episode, in both packages


class Brax:
    """See `traced.Simulator`. Brax's own environments bare, without its wrappers for episodes, batches and resets."""

    def __init__(self, name: str, task: dict[str, Any], max_steps: int = 0):
        make = own(name)
        try:
            self._env = self._package(name, task) if make is None else make(**task)
        except TypeError as error:
            raise ValueError(f"{name} cannot be made with {', '.join(task) or 'no arguments'}: {error}.") from None
        self.spaces = Spaces(_space(name, self._env.observation_size), Box((int(self._env.action_size),), -1.0, 1.0))
        known = getattr(self._env, "episode_length", 0) or (0 if make is not None else LENGTH)
        self.limit = int(max_steps or known)

    def _package(self, name: str, task: dict[str, Any]) -> Any:
        envs = _imported("brax.envs", "brax")
        if name not in envs._envs:
            raise ValueError(f"brax has no {name!r}; it has: {', '.join(sorted(envs._envs))}.")
        return envs.get_environment(name, **task)

    def reset(self, key: Array) -> tuple[Any, Any]:
        state = self._env.reset(key)
        return state, state.obs

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        state = self._env.step(state, jnp.clip(action, -1.0, 1.0))
        info = getattr(state, "info", None)
        cut = info["truncation"] > 0 if isinstance(info, Mapping) and "truncation" in info else jnp.zeros((), bool)
        return state, state.obs, state.reward, state.done > 0, cut


class Playground(Brax):
    """MuJoCo Playground's; nothing in them varies by name, since their configuration is read before anything is traced."""

    def _package(self, name: str, task: dict[str, Any]) -> Any:
        if task:
            raise ValueError(
                f"{', '.join(task)} cannot vary by name in Playground; write a function that makes the environment: "
                "brax:package.module:make."
            )
        return _loaded(name)


@cache
def _loaded(name: str) -> Any:
    registry = _imported("mujoco_playground", "playground").registry
    if name not in registry.ALL_ENVS:
        raise ValueError(f"Playground has no {name!r}; it has: {', '.join(sorted(registry.ALL_ENVS))}.")
    with jax.ensure_compile_time_eval():
        return registry.load(name)


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise ValueError(f"the package {package} cannot be imported ({missing}): pip install 'innerloop[{package}]'") from None


def _space(name: str, size: Any) -> Any:
    if isinstance(size, Mapping):
        return {part: _space(name, inner) for part, inner in size.items()}
    shape = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    try:
        return Box(tuple(int(n) for n in shape))
    except (TypeError, ValueError):
        raise ValueError(f"{name}: observation_size is {size!r:.80}; accepted: a number, a shape, or a dict of them.") from None
