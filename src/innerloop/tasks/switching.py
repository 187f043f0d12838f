"""A user's environment as lives meet it: made anew for every task, with spaces that agents know and episodes that end.

Not what varies (`varying.py`). Free of JAX: worker processes import it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from innerloop.outside import imported
from innerloop.tasks import envpool_env
from innerloop.tasks.single import single
from innerloop.tasks.varying import Choice, Varies

PRODUCT = 4096  # combinations of a MultiDiscrete action, at most


def maker(source: str) -> Any:
    """The function behind "package.module:make", modules in the working folder included, or behind "envpool:NAME"; ValueError
    where there is none."""
    if source.startswith(envpool_env.KIND):
        return envpool_env.maker(source)
    module, colon, attribute = source.partition(":")
    if not colon or not module or not attribute:
        raise ValueError(f"--env takes package.module:make; given {source!r}.")
    return imported(source, "--env")


def plain(space: Any) -> Any:
    """A Gymnasium space in four kinds: Box of floats or bytes, Discrete from 0, Dict and Tuple of these. ValueError else."""
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, spaces.Box):
        if space.dtype == np.uint8:
            return space
        return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
    if isinstance(space, spaces.MultiBinary):
        return spaces.Box(0.0, 1.0, tuple(np.atleast_1d(space.shape)), np.float32)
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.Tuple([spaces.Discrete(int(n)) for n in space.nvec.ravel()])
    if isinstance(space, spaces.Dict):
        return spaces.Dict({name: plain(part) for name, part in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([plain(part) for part in space])
    raise ValueError(f"{space} cannot be read; accepted: Box, Discrete, MultiDiscrete, MultiBinary, and Dict or Tuple of them.")


def seen(space: Any, obs: Any) -> Any:
    """An observation of `space`, as one of `plain(space)`."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(obs) - space.start
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(np.ravel(np.asarray(obs) - space.start))
    if isinstance(space, spaces.Dict):
        return {name: seen(part, obs[name]) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(seen(part, one) for part, one in zip(space, obs, strict=True))
    return obs


class Acting:
    """How an agent's action, of a Discrete from 0 or a Box of equal bounds, becomes one of the environment's."""

    def __init__(self, space: Any):
        """ValueError where there is no way."""
        self.space = space
        if isinstance(space, spaces.Discrete):
            self.agent = spaces.Discrete(int(space.n))
        elif isinstance(space, (spaces.MultiDiscrete, spaces.MultiBinary)):
            each = np.full(space.shape, 2) if isinstance(space, spaces.MultiBinary) else space.nvec
            total = int(np.prod(each.astype(np.int64)))
            if total > PRODUCT:
                raise ValueError(f"action_space {space} has {total:,} combinations; accepted: {PRODUCT:,} at most.")
            self.each, self.agent = each, spaces.Discrete(total)
        elif isinstance(space, spaces.Box):
            if not np.all(np.isfinite([space.low, space.high])):
                raise ValueError(
                    "action_space is an unbounded Box; give finite bounds, so that actions can be clipped to them."
                )
            alike = np.ptp(space.low) == 0 and np.ptp(space.high) == 0
            low, high = (float(np.min(space.low)), float(np.max(space.high))) if alike else (-1.0, 1.0)
            self.alike, self.agent = alike, spaces.Box(low, high, space.shape, np.float32)
        else:
            raise ValueError(f"action_space is {space}; accepted: Discrete, Box, MultiDiscrete, MultiBinary.")

    def __call__(self, action: Any) -> Any:
        space = self.space
        if isinstance(space, spaces.Discrete):
            return int(action) + int(space.start)
        if isinstance(space, spaces.Box):
            action = np.clip(np.asarray(action, np.float64), self.agent.low, self.agent.high)  # pyright: ignore[reportAttributeAccessIssue]
            if not self.alike:
                action = space.low + (action + 1) / 2 * (space.high.astype(np.float64) - space.low)
            return action.astype(space.dtype)
        parts = np.reshape(np.unravel_index(int(action), self.each.ravel()), self.each.shape)
        start = getattr(space, "start", 0)
        return (parts + start).astype(space.dtype)


class Switching(gymnasium.Env):
    """Makes the environment of its task when it is next reset. Ends an episode after `limit` steps at most."""

    def __init__(self, source: str, limit: int):
        self.source, self.limit = source, limit
        self.task: dict[str, Any] = {}
        self.env: Any = None

    def become(self, task: dict[str, Any]) -> None:
        """Take on a task; an environment of another one is closed."""
        if task != self.task:
            self.close()
            self.task = task

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Of the task's environment, made first where there is none."""
        if self.env is None:
            self.env = single(maker(self.source)(**self.task))
            self.acting, self.space = Acting(self.env.action_space), self.env.observation_space
            self.action_space, self.observation_space = self.acting.agent, plain(self.space)
        obs, info = self.env.reset(seed=seed, options=options)
        self.elapsed = 0
        return seen(self.space, obs), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; truncated at the limit."""
        obs, reward, terminated, truncated, info = self.env.step(self.acting(action))
        self.elapsed += 1
        over = self.elapsed >= self.limit and not terminated
        return seen(self.space, obs), reward, terminated, True if over else truncated, info

    def render(self) -> Any:
        """Of the task's environment."""
        return None if self.env is None else self.env.render()

    def close(self) -> None:
        """The environment; the next reset makes another."""
        if self.env is not None:
            self.env.close()
        self.env = None


def assign(varies: Varies, listed: tuple[dict[str, Any], ...], env: Switching, params: Any) -> None:
    """Put a task into an environment; `params` [P] as the family draws them."""
    env.become(task_of(varies, listed, params))


def task_of(varies: Varies, listed: tuple[dict[str, Any], ...], params: Any) -> dict[str, Any]:
    """The arguments of `make` that the parameters of one task stand for."""
    if listed:
        return listed[int(params[0])]

    def value(x: Any, p: Any) -> Any:
        return x.options[int(p)] if isinstance(x, Choice) else int(p) if x.whole else float(p)

    return {name: value(x, p) for (name, x), p in zip(varies, params, strict=True)}
