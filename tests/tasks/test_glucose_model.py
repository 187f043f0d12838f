"""The model against simglucose's own trajectories, recorded by `benchmarks/simglucose_reference.py`."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.tasks.diabetic_day import BLOCK, MINUTES, READINGS, Sensor, bent, spline
from innerloop.tasks.glucose_model import fasting, glucose, minute, patients

RECORD = dict(np.load(Path(__file__).with_name("simglucose.npz"), allow_pickle=False))
TOLERANCE = 0.5  # mg/dl, over 24 hours


@pytest.fixture(scope="module")
def lived():
    """All patients over the recorded day: body every 15 minutes, leaves [30, 96]."""

    @jax.jit
    @jax.vmap
    def day(patient, meals, doses):
        def step(carry, at):
            carry = minute(patient, *carry, *at)
            return carry, carry[0]

        start = (patient.rest, fasting(patient.rest))
        body = jax.lax.scan(step, start, (meals, jnp.repeat(doses, MINUTES)))[1]
        return jax.tree.map(lambda x: x[MINUTES - 1 :: MINUTES], body)

    meals, doses = jnp.asarray(RECORD["meals"], jnp.float32), jnp.asarray(RECORD["doses"], jnp.float32)
    return day(jax.tree.map(jnp.asarray, patients()), meals, doses)


def test_the_same_insulin_and_meals_give_simglucoses_glucose(lived):
    volume = patients().Vg[:, None]
    for name in ("plasma", "skin"):
        apart = np.abs(np.asarray(getattr(lived, name)) - RECORD[name]) / volume
        assert apart.max() < TOLERANCE, name
    seen = RECORD["skin"] / volume
    assert seen.min() < 54 and seen.max() > 400  # the record goes where it matters


def test_the_same_insulin_in_plasma(lived):
    np.testing.assert_allclose(lived.insulin, RECORD["insulin"], rtol=1e-4)


def test_at_rest_glucose_stands_still():
    patient = jax.tree.map(jnp.asarray, patients())

    @jax.jit
    @jax.vmap
    def day(patient):
        def step(carry, _):
            carry = minute(patient, *carry, jnp.zeros(()), patient.basal)
            return carry, glucose(patient, carry[0])

        return jax.lax.scan(step, (patient.rest, fasting(patient.rest)), None, 24 * 60)[1]

    kept = np.asarray(day(patient))
    assert np.abs(kept - kept[:, :1]).max() < 1.0


def test_an_overdose_is_survived_by_the_numbers():
    """simglucose holds a quantity below 0 for good; here it can come back, and nothing becomes NaN."""
    patient = jax.tree.map(lambda x: jnp.asarray(x[25]), patients())

    def step(carry, t):
        carry = minute(patient, *carry, jnp.zeros(()), jnp.where(t < 15, 2.0, 0.0))
        return carry, glucose(patient, carry[0])

    passed = np.asarray(jax.jit(lambda: jax.lax.scan(step, (patient.rest, fasting(patient.rest)), jnp.arange(2880))[1])())
    assert np.isfinite(passed).all() and passed.min() > -1.0
    assert passed.min() < 10.0 < 60.0 < passed[-1]


def test_all_of_a_meal_is_eaten_at_its_rate():
    patient = jax.tree.map(lambda x: jnp.asarray(x[0]), patients())
    body, meal = patient.rest, fasting(patient.rest)
    eaten = []
    for t in range(6):
        body, meal = minute(patient, body, meal, jnp.asarray(12.0 if t == 1 else 0.0), patient.basal)
        eaten.append((float(meal.left), float(meal.eaten), bool(meal.eating)))
    assert eaten == [(0, 0, False), (7, 5, True), (2, 10, True), (0, 12, True), (0, 12, False), (0, 12, False)]


def test_the_sensors_errors_are_simglucoses():
    knots, drawn = RECORD["noise_knots"], jnp.asarray(RECORD["noise_drawn"])
    first = Sensor.block(drawn[0], bent(drawn[0]), drawn[1 : BLOCK + 1])
    then = Sensor.block(first.last, first.errors[-1], drawn[BLOCK + 1 : 2 * BLOCK + 1])
    np.testing.assert_allclose(jnp.concatenate([first.errors, then.errors[1:]]), knots[: 2 * BLOCK + 1], atol=1e-3)
    for block, errors in enumerate((first.errors, then.errors)):
        for i in range(BLOCK):
            recorded = RECORD["noise"][(BLOCK * block + i) * READINGS :][:READINGS]
            np.testing.assert_allclose(spline()[i] @ errors, recorded, atol=2e-3)


def test_a_block_of_errors_follows_another():
    key = jax.random.key(0)
    sensor = Sensor.draw(key)
    for i in range(2 * BLOCK):
        ahead, errors = sensor.ahead(jnp.asarray(i), jax.random.fold_in(key, i))
        np.testing.assert_allclose(errors[-1], sensor.errors[i % BLOCK + 1], rtol=1e-5)
        if i % BLOCK < BLOCK - 1:
            np.testing.assert_array_equal(ahead.errors, sensor.errors)
        else:
            assert ahead.errors[0] == sensor.errors[-1] and not np.allclose(ahead.errors, sensor.errors)
        sensor = ahead
