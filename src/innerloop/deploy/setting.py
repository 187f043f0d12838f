"""One task of a family, stepped from outside as Gymnasium's environments are.

Not a world, which lives whole batches of lives (`worlds/`).
"""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import jax
import numpy as np

from innerloop.core import Task
from innerloop.tasks.family import Family
from innerloop.tasks.own import Own
from innerloop.tasks.switching import maker

RENDERS = "rgb_array"


class NoPicture(ValueError):
    """An environment that does not render was to be filmed."""


class OnDevice(gymnasium.Env):
    """A task of a family that JAX can trace. Seeds decide everything; spaces are the family's own (`core.spaces`)."""

    def __init__(self, family: Family, task: Task):
        self.family, self.task = family, task
        self._reset, self._step = jax.jit(family.reset), jax.jit(family.step)  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """`seed`: None goes on with the random numbers of the last one."""
        if seed is not None or not hasattr(self, "_key"):
            self._key = jax.random.key(seed or 0)
        self._key, key = jax.random.split(self._key)
        self._state, obs = self._reset(self.task, key)
        return jax.tree.map(np.asarray, obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._key, key = jax.random.split(self._key)
        self._state, obs, reward, terminated, truncated = self._step(self.task, self._state, np.asarray(action), key)
        return jax.tree.map(np.asarray, obs), float(reward), bool(terminated), bool(truncated), {}


def setting(family: Family, seed: int, *, film: bool = False) -> tuple[gymnasium.Env, str]:
    """A task of the family's split, chosen by the seed, and its parameters in words.

    `film`: the environment must render. NoPicture, saying what is accepted, where it does not.
    """
    task = jax.tree.map(lambda x: x[0], family.sample(jax.random.key(seed), 1))
    params = np.concatenate([np.ravel(np.asarray(x)) for x in jax.tree.leaves(task.params)] or [np.zeros(0)])
    told = ", ".join(f"{x:.3g}" for x in params[:6]) + (" …" if params.size > 6 else "")
    if family.on_device:
        if film:
            raise NoPicture(f"{family.name} draws no pictures; --video is for an environment of your own (--env) that renders.")
        return OnDevice(family, task), told
    env = family.make()  # type: ignore[attr-defined]
    family.assign(env, jax.tree.map(np.asarray, task.params))  # type: ignore[attr-defined]
    if isinstance(family, Own):
        told = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in env.task.items()
        )
        if film and "render_mode" in inspect.signature(maker(family.source)).parameters:
            env.become({**env.task, "render_mode": RENDERS})
    if film:
        env.reset(seed=0)
        if getattr(getattr(env, "env", env), "render_mode", None) != RENDERS:
            raise NoPicture(
                f"{family.name}: --video needs an environment that renders; give make() an argument render_mode and hand it on "
                f'(gymnasium.make(…, render_mode=render_mode)), or make it with render_mode="{RENDERS}".'
            )
    return env, told


def start(seed: int, episode: int) -> int:
    """The seed of an episode's reset."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0] >> 1)
