"""Tabular MDPs: random tables to be learned within a few episodes.

Definition (Duan et al. 2016, RL², §3.2; the law of Osband et al. 2013): 10 states, 5 actions; for every state and action
the next state's law is drawn from a flat Dirichlet and the mean reward from N(1, 1); a reward is its mean plus N(0, 1);
an episode begins in state 0 and lasts 10 steps; a trial is n episodes and the score is the total reward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Discrete, Spaces, Task
from innerloop.tasks.family import Family, evenly

STATES, ACTIONS, HORIZON = 10, 5, 10


class Tables(NamedTuple):
    """One task: `edges` [S, A, S − 1], the running sums of P(s' | s, a) without the last; `mean` [S, A], the mean reward."""

    edges: Array
    mean: Array

    @property
    def transition(self) -> Array:
        """P(s' | s, a), [..., S, A, S]."""
        return jnp.diff(self.edges, axis=-1, prepend=0.0, append=1.0)


class Place(NamedTuple):
    """Where an episode stands: state int32 and steps taken int32."""

    state: Array
    time: Array


def _action_values(tables: Tables) -> Array:
    """Expected return of each action at each step of an episode when the rest is played optimally; [..., H, S, A]."""

    def before(value: Array, _: None) -> tuple[Array, Array]:
        found = tables.mean + jnp.einsum("...ijk,...k->...ij", tables.transition, value)
        return jnp.max(found, axis=-1), found

    found = jax.lax.scan(before, jnp.zeros(tables.mean.shape[:-1]), None, HORIZON)[1]
    return jnp.moveaxis(found[::-1], 0, -3)


@dataclass(frozen=True)
class TabularMDP(Family):
    """RL²'s random MDP of 10 states and 5 actions, `n` episodes of 10 steps; params: Tables."""

    n: int = 10

    @property
    def name(self) -> str:
        return f"tabular-mdp-n{self.n}"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Discrete(STATES), Discrete(ACTIONS))

    @property
    def horizon(self) -> int:
        return HORIZON

    @property
    def episodes(self) -> int:
        return self.n

    def best(self, task: Task) -> Array:
        """Expected return of one episode under the optimal policy, by backward induction; [...]."""
        return jnp.max(_action_values(task.params)[..., 0, 0, :], axis=-1)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """The action of the largest value for as many steps as are left, by backward induction."""
        values = _action_values(task.params)
        tasks = values.shape[:-3]
        lead = jnp.broadcast_shapes(tasks, jnp.shape(obs), jnp.shape(time), jnp.shape(earned))
        number = jnp.reshape(jnp.arange(math.prod(tasks)), tasks)
        number, state, time = (jnp.broadcast_to(x, lead) for x in (number, obs, jnp.clip(time, 0, HORIZON - 1)))
        rows = jnp.reshape(values, (-1, ACTIONS))[(number * HORIZON + time) * STATES + state]
        return evenly(rows == jnp.max(rows, axis=-1, keepdims=True))

    def sample(self, key: Array, n: int) -> Task:
        key_transition, key_mean = jax.random.split(self.stream(key))
        # The running sums of a flat Dirichlet are uniforms in order. Drawn flat: the same numbers, compiled 10 times faster.
        uniform = jax.random.uniform(key_transition, (n * STATES * ACTIONS * (STATES - 1),))
        edges = jnp.sort(jnp.reshape(uniform, (n, STATES, ACTIONS, STATES - 1)), axis=-1)
        mean = 1.0 + jnp.reshape(jax.random.normal(key_mean, (n * STATES * ACTIONS,)), (n, STATES, ACTIONS))
        return Task(jnp.full(n, -1, jnp.int32), Tables(edges, mean))

    def reset(self, task: Task, key: Array) -> tuple[Place, Array]:
        zero = jnp.zeros((), jnp.int32)
        return Place(zero, zero), zero

    def step(self, task: Task, state: Place, action: Array, key: Array) -> tuple[Place, Array, Array, Array, Array]:
        # One draw of two: the first becomes uniform through its own distribution function, the second is the noise.
        draw = jax.random.normal(key, (2,))
        edges = task.params.edges[state.state, action]
        ahead = jnp.sum(jax.scipy.special.ndtr(draw[0]) >= edges).astype(jnp.int32)
        reward = task.params.mean[state.state, action] + draw[1]
        time = state.time + 1
        return Place(ahead, time), ahead, reward, jnp.zeros((), bool), time >= HORIZON
