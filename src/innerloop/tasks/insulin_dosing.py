"""Insulin dosing: keep the glucose of a virtual patient in range, for whole days, not knowing who the patient is.

A benchmark in simulation, and no medical device: nothing here says how a person should be dosed.

Definition (the patients and their physiology: `glucose_model.py`; meals and sensor: `diabetic_day.py`): a task is one of 30
virtual patients, 10 adolescents, 10 adults and 10 children. An episode is a day from midnight to midnight, a trial 4 days of
one patient. Every 15 minutes the agent says a in [−1, 1], and the pump infuses 2 (exp(4 (a − 1)) − exp(−8)) U/min until it
says the next: nothing at −1, 30 U in all at 1. The scale is logarithmic because basal rates and boluses lie a hundredfold apart
(as in G2P2C, Hettiarachchi et al. 2024). Meals are as large for children as for adults (so simglucose draws them); every day
begins at rest, with glucose a little off (its `random_init_bg`).

Seen are the 5 readings of the sensor since the last dose (mg/dl, ÷ 100), insulin on board (U, ÷ 10: doses that halve every
hour; ours), the carbohydrate that will be put on the table within the next 15 minutes (g, ÷ 100: a meal is announced, as to
hybrid closed loops), and the share of the day that is over. `insulin-dosing-unannounced` always shows 0 for the
carbohydrate. The patient is never seen, nor glucose without the sensor's error.

The reward is −(mean risk of the 5 moments) / 96, so that a return is minus a day's mean risk by Magni et al. 2007, 10 (3.5506
(ln(g)^0.8353 − 3.7932))², the reward of Fox et al. 2020 (*Deep reinforcement learning for closed-loop blood glucose control*,
MLHC), who dose every 5 minutes and end a day, at a price, where g < 10. Here g is at least 10 in the risk and a day always has
24 hours: no share of a day is left out, and ending one never pays. `measures` are those of the consensus on time in range
(Battelino et al. 2019, Diabetes Care 42:1593), shares of the sensor's readings.

Splits: patients 1–6 of each group train, 7–8 validate, 9–10 test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces, Task, Transitions
from innerloop.tasks import glucose_model
from innerloop.tasks.diabetic_day import LENGTH, MINUTES, READINGS, Menu, Sensor
from innerloop.tasks.family import SPLITS, Family, Measure, deal
from innerloop.tasks.glucose_model import Body, Meal, Patient

RATE, STEEPNESS = 2.0, 4.0  # U/min at most; of the logarithmic scale
LEAST = math.exp(-2.0 * STEEPNESS)
HALF = 60.0  # minutes
ENDS = (0, 6, 8, 10)  # of the splits, in each group
TARGET, HIGH = 140.0, 150.0  # mg/dl, of the patient's own rule


class Day(NamedTuple):
    """Where an episode stands."""

    body: Body
    meal: Meal
    menu: Menu
    sensor: Sensor
    board: Array  # U
    time: Array  # int32: doses given


def risk(glucose: Array) -> Array:
    """Of glucose in mg/dl, by Magni et al. 2007: 0 near 139, 48 at 54, 18 at 250."""
    return 10.0 * (3.5506 * (jnp.log(jnp.maximum(glucose, 10.0)) ** 0.8353 - 3.7932)) ** 2


def rate(action: Array) -> Array:
    """U/min of an action."""
    return RATE * (jnp.exp(STEEPNESS * (jnp.clip(action, -1.0, 1.0) - 1.0)) - LEAST)


def action(rate: Array) -> Array:
    """The action of so many U/min, the nearest there is."""
    return jnp.clip(1.0 + jnp.log(rate / RATE + LEAST) / STEEPNESS, -1.0, 1.0)


@dataclass(frozen=True)
class InsulinDosing(Family):
    """Params: Patient; Task.index: the patient's row in the table."""

    n: int = 4  # days in a trial; ours

    bare: ClassVar[str] = "insulin-dosing"
    announced: ClassVar[bool] = True
    spaces: ClassVar[Spaces] = Spaces(Box((READINGS + 3,)), Box((1,), -1.0, 1.0))
    horizon: ClassVar[int] = LENGTH
    size: ClassVar[int] = 30
    measures: ClassVar[Mapping[str, Measure]] = {
        "in 70–180": Measure("%"),
        "below 70": Measure("%"),
        "below 54": Measure("%"),
        "above 180": Measure("%"),
    }

    @property
    def name(self) -> str:
        return self.bare if self.n == InsulinDosing.n else f"{self.bare}-n{self.n}"

    @property
    def episodes(self) -> int:
        return self.n

    @property
    def ids(self) -> tuple[int, ...]:
        """The patients of this split."""
        at = SPLITS.index(self.which)
        return tuple(10 * group + i for group in range(3) for i in range(ENDS[at], ENDS[at + 1]))

    def sample(self, key: Array, n: int) -> Task:
        index = jnp.array(self.ids, jnp.int32)[deal(self.stream(key), len(self.ids), n)]
        return Task(index, jax.tree.map(lambda x: jnp.asarray(x)[index], glucose_model.patients()))

    def reset(self, task: Task, key: Array) -> tuple[Day, Array]:
        patient: Patient = task.params
        key_body, key_menu, key_sensor = jax.random.split(key, 3)
        rest = patient.rest
        parts = jnp.stack([rest.plasma, rest.tissue, rest.skin])
        plasma, tissue, skin = parts + jnp.sqrt(0.1 * parts) * jax.random.normal(key_body, (3,))
        body = rest._replace(plasma=plasma, tissue=tissue, skin=skin)
        none = jnp.zeros((), jnp.int32)
        day = Day(body, glucose_model.fasting(body), Menu.draw(key_menu), Sensor.draw(key_sensor), jnp.zeros(()), none)
        now = glucose_model.glucose(patient, body) + day.sensor.errors[0]
        return day, self._seen(day, jnp.full(READINGS, now))

    def step(self, task: Task, state: Day, action: Array, key: Array) -> tuple[Day, Array, Array, Array, Array]:
        patient: Patient = task.params
        dose = rate(action[0])

        def minute(carry: tuple[Body, Meal], at: Array) -> tuple[tuple[Body, Meal], Array]:
            body, meal = glucose_model.minute(patient, *carry, state.menu.served(at), dose)
            return (body, meal), glucose_model.glucose(patient, body)

        minutes = state.time * MINUTES + jnp.arange(MINUTES)
        (body, meal), passed = jax.lax.scan(minute, (state.body, state.meal), minutes)
        glucose = passed[MINUTES // READINGS - 1 :: MINUTES // READINGS]
        sensor, errors = state.sensor.ahead(state.time, key)
        board = (state.board + MINUTES * dose) * 0.5 ** (MINUTES / HALF)
        after = Day(body, meal, state.menu, sensor, board, state.time + 1)
        reward = -jnp.mean(risk(glucose)) / LENGTH
        return after, self._seen(after, glucose + errors), reward, jnp.zeros((), bool), after.time >= LENGTH

    def _seen(self, day: Day, readings: Array) -> Array:
        coming = day.menu.coming(day.time) if self.announced else jnp.zeros(())
        rest = jnp.stack([day.board / 10.0, coming / 100.0, day.time / LENGTH])
        return jnp.concatenate([Sensor.shown(readings) / 100.0, rest])

    def measure(self, task: Task, seen: Transitions) -> dict[str, Array]:
        g = seen.arrived[:READINGS] * 100.0
        shares = {"in 70–180": (g >= 70) & (g <= 180), "below 70": g < 70, "below 54": g < 54, "above 180": g > 180}
        return {name: 100.0 * jnp.mean(share) for name, share in shares.items()}

    def basal_bolus(self, task: Task, obs: Array) -> Array:
        """What patients do who know their own figures, after simglucose's controller: the rate that holds them at rest, for a
        meal its carbohydrate by their ratio, and where glucose is above 150 mg/dl then, what brings it to 140. Good practice,
        not the best that is possible.

        Args:
            task: leaves [..., *].
            obs: [..., 8]; of the announced family, or meals go without a bolus.

        Returns:
            Actions [..., 1].
        """
        patient: Patient = task.params
        carbohydrate, reading = 100.0 * obs[..., READINGS + 1], 100.0 * obs[..., READINGS - 1]
        correction = jnp.where(reading > HIGH, reading - TARGET, 0.0) / patient.CF
        bolus = jnp.where(carbohydrate > 0, carbohydrate / patient.CR + correction, 0.0)
        return action(patient.basal + bolus / MINUTES)[..., None]


@dataclass(frozen=True)
class InsulinDosingUnannounced(InsulinDosing):
    """Meals come unannounced, as to a fully closed loop."""

    bare: ClassVar[str] = "insulin-dosing-unannounced"
    announced: ClassVar[bool] = False
