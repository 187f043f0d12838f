"""A highway under a hidden regime: traffic that is dense or thin, drivers who are calm or rude, a passenger who likes it fast
or slow, on the right or on the left.

Definition (after `highway-fast-v0` of highway-env 1.12, Leurent 2018, github.com/Farama-Foundation/HighwayEnv): 2 to 4 lanes,
the agent's car behind 20 others (`traffic.py`). Once a second the agent stays, changes lanes, or takes the next of the speeds
10, 15, 20, 25 and 30 m/s. Seen are five cars, the agent's and the nearest four that are not behind it: whether there is one,
position and velocity along and across the road, in units of 200 m, the width of the road and 80 m/s, relative to the agent's
in all rows but its own. A second is worth speed · s + lane · l − collision · c: s how far the car's speed is from 20 to 30
m/s, l how far its lane from the leftmost to the rightmost, c whether it has crashed, which terminates; truncated after 30 s.
Two things are not the package's: there the car cannot be slower than 20 m/s, and runs into whoever brakes; and rewards are
rescaled to [0, 1], which means nothing where weights may be negative. The passenger pays every ten seconds, and where the
drive ends: the reward is then what all seconds since the last payment were worth, and else 0. So a wish is not read off the
first second, but found out by trying.

A task is a regime (`regime.py`), the same in all 3 episodes of a trial and never seen: lanes 2, 3 or 4; density log-uniform
in [0.7, 1.4]; aggression ~ U[0, 1], from which follow the drivers' headway, politeness and the braking that they force on
others; the weights speed ~ U[−0.5, 1.5] and lane ~ U[−1, 1], collision ~ U[1, 5]. No regime pays for crashing: somewhere on
the road a second is worth nothing or more. Ours: the ranges. `highway-beyond`: traffic denser (up to 2) and drivers more
aggressive (up to 1.5) than any in training.

`highway-env` and `highway-env-beyond` are the same in the package itself, on the host (extra `driving`): `highway` is made to
train on, and `innerloop evaluate RUN --on highway-env` adapts there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task, Transitions
from innerloop.tasks import highway_package, traffic
from innerloop.tasks.family import Family, Measure
from innerloop.tasks.regime import (
    EGO_SPACING,
    FAR,
    FAST,
    FASTEST,
    FIRST,
    PAID,
    RANGES,
    SECONDS,
    SEEN,
    SLOW,
    SPEEDS,
    SUBSTEPS,
    VEHICLES,
    Regime,
    drivers,
)
from innerloop.tasks.traffic import LIMIT, WIDTH, Cars


class Drive(NamedTuple):
    """Where an episode stands."""

    cars: Cars
    time: Array  # int32, s
    owed: Array  # since the last payment


def _drawn(name: str, beyond: bool, key: Array, n: int) -> Array:
    low, high = RANGES[name][beyond]
    if name == "lanes":
        return jax.random.randint(key, (n,), low, high + 1)
    if name == "density":
        return jnp.exp(jax.random.uniform(key, (n,), minval=math.log(low), maxval=math.log(high)))
    return jax.random.uniform(key, (n,), minval=low, maxval=high)


def placed(regime: Regime, key: Array) -> Cars:
    """The first moment: the agent's car, then each of the others some way before the one placed last."""
    key_lane, key_own, key_speed, key_gap, key_exponent = jax.random.split(key, 5)
    narrow = jnp.exp(-regime.lanes / 8.0)
    speed = jax.random.uniform(key_speed, (VEHICLES,), minval=0.7 * LIMIT, maxval=0.8 * LIMIT)
    speed = jnp.concatenate([jnp.full(1, FIRST), speed])
    spacing = jnp.concatenate([jnp.full(1, EGO_SPACING), jnp.full(VEHICLES, 1.0) / regime.density])
    offset = spacing * (12.0 + speed) * narrow
    gaps = offset * jax.random.uniform(key_gap, (VEHICLES + 1,), minval=0.9, maxval=1.1)
    x = 3.0 * offset[0] + jnp.cumsum(gaps)
    lane = jax.random.randint(key_lane, (VEHICLES + 1,), 0, regime.lanes)
    y = WIDTH * lane.astype(jnp.float32)
    none = jnp.zeros(VEHICLES + 1, bool)
    return Cars(
        x=x,
        y=y,
        heading=jnp.zeros_like(x),
        speed=speed,
        goal=speed,
        lane=lane,
        target=lane,
        timer=((x + y) * jnp.pi) % 1.0,
        exponent=jax.random.uniform(key_exponent, (VEHICLES + 1,), minval=3.5, maxval=4.5),
        crashed=none,
        struck=none,
        push=(jnp.zeros_like(x), jnp.zeros_like(x)),
    )


