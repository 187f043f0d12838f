"""What a family is judged by beside the return: counted in the unit that returns are counted in, on device and host alike."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from innerloop.core import Plan
from innerloop.evaluate.adaptation import Evaluator, by_unit, of_trial
from innerloop.evaluate.page.measures import measures
from innerloop.evaluate.page.record import Contender, Evaluation, Interval, Point
from innerloop.evaluate.table import show
from innerloop.inner.gradient import Gradient
from innerloop.tasks.family import Measure
from innerloop.worlds import DeviceWorld, HostWorld

sys.path.append(str(Path(__file__).parents[1] / "worlds"))
from walks import DeviceWalk, HostWalk

MEASURES = {"place": Measure("m"), "falls": Measure("", per="episode"), "earned": Measure("", per="episode")}


def told(family, task, seen):
    return {
        "place": seen.arrived[0] + 0.0 * task.params[0],
        "falls": seen.terminated.astype(jnp.float32),
        "earned": seen.reward,
    }


@dataclass(frozen=True)
class JudgedDevice(DeviceWalk):
    measures: ClassVar = MEASURES
    measure = told


@dataclass(frozen=True)
class JudgedHost(HostWalk):
    measures: ClassVar = MEASURES
    measure = told


def evaluator(family, world, unit, **options):
    plan = Plan(2, 14, 3, unit == "gradient step")
    inner = Gradient(plan, family.spaces, hidden=(8,), lr=2.0)
    return Evaluator(inner, family, world, unit, **options), inner.init(jax.random.key(0))


@pytest.mark.parametrize(("unit", "stochastic"), [("episode", True), ("gradient step", True), ("gradient step", False)])
def test_measures_are_counted_as_returns_are(unit, stochastic):
    found = []
    for family, make in ((JudgedDevice(), DeviceWorld), (JudgedHost(), lambda family: HostWorld(family, workers=0))):
        one, meta = evaluator(family, make(family), unit, stochastic=stochastic)
        found.append(one.find(meta, 4, jax.random.key(5))[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *found)
    returns, measures = found[0]
    assert measures.keys() == MEASURES.keys()
    np.testing.assert_array_equal(measures["earned"], returns)  # a sum of rewards is the return
    falls, place = (measures[name][np.isfinite(returns)] for name in ("falls", "place"))
    assert np.all((falls >= 0) & (falls <= 1)) and np.any(falls > 0) and np.ptp(place) > 0


def test_a_mean_is_over_the_steps_of_the_unit():
    world = DeviceWorld(JudgedDevice())
    one, meta = evaluator(world.tasks, world, "episode")
    tasks = world.tasks.sample(jax.random.key(1), 1)
    lives = world.live(one.inner, meta, tasks, jax.random.key(2), learn_last=False)[0]
    life = jax.tree.map(lambda x: x[0], lives.chunks)
    mean = by_unit(life.next_obs[..., 0], life, "episode", 1, "step")
    by_hand = []
    for stream in range(3):
        ended = np.asarray(life.terminated | life.truncated).reshape(-1, 3)[:, stream]
        length = int(np.argmax(ended)) + 1
        by_hand.append(np.asarray(life.next_obs[..., 0]).reshape(-1, 3)[:length, stream].mean())
    np.testing.assert_allclose(mean[0], np.mean(by_hand), rtol=1e-6)


@pytest.mark.parametrize("unit", ["episode", "gradient step", "update"])
def test_any_and_last_are_the_greatest_and_the_final_one(unit):
    world = DeviceWorld(JudgedDevice())
    one, meta = evaluator(world.tasks, world, unit)
    lives = world.live(one.inner, meta, world.tasks.sample(jax.random.key(1), 1), jax.random.key(2), learn_last=False)[0]
    life = jax.tree.map(lambda x: x[0], lives.chunks)
    values = -1.0 - jnp.abs(life.next_obs[..., 0])  # all below 0: what is not in the unit must not count as 0
    got = {per: float(by_unit(values, life, unit, 2, per)[0]) for per in ("any", "last")}
    found: dict[str, list[float]] = {"any": [], "last": []}
    for stream in range(3):
        of_chunk = np.asarray(values[..., stream]).reshape(2, -1)[0]
        ended = np.asarray(life.terminated | life.truncated)[0, :, stream]
        inside = of_chunk if unit == "update" else of_chunk[: int(np.argmax(ended)) + 1]
        found["any"].append(inside.max())
        found["last"].append(inside[-1])
    for per, each in found.items():
        np.testing.assert_allclose(got[per], np.mean(each), rtol=1e-6)


def test_a_trial_is_the_mean_of_its_units_or_the_last_step():
    each = np.array([[1.0, 2.0, 6.0]])
    assert of_trial(each, "episode").tolist() == [3.0] and of_trial(each, "gradient step").tolist() == [6.0]


def point(mean):
    return {"mean": mean, "lo": mean - 1.0, "hi": mean + 1.0}


def judged(mean):
    curve = [point(mean - 10.0) | {"experience": 0}, point(mean + 10.0) | {"experience": 1}]
    return {"time in range": {"unit": "%", "per": "step", "curve": curve, "trial": point(mean)}}


def evaluation(**more):
    curve = [point(-9.0) | {"experience": 0}, point(-5.0) | {"experience": 1}]
    baseline = {"curve": curve, "total": point(-18.0), "measures": judged(41.0)}
    return {
        "recipe": "rl2", "family": "walk", "unit": "episode", "curve": curve, "total": point(-14.0), "gain": point(4.0),
        "gap": None, "baselines": {"random": baseline}, "oracle": None, "tasks": 100, "split": "test", "seeds": [0],
        "policy": "stochastic", "interval": "tasks", "tiny": False, "incomplete": 0, "measures": judged(72.0), **more,
    }  # fmt: skip


def test_the_table_shows_them():
    console = Console(record=True, width=80, file=io.StringIO())
    show(evaluation(), console)
    said = console.export_text()
    assert "time in range, %" in said and "72.0 ± 1.0" in said and "41.0 ± 1.0" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_the_protocol_is_told_wherever_the_measures_are():
    result, said = evaluation(protocol={"rewards": "v2", "steps in an episode": "500"}), io.StringIO()
    show(result, Console(width=80, file=said))
    assert "Protocol: rewards v2, steps in an episode 500." in said.getvalue()
    assert "Protocol: rewards v2, steps in an episode 500." in page(result)


def page(facts):
    curve = (Point(0.0, -9.0), Point(1.0, -5.0))
    run = Contender("this run", curve, Interval(-14.0))
    return measures(Evaluation("episode", run, None, (), None, None, (), 0, False, facts))


def test_the_page_shows_run_ends_and_baselines():
    said = page(evaluation())
    for shown in ("time in range (%)", "in the first episode", "62.0", "82.0", "random", "41.0"):
        assert shown in said, shown


@pytest.mark.parametrize("odd", [None, 3, {"x": 3}, {"x": {"trial": "?", "curve": [None]}}, {"x": {"curve": {}}}])
def test_the_page_bears_odd_measures(odd):
    page(evaluation(measures=odd, baselines={"random": {"measures": odd}, "other": 3}))
