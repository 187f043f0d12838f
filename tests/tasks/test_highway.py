"""The highway: what is drawn, seen, paid and measured, and that a policy lives in the package as on the device."""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task, Transitions
from innerloop.tasks import highway, highway_package
from innerloop.tasks.names import family
from innerloop.tasks.regime import RANGES, SEEN, Regime

FAMILY = family("highway")
REGIME = Regime(3, 1.0, 0.5, 0.4, -0.2, 3.0)
INSTALLED = importlib.util.find_spec("highway_env") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="the extra driving is not installed")


def start(seed=0, regime=REGIME):
    task = Task(jnp.int32(-1), Regime(jnp.int32(regime.lanes), *(jnp.float32(x) for x in regime[1:])))
    return task, *jax.jit(FAMILY.reset)(task, jax.random.key(seed))


def test_beyond_is_denser_and_more_aggressive_than_any_training():
    for name, at in (("highway", 0), ("highway-beyond", 1), ("highway-env", 0), ("highway-env-beyond", 1)):
        drawn = jax.jit(family(name).split("test").sample, static_argnums=1)(jax.random.key(0), 2000).params._asdict()
        for field, x in drawn.items():
            low, high = RANGES[field][at]
            assert np.min(x) >= low - 1e-6 and np.max(x) <= high + 1e-6
            assert np.min(x) < low + 0.01 * (high - low) + 1e-6 and np.max(x) > high - 0.01 * (high - low) - 1e-6
    assert RANGES["density"][1][0] >= RANGES["density"][0][1] and RANGES["aggression"][1][0] >= RANGES["aggression"][0][1]


def test_host_and_device_draw_the_same_regimes():
    for ours, theirs in (("highway", "highway-env"), ("highway-beyond", "highway-env-beyond")):
        draw = [family(name).split("test").sample(jax.random.key(3), 5) for name in (ours, theirs)]
        jax.tree.map(np.testing.assert_array_equal, *draw)


def test_the_first_moment_is_laid_out_as_the_packages():
    _, state, obs = start()
    cars = state.cars
    narrow = np.exp(-3 / 8)
    own = 1.5 * (12 + 25) * narrow
    assert 3.9 * own <= cars.x[0] <= 4.1 * own and cars.speed[0] == 25.0
    gaps, offset = np.diff(np.asarray(cars.x)), (12 + np.asarray(cars.speed[1:])) * narrow
    assert np.all(gaps >= 0.9 * offset - 1e-3) and np.all(gaps <= 1.1 * offset + 1e-3)
    assert np.all((cars.speed[1:] >= 21) & (cars.speed[1:] <= 24)) and set(np.asarray(cars.lane).tolist()) == {0, 1, 2}
    np.testing.assert_allclose(obs[0], [1.0, cars.x[0] / 200, cars.y[0] / 12, 25 / 80, 0.0], rtol=1e-6)
    np.testing.assert_allclose(obs[1:, 1] * 200, np.asarray(cars.x[1:SEEN] - cars.x[0]), rtol=1e-4)


def test_only_the_nearest_that_are_not_behind_are_seen():
    task, state, _ = start()
    away = jnp.concatenate([jnp.array([-9.0, -11.0, 30.0, 199.0, 201.0]), jnp.linspace(250.0, 900.0, 15)])
    cars = state.cars._replace(x=jnp.concatenate([jnp.array([500.0]), 500.0 + away]), y=jnp.zeros(21))
    seen = highway.seen(cars, task.params.lanes)
    np.testing.assert_allclose(seen[1:, 1] * 200, [-9.0, 30.0, 199.0, 0.0], atol=1e-3)
    assert seen[:, 0].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("regime", [REGIME, REGIME._replace(speed=-0.3, lane=0.4, lanes=2)])
