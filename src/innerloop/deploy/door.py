"""What passes between an agent in use and whoever steps its environment: observations, rewards and actions, all checked.

Not the environments of training (`worlds/boundary.py`, whose checks these are), where a fault is counted and the life goes on:
here whoever errs is told.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from innerloop.core import Discrete, Spaces
from innerloop.worlds.boundary import Leaf, Misfit, admit, flag, number, sound
from innerloop.worlds.crew import leaves


class Door:
    """Checks of one agent's spaces. Observations come out as lives have them: float32 and int32, leaves [1, 1, *shape]."""

    def __init__(self, spaces: Spaces):
        self.spaces = spaces
        self._leaves = leaves(spaces.obs)
        self._tree = jax.tree.structure(spaces.obs)

    def observed(self, obs: Any, verb: str) -> Any:
        """One observation; ValueError, naming the space, where it is none."""
        return self._kept([self._one(leaf, obs, verb) for leaf in self._leaves], verb)

    def batch(self, obs: Any) -> tuple[Any, bool]:
        """One observation or many, leaves [M, 1, *shape]; and whether they are many, with a leading axis on every array."""
        first = self._leaves[0]
        try:
            value = obs
            for name in first.path:
                value = value[name]
            batched = np.ndim(value) == len(first.shape) + 1
        except (KeyError, IndexError, TypeError, ValueError):
            batched = False  # what is wrong is said below
        if not batched:
            return self.observed(obs, "predict"), False
        count = len(value)
        if not count:
            raise ValueError("predict(): an empty batch of observations; accepted: one observation, or at least one of them.")
        columns = [np.zeros((count, 1, *leaf.shape), leaf.dtype) for leaf in self._leaves]
        for leaf, column in zip(self._leaves, columns, strict=True):
            try:
                part = obs
                for name in leaf.path:
                    part = part[name]
                part = np.asarray(part)
                for row in range(count):
                    admit(leaf._replace(path=()), part[row], column[row, 0, ...])
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"predict(): {error}. Accepted: {self.spaces.obs}, with one leading axis.") from None
        return self._kept(columns, "predict"), True

    def paid(self, reward: Any, terminated: Any, truncated: Any) -> tuple[float, tuple[bool, bool]]:
        """A reward and both ends; ValueError where they are none."""
        try:
            value = number(reward)
            ends = flag(terminated, "terminated"), flag(truncated, "truncated")
        except Misfit as error:
            raise ValueError(f"reward(): {error}.") from None
        with np.errstate(over="ignore"):
            if not np.isfinite(np.float32(value)):
                raise ValueError(f"reward(): the reward is {value}; accepted: one finite number.")
        return value, ends

    def earned(self, reward: Any, count: int) -> np.ndarray:
        """Rewards of `count` predicted actions, float32 [count, 1]; 0 for None."""
        paid = np.asarray(0.0 if reward is None else reward, np.float32).reshape(-1)
        if len(paid) not in (1, count) or not np.isfinite(paid).all():
            raise ValueError(f"predict(): reward is {reward!r:.60}; accepted: one finite number, or {count} of them.")
        return np.broadcast_to(paid, count).reshape(count, 1)

    def actions(self, actions: np.ndarray) -> Any:
        """Actions [M, *shape] as the environment takes them: ints, or float32 within the bounds."""
        space = self.spaces.action
        if isinstance(space, Discrete):
            return [int(a) for a in actions]
        return np.clip(actions, np.float32(space.low), np.float32(space.high)).astype(np.float32)

    def _one(self, leaf: Leaf, obs: Any, verb: str) -> np.ndarray:
        out = np.empty((1, 1, *leaf.shape), leaf.dtype)
        try:
            admit(leaf, obs, out[0, 0, ...])
        except Misfit as error:
            raise ValueError(f"{verb}(): {error}. Accepted: {self.spaces.obs}.") from None
        return out

    def _kept(self, found: list[np.ndarray], verb: str) -> Any:
        bad = sound(self._leaves, found)
        if bad:
            raise ValueError(f"{verb}(): {next(iter(bad.values()))}. Accepted: {self.spaces.obs}.")
        kept = [x.astype(np.int32) if leaf.discrete else x for leaf, x in zip(self._leaves, found, strict=True)]
        return jax.tree.unflatten(self._tree, kept)
