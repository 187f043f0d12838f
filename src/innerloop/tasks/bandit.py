"""Bernoulli bandits: k arms with hidden success probabilities, n pulls.

Definition (Duan et al. 2016, RL², §3.1): p ~ U[0, 1]^k per task; a pull of arm a pays 1 with probability p_a, else 0; a
trial is n pulls and the score is the total reward. There is nothing to observe (a constant 0) and no episode ends
within a trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks.family import Family, evenly


@dataclass(frozen=True)
class Bandit(Family):
    """Bernoulli bandit with `k` arms and `n` pulls; params: success probabilities [k]."""

    k: int = 5
    n: int = 10

    unit: ClassVar[str] = "step"

    @property
    def name(self) -> str:
        return f"bandit-k{self.k}-n{self.n}"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((1,), -1.0, 1.0), Discrete(self.k))

    @property
    def horizon(self) -> int:
        return self.n

    @property
    def episodes(self) -> int:
        return 1

    def best(self, task: Task) -> Array:
        return jnp.max(task.params, axis=-1)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """The arm of the largest probability, whatever happened."""
        lead = jnp.broadcast_shapes(jnp.shape(task.params)[:-1], jnp.shape(obs)[:-1], jnp.shape(time), jnp.shape(earned))
        best = task.params == jnp.max(task.params, axis=-1, keepdims=True)
        return jnp.broadcast_to(evenly(best), (*lead, self.k))

    def sample(self, key: Array, n: int) -> Task:
        p = jax.random.uniform(self.stream(key), (n, self.k))
        return Task(jnp.full(n, -1, jnp.int32), p)

    def reset(self, task: Task, key: Array) -> tuple[Any, Array]:
        return (), jnp.zeros(1)

    def step(self, task: Task, state: Any, action: Array, key: Array) -> tuple[Any, Array, Array, Array, Array]:
        reward = (jax.random.uniform(key) < task.params[action]).astype(jnp.float32)
        no = jnp.zeros((), bool)
        return state, jnp.zeros(1), reward, no, no
