"""Projected control: a known machine behind a random linear map of what is seen and a relabelling of what is done.

Definition (after Lu et al. 2023, arXiv 2303.03982, who project observations and actions of control tasks so that an agent
must find in context what its senses and limbs mean): a task is a projection, the same throughout a trial of several episodes.
Observations are Q o with Q = √2 times an orthogonal matrix drawn uniformly (as the authors' `meta_cartpole.py` in
github.com/luchris429/popjaxrl: an orthogonal layer of gain √2 without bias). The machines are Gymnasium's
(`classic_control.py`); an episode ends as there, by termination or at its length.

* `projected-cartpole`: 200 steps; actions permuted. `projected-mountain-car`: 200 steps; permuted.
* `projected-acrobot`: 500 steps; permuted. `projected-pendulum`: 200 steps; torque times +1 or −1.

Differs from the paper, whose tasks are continuous ones of other machines with projections to a common width: a discrete action
has no linear map, so it is permuted; of one torque the only projection that keeps what can be reached is its sign; widths stay,
so that each machine is a family of its own. Differs from the authors' code: there actions stay, velocities are hidden, and
all 16 episodes of a trial begin in one state; here each start is drawn, and there are `n` = 4 (`projected-cartpole-n16`: 16).

A trial is as many steps as n episodes take at most. Where episodes end early more than n fit into it; the first n are reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Discrete, Task
from innerloop.core.in_turn import in_turn
from innerloop.tasks import classic_control
from innerloop.tasks.classic_control import Control
from innerloop.tasks.machine import Machine, Moment


class Projection(NamedTuple):
    """One task: `seen` [width, width] maps observations; `done` [A] int32 says which action an action is, or [1] its sign."""

    seen: Array
    done: Array


@dataclass(frozen=True)
class _Projected(Machine):
    """What the four share; params: Projection."""

    def sample(self, key: Array, n: int) -> Task:
        key_seen, key_done = jax.random.split(self.stream(key))
        width, action = self.control.width, self.control.action
        # Uniform orthogonal matrices as jax.random.orthogonal draws them; drawn flat, for that compiles in half the time.
        drawn = jnp.reshape(jax.random.normal(key_seen, (n * width * width,)), (n, width, width))
        q, r = jax.vmap(in_turn(lambda x: jnp.linalg.qr(x)))(drawn)  # bare, for its other arguments are no arrays
        seen = jnp.sqrt(2.0) * q * jnp.sign(jnp.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
        if isinstance(action, Discrete):
            done = jnp.argsort(jax.random.uniform(key_done, (n, action.n)), axis=-1).astype(jnp.int32)
        else:
            done = jax.random.rademacher(key_done, (n, *action.shape), jnp.float32)
        return Task(jnp.full(n, -1, jnp.int32), Projection(seen, done))

    def reset(self, task: Task, key: Array) -> tuple[Moment, Array]:
        return self._shown(task, self.control.start(key), jnp.zeros((), jnp.int32))

    def step(self, task: Task, state: Moment, action: Array, key: Array) -> tuple[Moment, Array, Array, Array, Array]:
        meant = task.params.done[action] if isinstance(self.control.action, Discrete) else task.params.done * action
        after, reward, terminated = self.control.step(state.state, meant)
        moment, obs = self._shown(task, after, state.time + 1)
        return moment, obs, reward, terminated, moment.time >= self.horizon

    def _shown(self, task: Task, state: Array, time: Array) -> tuple[Moment, Array]:
        return Moment(state, time), task.params.seen @ self.control.observe(state)


@dataclass(frozen=True)
class ProjectedCartPole(_Projected):
    """CartPole; the best return of an episode is its 200 steps."""

    control: ClassVar[Control] = classic_control.CartPole()
    bare: ClassVar[str] = "projected-cartpole"

    def best(self, task: Task) -> Any:
        """A pole near upright can be balanced for good: one point for every step; [...]."""
        return jnp.full(jnp.shape(task.params.done)[:-1], float(self.horizon))


@dataclass(frozen=True)
class ProjectedMountainCar(_Projected):
    """MountainCar: −1 a step, and nothing else to go by until the summit is reached."""

    control: ClassVar[Control] = classic_control.MountainCar()
    bare: ClassVar[str] = "projected-mountain-car"


@dataclass(frozen=True)
class ProjectedAcrobot(_Projected):
    """Acrobot: −1 a step until the tip is above the line."""

    control: ClassVar[Control] = classic_control.Acrobot()
    bare: ClassVar[str] = "projected-acrobot"


@dataclass(frozen=True)
class ProjectedPendulum(_Projected):
    """Pendulum: a dense cost, and torque that may be turned round."""

    control: ClassVar[Control] = classic_control.Pendulum()
    bare: ClassVar[str] = "projected-pendulum"