def seen(cars: Cars, lanes: Array) -> Array:
    """What the agent sees, [SEEN, 5]."""
    state = jnp.stack([cars.x, cars.y, cars.speed * jnp.cos(cars.heading), cars.speed * jnp.sin(cars.heading)], -1)  # [V, 4]
    away = state[1:] - state[:1]
    visible = (jnp.hypot(away[:, 0], away[:, 1]) < FAR) & (away[:, 0] > -2.0 * traffic.LENGTH)
    nearest, which = jax.lax.top_k(-jnp.where(visible, jnp.abs(away[:, 0]), jnp.inf), SEEN - 1)
    there = (nearest > -jnp.inf)[:, None]
    units = jnp.stack([jnp.full((), FAR), WIDTH * lanes, jnp.full((), FASTEST), jnp.full((), FASTEST)]).astype(state.dtype)
    rows = jnp.clip(jnp.concatenate([state[:1], away[which]]) / units[None], -1.0, 1.0)
    present = jnp.ones((SEEN, 1), state.dtype)
    shown = jnp.concatenate([present, rows], -1)
    return jnp.where(jnp.concatenate([jnp.ones((1, 1), bool), there]), shown, 0.0)


def worth(cars: Cars, regime: Regime) -> Array:
    """Of the second that led to here, to the passenger; a scalar."""
    forward = cars.speed[0] * jnp.cos(cars.heading[0])
    quick = jnp.clip((forward - SLOW) / (FAST - SLOW), 0.0, 1.0)
    right = cars.target[0] / jnp.maximum(regime.lanes - 1, 1)
    on_road = jnp.abs(cars.y[0] - WIDTH * cars.lane[0]) <= WIDTH / 2
    return (regime.speed * quick + regime.lane * right - regime.collision * cars.crashed[0]) * on_road


@dataclass(frozen=True)
class Highway(Family):
    """Params: Regime."""

    n: int = 3  # episodes in a trial

    bare: ClassVar[str] = "highway"
    beyond: ClassVar[bool] = False
    speeds: ClassVar[tuple[float, ...]] = SPEEDS
    horizon: ClassVar[int] = SECONDS
    measures: ClassVar[dict[str, Measure]] = {
        "collisions": Measure("%", per="episode"),
        "speed": Measure("m/s"),
        "lane": Measure("%"),
        "wish for speed met": Measure("%"),
    }

    @property
    def name(self) -> str:
        return self.bare if self.n == Highway.n else f"{self.bare}-n{self.n}"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((SEEN, 5)), Discrete(5))

    @property
    def episodes(self) -> int:
        return self.n

    def sample(self, key: Array, n: int) -> Task:
        keys = jax.random.split(self.stream(key), len(RANGES))
        drawn = {name: _drawn(name, self.beyond, k, n) for k, name in zip(keys, RANGES, strict=True)}
        return Task(jnp.full(n, -1, jnp.int32), Regime(**drawn))

    def reset(self, task: Task, key: Array) -> tuple[Drive, Array]:
        cars = placed(task.params, key)
        return Drive(cars, jnp.zeros((), jnp.int32), jnp.zeros_like(cars.x[0])), seen(cars, task.params.lanes)

    def step(self, task: Task, state: Drive, action: Array, key: Array) -> tuple[Drive, Array, Array, Array, Array]:
        regime: Regime = task.params
        cars = traffic.second(state.cars, action, drivers(regime.aggression), regime.lanes, SUBSTEPS, self.speeds)
        time, owed, crashed = state.time + 1, state.owed + worth(cars, regime), cars.crashed[0]
        due = (time % PAID == 0) | crashed
        after = Drive(cars, time, jnp.where(due, 0.0, owed))
        return after, seen(cars, regime.lanes), jnp.where(due, owed, 0.0), crashed, time >= self.horizon

    def measure(self, task: Task, seen: Transitions) -> dict[str, Array]:
        own = seen.arrived[0]
        speed = FASTEST * own[3]
        quick = jnp.clip((speed - SLOW) / (FAST - SLOW), 0.0, 1.0)
        regime: Regime = task.params
        wide = jnp.maximum(regime.lanes - 1, 1) / regime.lanes  # of the rightmost lane, in an observation
        return {
            "collisions": 100.0 * seen.terminated,
            "speed": speed,
            "lane": 100.0 * own[2] / wide,
            "wish for speed met": 100.0 * jnp.where(regime.speed > 0, quick, 1.0 - quick),
        }


@dataclass(frozen=True)
class HighwayBeyond(Highway):
    """Traffic denser and drivers more aggressive than any in training."""

    bare: ClassVar[str] = "highway-beyond"
    beyond: ClassVar[bool] = True


@dataclass(frozen=True)
class HighwayEnv(Highway):
    """In the package, on the host: the same regimes, observations, actions and rewards."""

    bare: ClassVar[str] = "highway-env"
    on_device: ClassVar[bool] = False
    make: ClassVar[Any] = staticmethod(highway_package.make)
    assign: ClassVar[Any] = staticmethod(highway_package.assign)

    @property
    def spaces(self) -> Spaces:
        highway_package.require()  # whoever asks for spaces is about to live in them: say here what is missing
        return super().spaces


@dataclass(frozen=True)
class HighwayEnvBeyond(HighwayEnv):
    """Traffic denser and drivers more aggressive than any in training."""

    bare: ClassVar[str] = "highway-env-beyond"
    beyond: ClassVar[bool] = True
