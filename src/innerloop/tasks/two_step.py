"""The two-step task: choose, be taken to one of two places, and learn which of them pays, knowing which way leads where.

Definition (Wang et al. 2016, arXiv 1611.05763, §3.2.2, and 2018; after Daw et al. 2011): in stage one the agent takes one of
two actions; action a leads to place a with probability 0.8 (common) and to the other with 0.2 (rare). One place then pays 1
with probability 0.9, the other with 0.1; before each trial but the first the two change roles with probability 0.025, unseen.
A life is one episode of 100 trials. The observation is 0 in stage one and 1 + place in stage two, where any action does.

A trial is thus two steps. Which place pays in each trial is drawn with the task, so that "knowing the task" means knowing it
throughout: the best then earns 0.8 × 0.9 + 0.2 × 0.1 = 0.74 a trial, chance 0.5. `evaluate/two_step.py` reads from lives
whether an agent plans. Ours: that stage two takes an action (without effect), and that the episode terminates after its last
trial, for nothing lies behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Discrete, Spaces, Task
from innerloop.tasks.family import Family, evenly

COMMON, RICH, POOR, REVERSAL = 0.8, 0.9, 0.1, 0.025


class Stage(NamedTuple):
    """Where an episode stands: the observation's number (0 is stage one) and steps taken, int32."""

    place: Array
    time: Array


@dataclass(frozen=True)
class TwoStep(Family):
    """Wang's two-step task of `n` trials; params: which place pays well in each trial, int32 [n]."""

    n: int = 100  # trials in an episode; the paper's 100

    unit: ClassVar[str] = "step"

    @property
    def name(self) -> str:
        return "two-step" if self.n == TwoStep.n else f"two-step-n{self.n}"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Discrete(3), Discrete(2))

    @property
    def horizon(self) -> int:
        return 2 * self.n

    @property
    def episodes(self) -> int:
        return 1

    def best(self, task: Task) -> Array:
        """Mean over steps of heading for the place that pays well: half of 0.74; [...]."""
        return jnp.full(jnp.shape(task.params)[:-1], (COMMON * RICH + (1.0 - COMMON) * POOR) / 2.0)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """In stage one the action that commonly leads where this trial pays well; in stage two either."""
        lead = jnp.broadcast_shapes(jnp.shape(task.params)[:-1], jnp.shape(obs), jnp.shape(time), jnp.shape(earned))
        obs, trial = jnp.broadcast_to(obs, lead), jnp.broadcast_to(jnp.clip(time // 2, 0, self.n - 1), lead)
        rich = jnp.take_along_axis(jnp.broadcast_to(task.params, (*lead, self.n)), trial[..., None], axis=-1)
        return evenly((rich == jnp.arange(2).reshape((1,) * len(lead) + (2,))) | (obs != 0)[..., None])

    def sample(self, key: Array, n: int) -> Task:
        key_first, key_turns = jax.random.split(self.stream(key))
        first = jax.random.bernoulli(key_first, 0.5, (n, 1))
        turns = jax.random.bernoulli(key_turns, REVERSAL, (n, self.n - 1))
        rich = jnp.cumsum(jnp.concatenate([first, turns], axis=1), axis=1) % 2
        return Task(jnp.full(n, -1, jnp.int32), rich.astype(jnp.int32))

    def reset(self, task: Task, key: Array) -> tuple[Stage, Array]:
        zero = jnp.zeros((), jnp.int32)
        return Stage(zero, zero), zero

    def step(self, task: Task, state: Stage, action: Array, key: Array) -> tuple[Stage, Array, Array, Array, Array]:
        chance = jax.random.uniform(key)
        choosing = state.place == 0
        taken = 1 + jnp.where(chance < COMMON, action, 1 - action)
        rich = task.params[state.time // 2] == state.place - 1
        pays = ~choosing & (chance < jnp.where(rich, RICH, POOR))
        place, time = jnp.where(choosing, taken, 0).astype(jnp.int32), state.time + 1
        return Stage(place, time), place, pays.astype(jnp.float32), time >= self.horizon, jnp.zeros((), bool)
