"""Insulin dosing: what is seen, what it pays, and whose days the splits hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Transitions
from innerloop.evaluate import insulin_oracle, oracles
from innerloop.tasks import SPLITS, insulin_dosing
from innerloop.tasks.diabetic_day import EARLIEST, LATEST, Menu
from innerloop.tasks.glucose_model import GROUPS, patients
from innerloop.tasks.insulin_dosing import InsulinDosing, InsulinDosingUnannounced
from innerloop.tasks.names import family

FAMILY = InsulinDosing()


def task(row):
    return jax.tree.map(lambda x: x[0], FAMILY.sample(jax.random.key(0), 18))._replace(
        index=jnp.asarray(row), params=jax.tree.map(lambda x: jnp.asarray(x[row]), patients())
    )


def day(family, task, policy, key):
    """Observations [97, 8] and rewards [96] of a day."""

    def step(carry, key):
        state, obs = carry
        state, seen, reward, _, _ = family.step(task, state, policy(obs), key)
        return (state, seen), (seen, reward)

    key_reset, key_steps = jax.random.split(key)
    start = family.reset(task, key_reset)
    _, (seen, rewards) = jax.lax.scan(step, start, jax.random.split(key_steps, family.horizon))
    return start[0], jnp.concatenate([start[1][None], seen]), rewards


def test_splits_hold_out_patients_of_every_group():
    held = {which: FAMILY.split(which).ids for which in SPLITS}
    assert {which: len(ids) for which, ids in held.items()} == {"train": 18, "validation": 6, "test": 6}
    for ids, each in zip(held.values(), (6, 2, 2), strict=True):
        assert [sum(i // 10 == group for i in ids) for group in range(len(GROUPS))] == [each] * 3
    assert held["test"] == (8, 9, 18, 19, 28, 29)


def test_a_task_is_its_patient():
    tasks = FAMILY.split("test").sample(jax.random.key(3), 6)
    assert sorted(tasks.index.tolist()) == list(FAMILY.split("test").ids)
    np.testing.assert_array_equal(tasks.params.BW, patients().BW[tasks.index])
    assert (patients().BW[20:] < 50).all() and (patients().age[10:20] >= 26).all()  # children, adults


def test_the_scale_of_doses():
    rates = insulin_dosing.rate(jnp.array([-3.0, -1.0, 0.0, 1.0, 3.0]))
    np.testing.assert_allclose(rates, [0.0, 0.0, 2 * (np.exp(-4) - np.exp(-8)), 2.0, 2.0], atol=2e-3)
    assert float(rates[1]) == 0.0
    some = jnp.array([0.0, 0.008, 0.02, 0.5, 1.9])
    np.testing.assert_allclose(insulin_dosing.rate(insulin_dosing.action(some)), some, atol=1e-5)


def test_the_risk_by_magni():
    at = [5.0, 10.0, 54.0, 70.0, 138.9, 180.0, 250.0, 400.0]
    found = np.asarray(insulin_dosing.risk(jnp.array(at)))
    by_hand = [10 * (3.5506 * (np.log(max(g, 10.0)) ** 0.8353 - 3.7932)) ** 2 for g in at]
    np.testing.assert_allclose(found, by_hand, rtol=1e-3, atol=1e-3)
    assert found[0] == found[1] and found.argmin() == 4 and found[2] > found[6]  # low glucose is worse than high


def test_meals_are_those_of_the_scenario():
    menus = jax.jit(jax.vmap(Menu.draw))(jax.random.split(jax.random.key(0), 20_000))
    minute, grams = np.asarray(menus.minute), np.asarray(menus.grams)
    assert (minute >= EARLIEST).all() and (minute <= LATEST).all() and (grams >= 0).all()
    np.testing.assert_allclose((grams[:, ::2] > 0).mean(0), 0.95, atol=0.01)
    np.testing.assert_allclose((grams[:, 1::2] > 0).mean(0), 0.3 * 0.97, atol=0.02)  # a snack of 10 ± 5 g may be none
    np.testing.assert_allclose([g[g > 0].mean() for g in grams.T[::2]], [45, 70, 80], rtol=0.02)
    np.testing.assert_allclose(minute.mean(0), 60 * np.array([7, 9.5, 12, 15, 18, 21.5]), atol=2)
    assert set(np.modf(grams)[0].ravel()) == {0.0}


@pytest.fixture(scope="module")
def lived():
    """A day of one patient at a constant rate, announced and unannounced."""

    @jax.jit
    def both(key):
        return [day(family, task(12), lambda obs: jnp.zeros(1), key) for family in (FAMILY, InsulinDosingUnannounced())]

    return both(jax.random.key(1))


def test_what_is_seen(lived):
    state, seen, rewards = lived[0]
    np.testing.assert_allclose(seen[:, 7], np.arange(97) / 96, rtol=1e-6)
    assert np.all(seen[0, :5] == seen[0, 0])  # one reading to begin with
    carbohydrate = np.zeros(97)
    for minute, grams in zip(state.menu.minute, state.menu.grams, strict=True):
        carbohydrate[int(minute) // 15] += float(grams) / 100
    np.testing.assert_allclose(seen[:, 6], carbohydrate, atol=1e-6)
    dose = 15 * float(insulin_dosing.rate(jnp.zeros(())))
    np.testing.assert_allclose(seen[1:4, 5] * 10, dose * np.cumsum(0.5 ** (np.arange(1, 4) / 4)), rtol=1e-5)
    assert rewards.shape == (96,) and np.all(rewards <= 0)


def test_unannounced_days_are_the_same_days(lived):
    (_, seen, paid), (_, blind, paid_blind) = lived
    np.testing.assert_array_equal(paid, paid_blind)
    assert np.all(blind[:, 6] == 0) and np.any(seen[:, 6] > 0)
    np.testing.assert_array_equal(np.delete(seen, 6, 1), np.delete(blind, 6, 1))


def test_measures_are_shares_of_the_readings():
    seen = jnp.array([0.50, 0.60, 0.70, 1.80, 1.81, 0.0, 0.0, 0.5])
    told = FAMILY.measure(task(0), Transitions(seen, jnp.zeros(1), jnp.zeros(()), seen, jnp.zeros((), bool)))
    assert told.keys() == FAMILY.measures.keys()
    assert {name: round(float(value)) for name, value in told.items()} == {
        "in 70–180": 40,
        "below 70": 40,
        "below 54": 20,
        "above 180": 20,
    }


def test_the_patients_own_rule():
    tasks = jax.tree.map(lambda x: jnp.asarray(x)[:3], patients())
    obs = jnp.array([[1.4] * 5 + [0.0, 0.0, 0.1], [1.4] * 5 + [0.0, 0.5, 0.1], [2.0] * 5 + [0.0, 0.5, 0.1]])
    given = 15 * np.asarray(insulin_dosing.rate(FAMILY.basal_bolus(task(0)._replace(params=tasks), obs))[:, 0])
    basal = 15 * np.asarray(tasks.basal)
    wanted = basal + [0.0, 50 / tasks.CR[1], 50 / tasks.CR[2] + 60 / tasks.CF[2]]
    np.testing.assert_allclose(given, wanted, rtol=1e-3)


def test_knowing_the_patient_pays(monkeypatch):
    monkeypatch.setattr(insulin_oracle, "AT_ONCE", 24)
    returns, told = insulin_oracle.days("basal-bolus", 24)
    shipped = oracles.load("insulin-dosing")["baselines"]
    assert returns.mean() > shipped["basal"]["curve"][0]["mean"] > shipped["no insulin"]["curve"][0]["mean"]
    shares = {name: values.mean() for name, values in told.items()}
    np.testing.assert_allclose(shares["in 70–180"] + shares["below 70"] + shares["above 180"], 100, rtol=1e-4)
    known = shipped["basal-bolus"]["measures"]["in 70–180"]["trial"]
    assert abs(shares["in 70–180"] - known["mean"]) < 5 and known["hi"] - known["lo"] < 1


def test_a_shown_patient_is_judged_too():
    shown = family("shown:insulin-dosing")
    assert shown.measures == FAMILY.measures
    seen = jnp.full(shown.spaces.obs.width, 3.0)  # 300 mg/dl; the patient behind it is not counted
    told = shown.measure(task(0), Transitions(seen, jnp.zeros(1), jnp.zeros(()), seen, jnp.zeros((), bool)))
    assert told["above 180"] == 100 and told["in 70–180"] == 0
