"""Probes P1 to P5: tasks that each ask one thing of a method, small enough to learn in seconds, with exact optima.

Not benchmarks: a method that fails one has a defect, and the probe's name says where to look. All have a handful of
tasks, all in every split, and Task.index is the arm to find. `optimum` is the Bayes-optimal return over a whole trial,
from its first step and without knowing the task; `best` is, as everywhere, per unit and with the task known. Episodes
end by termination: nothing lies behind their last step.

| probe | asks | optimum | uniform play | what else falls short |
|---|---|---|---|---|
| `probe-reward` (P1) | the reward names the arm: are rewards taken in? | 9.5 | 5 | |
| `probe-observation` (P2) | only the first observation names it: is it remembered? | 1 | 0.25 | blind guessing: 0.25 |
| `probe-cost` (P3) | information costs reward: is it bought where it pays? | 0.9 | 0.2667 | never asking: 0.5 |
| `probe-across` (P4) | does anything carry from one episode to the next? | 3.5 | 2 | forgetting at episode ends: 2 |
| `probe-alike` (P5) | the tasks are all alike: does adaptation hurt? | 7.5 | 5 | following the last reward: 6.125 |
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks.family import Family, deal, evenly


@dataclass(frozen=True)
class Probe(Family):
    """One of `size` arms is right; params: that arm, int32."""

    tiny: ClassVar[bool] = True

    @property
    @abstractmethod
    def optimum(self) -> float:
        """Bayes-optimal expected return over one trial of `episodes` episodes."""

    def sample(self, key: Array, n: int) -> Task:
        index = deal(self.stream(key), self.size, n)
        return Task(index, index)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """The action that pays, where the next one does; elsewhere any."""
        lead = jnp.broadcast_shapes(jnp.shape(task.params), jnp.shape(time), jnp.shape(earned))
        arm, at = jnp.broadcast_to(task.params, lead), jnp.broadcast_to(time, lead)
        pays = jax.nn.one_hot(arm, self.spaces.action.width, dtype=bool)
        return evenly(pays | ~self._counts(at)[..., None])

    def _counts(self, time: Array) -> Array:
        """Whether the action at this step of an episode decides on what is paid; bool [...]."""
        return jnp.ones(time.shape, bool)


def _known(task: Task, value: float) -> Array:
    return jnp.full(jnp.shape(task.params), value, jnp.float32)


def _none() -> Array:
    return jnp.zeros((), jnp.int32)


@dataclass(frozen=True)
class ProbeReward(Probe):
    """P1: a bandit of 2 arms and 10 pulls; the right arm pays 1, the other 0, and nothing else tells them apart."""

    size: ClassVar[int] = 2
    unit: ClassVar[str] = "step"

    @property
    def name(self) -> str:
        return "probe-reward"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((1,), -1.0, 1.0), Discrete(self.size))

    @property
    def horizon(self) -> int:
        return 10

    @property
    def episodes(self) -> int:
        return 1

    @property
    def optimum(self) -> float:
        return 9.5  # one guess, then certainty: 1/2 + 9

    def best(self, task: Task) -> Array:
        return _known(task, 1.0)

    def reset(self, task: Task, key: Array) -> tuple[Array, Array]:
        return _none(), jnp.zeros(1)

    def step(self, task: Task, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array, Array, Array]:
        reward = (action == task.params).astype(jnp.float32)
        time = state + 1
        return time, jnp.zeros(1), reward, time >= self.horizon, jnp.zeros((), bool)


@dataclass(frozen=True)
class ProbeObservation(Probe):
    """P2: observation 1 + arm at the first of 4 steps and 0 at the others; the last action alone pays, 1 if it is the arm."""

    size: ClassVar[int] = 4

    @property
    def name(self) -> str:
        return "probe-observation"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Discrete(1 + self.size), Discrete(self.size))

    @property
    def horizon(self) -> int:
        return 4

    @property
    def episodes(self) -> int:
        return 1

    @property
    def optimum(self) -> float:
        return 1.0

    def best(self, task: Task) -> Array:
        return _known(task, 1.0)

    def reset(self, task: Task, key: Array) -> tuple[Array, Array]:
        return _none(), 1 + task.params

    def step(self, task: Task, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array, Array, Array]:
        time = state + 1
        ends = time >= self.horizon
        reward = ((action == task.params) & ends).astype(jnp.float32)
        return time, _none(), reward, ends, jnp.zeros((), bool)

    def _counts(self, time: Array) -> Array:
        return time == self.horizon - 1


@dataclass(frozen=True)
class ProbeCost(Probe):
    """P3: 2 steps; action 0 costs 0.1 and the next observation is 1 + arm (else 0); the last action pays 1 if it is 1 + arm."""

    size: ClassVar[int] = 2
    cost: ClassVar[float] = 0.1

    @property
    def name(self) -> str:
        return "probe-cost"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Discrete(1 + self.size), Discrete(1 + self.size))

    @property
    def horizon(self) -> int:
        return 2

    @property
    def episodes(self) -> int:
        return 1

    @property
    def optimum(self) -> float:
        return max(1.0 - self.cost, 1.0 / self.size)  # ask and know, or guess

    def best(self, task: Task) -> Array:
        return _known(task, 1.0)

    def reset(self, task: Task, key: Array) -> tuple[Array, Array]:
        return _none(), _none()

    def step(self, task: Task, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array, Array, Array]:
        time, right, asks = state + 1, 1 + task.params, action == 0
        ends = time >= self.horizon
        pay = (action == right) & ends
        reward = jnp.where(asks, -self.cost, pay.astype(jnp.float32))
        return time, jnp.where(asks, right, 0), reward, ends, jnp.zeros((), bool)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """Who knows the task never asks."""
        lead = jnp.broadcast_shapes(jnp.shape(task.params), jnp.shape(time), jnp.shape(earned))
        arm, at = jnp.broadcast_to(task.params, lead), jnp.broadcast_to(time, lead)
        pays = jax.nn.one_hot(1 + arm, 1 + self.size, dtype=bool)
        guesses = jnp.broadcast_to(jnp.arange(1 + self.size) > 0, pays.shape)
        return evenly(jnp.where((at == self.horizon - 1)[..., None], pays, guesses))


class Choice(NamedTuple):
    """Where a P4 episode stands: steps taken int32, and whether its first action was right."""

    time: Array
    right: Array


@dataclass(frozen=True)
class ProbeAcross(Probe):
    """P4: 4 episodes of 2 steps; the first action chooses one of 2 arms, and what it earned is paid after the second.

    The observation is the step within the episode. An episode is over when its reward is known, so that only later
    episodes can use it.
    """

    size: ClassVar[int] = 2

    @property
    def name(self) -> str:
        return "probe-across"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Discrete(2), Discrete(self.size))

    @property
    def horizon(self) -> int:
        return 2

    @property
    def episodes(self) -> int:
        return 4

    @property
    def optimum(self) -> float:
        return 3.5  # one guess, then certainty: 1/2 + 3

    def best(self, task: Task) -> Array:
        return _known(task, 1.0)

    def reset(self, task: Task, key: Array) -> tuple[Choice, Array]:
        return Choice(_none(), jnp.zeros((), bool)), _none()

    def step(self, task: Task, state: Choice, action: Array, key: Array) -> tuple[Choice, Array, Array, Array, Array]:
        time = state.time + 1
        right = jnp.where(state.time == 0, action == task.params, state.right)
        ends = time >= self.horizon
        return Choice(time, right), jnp.ones((), jnp.int32), (right & ends).astype(jnp.float32), ends, jnp.zeros((), bool)

    def _counts(self, time: Array) -> Array:
        return time == 0


@dataclass(frozen=True)
class ProbeAlike(Probe):
    """P5: one task only, a bandit of 2 arms and 10 pulls; arm 0 pays 1 with probability 3/4, arm 1 with 1/4."""

    size: ClassVar[int] = 1
    unit: ClassVar[str] = "step"

    @property
    def name(self) -> str:
        return "probe-alike"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((1,), -1.0, 1.0), Discrete(2))

    @property
    def horizon(self) -> int:
        return 10

    @property
    def episodes(self) -> int:
        return 1

    @property
    def optimum(self) -> float:
        return 7.5

    def best(self, task: Task) -> Array:
        return _known(task, 0.75)

    def reset(self, task: Task, key: Array) -> tuple[Array, Array]:
        return _none(), jnp.zeros(1)

    def step(self, task: Task, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array, Array, Array]:
        chance = jnp.where(action == task.params, 0.75, 0.25)
        time = state + 1
        reward = (jax.random.uniform(key) < chance).astype(jnp.float32)
        return time, jnp.zeros(1), reward, time >= self.horizon, jnp.zeros((), bool)
