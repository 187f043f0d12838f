"""Hidden physics: a known machine whose gravity, masses, lengths and friction an agent has to find out from how it moves.

A task is the four numbers, the same throughout a trial of several episodes and never seen. The machines are Gymnasium's
(`classic_control.py`, which says what each number means there); an episode ends as there, by termination or at its length.

* `hidden-cartpole`, `hidden-mountain-car` (no length), `hidden-acrobot`, `hidden-pendulum`: each factor is log-uniform between
  1/1.5 and 1.5, friction uniform between 0 and the machine's large one. Train, validation and test draw from the same ranges
  (interpolation).
* `…-beyond`: extrapolation, to be tried with `innerloop evaluate RUN --on hidden-pendulum-beyond`. Each factor lies between
  1.5 and 2 or between 1/2 and 1/1.5, friction between the large one and twice that.

Ours: the ranges. Not every task can be solved: a short pole with heavy gravity falls faster than a cart can follow; a strong
gravity holds a pendulum down for longer than an episode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Task
from innerloop.tasks import classic_control
from innerloop.tasks.classic_control import Control, Physics
from innerloop.tasks.machine import Machine, Moment

INNER, OUTER = 1.5, 2.0  # factors up to which ranges reach, of both kinds of families


@dataclass(frozen=True)
class _Hidden(Machine):
    """What all share; params: {name: float} of what the machine has of Physics."""

    beyond: ClassVar[bool] = False

    def sample(self, key: Array, n: int) -> Task:
        names = self.control.varies
        keys = dict(zip(names, jax.random.split(self.stream(key), len(names)), strict=True))
        params = {name: self._friction(k, n) if name == "friction" else self._factor(k, n) for name, k in keys.items()}
        return Task(jnp.full(n, -1, jnp.int32), params)

    def _factor(self, key: Array, n: int) -> Array:
        key_size, key_side = jax.random.split(key)
        low, high = (math.log(INNER), math.log(OUTER)) if self.beyond else (0.0, math.log(INNER))
        return jnp.exp(jax.random.rademacher(key_side, (n,)) * jax.random.uniform(key_size, (n,), minval=low, maxval=high))

    def _friction(self, key: Array, n: int) -> Array:
        low = float(self.beyond)
        return self.control.friction * jax.random.uniform(key, (n,), minval=low, maxval=low + 1.0)

    def reset(self, task: Task, key: Array) -> tuple[Moment, Array]:
        state = self.control.start(key)
        return Moment(state, jnp.zeros((), jnp.int32)), self.control.observe(state)

    def step(self, task: Task, state: Moment, action: Array, key: Array) -> tuple[Moment, Array, Array, Array, Array]:
        physics: Physics = classic_control.NOMINAL._replace(**task.params)
        after, reward, terminated = self.control.step(state.state, action, physics)
        moment = Moment(after, state.time + 1)
        return moment, self.control.observe(after), reward, terminated, moment.time >= self.horizon


@dataclass(frozen=True)
class HiddenCartPole(_Hidden):
    """The best return of an episode is its 200 steps, where the pole can be held."""

    control: ClassVar[Control] = classic_control.CartPole()
    bare: ClassVar[str] = "hidden-cartpole"


@dataclass(frozen=True)
class HiddenMountainCar(_Hidden):
    """−1 a step until the summit is reached; a weak engine needs more swings."""

    control: ClassVar[Control] = classic_control.MountainCar()
    bare: ClassVar[str] = "hidden-mountain-car"


@dataclass(frozen=True)
class HiddenAcrobot(_Hidden):
    """−1 a step until the tip is above the line."""

    control: ClassVar[Control] = classic_control.Acrobot()
    bare: ClassVar[str] = "hidden-acrobot"


@dataclass(frozen=True)
class HiddenPendulum(_Hidden):
    """A dense cost; how many swings it takes depends on the task."""

    control: ClassVar[Control] = classic_control.Pendulum()
    bare: ClassVar[str] = "hidden-pendulum"


@dataclass(frozen=True)
class HiddenCartPoleBeyond(HiddenCartPole):
    """With physics outside the ranges of training."""

    beyond: ClassVar[bool] = True
    bare: ClassVar[str] = f"{HiddenCartPole.bare}-beyond"


@dataclass(frozen=True)
class HiddenMountainCarBeyond(HiddenMountainCar):
    """With physics outside the ranges of training."""

    beyond: ClassVar[bool] = True
    bare: ClassVar[str] = f"{HiddenMountainCar.bare}-beyond"


@dataclass(frozen=True)
class HiddenAcrobotBeyond(HiddenAcrobot):
    """With physics outside the ranges of training."""

    beyond: ClassVar[bool] = True
    bare: ClassVar[str] = f"{HiddenAcrobot.bare}-beyond"


@dataclass(frozen=True)
class HiddenPendulumBeyond(HiddenPendulum):
    """With physics outside the ranges of training."""

    beyond: ClassVar[bool] = True
    bare: ClassVar[str] = f"{HiddenPendulum.bare}-beyond"
