"""Families that go wrong: rewards that are not finite in some tasks, or in all."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from innerloop.core import Task
from innerloop.tasks.bandit import Bandit


@dataclass(frozen=True)
class BrokenBandit(Bandit):
    """A bandit whose rewards are `value` in the first `bad` tasks of every batch; `value` is "nan" or "inf"."""

    bad: int = 1
    value: str = "nan"

    def sample(self, key: Any, n: int) -> Task:
        task = super().sample(key, n)
        return Task(task.index, jnp.where(jnp.arange(n)[:, None] < self.bad, -1.0, task.params))

    def step(self, task: Task, state: Any, action: Any, key: Any) -> Any:
        state, obs, reward, terminated, truncated = super().step(task, state, action, key)
        return state, obs, jnp.where(jnp.any(task.params < 0), jnp.float32(self.value), reward), terminated, truncated


def poisoned(lives: Any, task: int, value: float) -> Any:
    """A batch of lives, one task of which got a reward that is not finite, at its last step."""
    reward = lives.chunks.reward.at[task, -1, -1, 0].set(value)
    return lives._replace(chunks=lives.chunks._replace(reward=reward))


def without(lives: Any, task: int) -> Any:
    """A batch of lives without one task."""
    keep = [i for i in range(lives.chunks.reward.shape[0]) if i != task]
    return jax.tree.map(lambda x: x[jnp.array(keep)], lives)