def test_a_second_is_worth_what_the_passenger_wants(regime):
    task, state, _ = start(regime=regime)

    def paid(speed, lane, crashed):
        cars = state.cars
        cars = cars._replace(
            speed=cars.speed.at[0].set(speed),
            target=cars.target.at[0].set(lane),
            lane=cars.lane.at[0].set(lane),
            y=cars.y.at[0].set(4.0 * lane),
            crashed=cars.crashed.at[0].set(crashed),
        )
        return float(highway.worth(cars, task.params))

    most = regime.lanes - 1
    assert paid(30.0, most, False) == pytest.approx(regime.speed + regime.lane)
    assert paid(25.0, 0, False) == pytest.approx(regime.speed / 2)
    assert paid(35.0, 0, False) == pytest.approx(regime.speed)
    assert paid(10.0, most, True) == pytest.approx(regime.lane - regime.collision)


def test_the_passenger_pays_every_ten_seconds():
    task, state, _ = start(seed=2)
    step, owed, paid = jax.jit(FAMILY.step), 0.0, []
    for second in range(1, FAMILY.horizon + 1):
        state, _, reward, terminated, _ = step(task, state, jnp.int32(4), jax.random.key(0))
        owed += float(highway.worth(state.cars, task.params))
        due = bool(terminated) or second % 10 == 0
        assert float(reward) == pytest.approx(owed if due else 0.0, abs=1e-5)
        if due:
            paid.append(float(reward))
            owed = 0.0
        if terminated:
            break
    assert len(paid) == 3


def test_measures_are_read_from_what_is_seen():
    task, state, obs = start(regime=REGIME._replace(speed=-0.3))
    cars = state.cars._replace(speed=state.cars.speed.at[0].set(22.0), y=state.cars.y.at[0].set(8.0))
    seen = Transitions(obs, jnp.int32(1), jnp.float32(0), highway.seen(cars, task.params.lanes), jnp.array(True))
    told = {name: float(x) for name, x in FAMILY.measure(task, seen).items()}
    assert told == pytest.approx({"collisions": 100.0, "speed": 22.0, "lane": 100.0, "wish for speed met": 80.0}, rel=1e-4)
    assert set(told) == set(FAMILY.measures)


@needs_package
def test_the_package_takes_a_regime():
    env = highway_package.make()
    highway_package.assign(env, REGIME._replace(aggression=1.0, lanes=2))
    obs, _ = env.reset(seed=0)
    assert obs.shape == FAMILY.spaces.obs.shape and env.action_space.n == FAMILY.spaces.action.n
    assert {car.TIME_WANTED for car in env.road.vehicles[1:]} == {0.75} and len(env.road.vehicles) == 21
    assert len(env.road.network.graph["0"]["1"]) == 2
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.std() > 1.0
    env.close()


@needs_package
@pytest.mark.slow
def test_constant_policies_earn_alike_on_device_and_in_the_package():
    """Means over episodes in the same regimes; starts differ."""
    count, env = 60, highway_package.make()
    tasks = FAMILY.split("test").sample(jax.random.key(0), count)
    for action in (1, 3):
        theirs = []
        for i in range(count):
            highway_package.assign(env, jax.tree.map(lambda x, i=i: np.asarray(x[i]), tasks.params))
            env.reset(seed=i)
            total, over = 0.0, False
            while not over:
                _, reward, terminated, truncated, _ = env.step(action)
                total, over = total + reward, terminated or truncated
            theirs.append(total)

        def episode(task, key, action=action):
            def one(carry, _):
                state, alive = carry
                state, _, reward, terminated, truncated = FAMILY.step(task, state, jnp.int32(action), key)
                return (state, alive & ~(terminated | truncated)), jnp.where(alive, reward, 0.0)

            start = FAMILY.reset(task, key)[0]
            return jnp.sum(jax.lax.scan(one, (start, jnp.array(True)), None, FAMILY.horizon)[1])

        ours = np.mean([jax.jit(jax.vmap(episode))(tasks, jax.random.split(jax.random.key(k), count)) for k in range(5)], 0)
        gap = np.asarray(theirs) - ours
        assert abs(gap.mean()) < 3 * gap.std() / np.sqrt(count)


@pytest.mark.skipif(INSTALLED, reason="the extra driving is installed")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ValueError, match=r"pip install 'innerloop\[driving\]'"):
        family("highway-env").spaces  # noqa: B018


def test_workers_import_no_jax():
    program = "import sys; import innerloop.tasks.highway_package; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
