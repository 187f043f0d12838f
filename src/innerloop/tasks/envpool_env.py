"""An environment of EnvPool as a Gymnasium environment: `env:envpool:NAME`, and what varies are options of the pool.

A pool of one: lives are put side by side by the worlds. The only file that imports envpool (the extra `envpool`, 0.9 GB), and
free of JAX: worker processes import it.
"""

from __future__ import annotations

import difflib
import importlib
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

KIND = "envpool:"
SMALLEST = 16  # pixels of an image's side, below which it is none
ENDLESS = 2**31 - 1  # steps, by which EnvPool says that it cuts no episode
OWN = (  # options that are the pool's and not the task's
    "num_envs",
    "batch_size",
    "num_threads",
    "seed",
    "env_seed",
    "max_num_players",
    "base_path",
    "gym_reset_return_info",
    "thread_affinity_offset",
)


def package(wanted_by: str = "env:envpool") -> Any:
    """EnvPool, imported when it is first needed."""
    try:
        return importlib.import_module("envpool")
    except ImportError:
        raise ValueError(f"{wanted_by} needs the package envpool: pip install 'innerloop[envpool]'") from None


def maker(source: str) -> Any:
    """The function of a task behind "envpool:NAME"; ValueError where EnvPool has no such environment."""
    name, known = source.removeprefix(KIND), package().list_all_envs()
    if name not in known:
        near = difflib.get_close_matches(name, known, 3)
        raise ValueError(
            f"--env {source}: EnvPool {package().__version__} has no environment {name!r}"
            + (f"; nearest: {', '.join(near)}." if near else f"; it has {len(known):,}, envpool.list_all_envs() tells them.")
        )
    return partial(PoolOfOne, name)


class PoolOfOne(gymnasium.Env):
    """One environment of a pool. Images come with their channels last. A pool is seeded when it is made, so a reset with a seed
    makes another."""

    def __init__(self, name: str, **options: Any):
        """ValueError where the environment has no such options."""
        known = sorted(set(package().make_spec(name)._config_keys) - set(OWN))
        wrong = sorted(set(options) - set(known))
        if wrong:
            raise ValueError(f"{name} of EnvPool has no options {', '.join(wrong)}; accepted: {', '.join(known)}")
        self.name, self.options = name, options
        self.pool = self._made(0)
        shown = self.pool.observation_space
        self._turned = _is_image(shown)
        self.observation_space = _channels_last(shown) if self._turned else shown
        self.action_space = self.pool.action_space
        limit = int(self.pool.spec.config.max_episode_steps)
        self.spec = EnvSpec(name.replace("/", "-"), max_episode_steps=limit if limit < ENDLESS else None)

    def _made(self, seed: int) -> Any:
        return package().make_gymnasium(self.name, num_envs=1, num_threads=1, seed=seed, **self.options)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The beginning of an episode."""
        super().reset(seed=seed)
        if seed is not None:
            self.pool.close()
            self.pool = self._made(int(self.np_random.integers(2**31)))
        return self._seen(self.pool.reset()[0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step."""
        given = np.asarray(action, self.action_space.dtype)[None]
        obs, reward, terminated, truncated, _ = self.pool.step(given.astype(np.int32) if given.dtype.kind == "i" else given)
        return self._seen(obs), float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def _seen(self, obs: Any) -> Any:
        if isinstance(obs, dict):
            return {name: self._seen(part) for name, part in obs.items()}
        one = np.asarray(obs)[0]
        return np.ascontiguousarray(np.moveaxis(one, 0, -1)) if self._turned else one

    def close(self) -> None:
        """Of the pool."""
        self.pool.close()


def _is_image(space: Any) -> bool:
    shape = getattr(space, "shape", None) or ()
    return len(shape) == 3 and space.dtype == np.uint8 and shape[0] < SMALLEST <= min(shape[1:])


def _channels_last(space: Any) -> Any:
    low, high = (np.moveaxis(bound, 0, -1) for bound in (space.low, space.high))
    return gymnasium.spaces.Box(low, high, dtype=space.dtype)
