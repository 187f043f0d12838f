"""Cars on a highway: who collides, who follows whom how, who changes lanes; and the package's own traffic, step by step."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks import highway, highway_package, traffic
from innerloop.tasks.collision import LENGTH, WIDTH, collide
from innerloop.tasks.names import family
from innerloop.tasks.regime import PUBLISHED, Regime, drivers
from innerloop.tasks.traffic import FASTER, IDLE, LEFT, RIGHT, SLOWER, Cars

CALM = drivers(0.5)
ENDS = ((0.7, 2.0), (0.0, 1.5), (-1.0, 1.0), (-1.0, 1.0), (1.0, 5.0))  # of all regimes, beyond training included
SECOND = jax.jit(traffic.second, static_argnums=4)


def cars(x, lane, speed, goal=None, **other):
    """Cars in the middle of their lanes; lists."""
    count, zero = len(x), jnp.zeros(len(x))
    lane = jnp.asarray(lane, jnp.int32)
    made = Cars(
        x=jnp.asarray(x, jnp.float32),
        y=4.0 * lane.astype(jnp.float32),
        heading=zero,
        speed=jnp.asarray(speed, jnp.float32),
        goal=jnp.asarray(goal or speed, jnp.float32),
        lane=lane,
        target=lane,
        timer=zero,
        exponent=jnp.full(count, 4.0),
        crashed=zero > 0,
        struck=zero > 0,
        push=(zero, zero),
    )
    return made._replace(**other)


def later(state, seconds, action=IDLE, ways=CALM, lanes=3):
    for _ in range(seconds):
        state = SECOND(state, jnp.int32(action), ways, jnp.int32(lanes), 5)
    return state


@pytest.mark.parametrize(
    ("x", "y", "heading", "overlaps"),
    [
        (LENGTH - 0.01, 0.0, 0.0, True),
        (LENGTH + 0.01, 0.0, 0.0, False),
        (0.0, WIDTH - 0.01, 0.0, True),
        (0.0, WIDTH + 0.01, 0.0, False),
        (3.4, 0.0, np.pi / 2, True),  # across the road before it: 2.5 m and 1 m
        (3.6, 0.0, np.pi / 2, False),
        (3.6, 0.0, np.pi / 4, True),
        (4.6, 2.6, np.pi / 4, False),  # corner beside corner: apart on the other's axis only
    ],
)
def test_cars_overlap_as_rectangles_do(x, y, heading, overlaps):
    for turn in (0.0, 1.0):  # the plane has no preferred direction
        c, s = np.cos(turn), np.sin(turn)
        place = jnp.array([0.0, c * x - s * y]), jnp.array([0.0, s * x + c * y])
        now, soon, _ = collide(*place, jnp.array([turn, turn + heading]), jnp.zeros(2), 0.2)
        assert bool(now[0]) == bool(soon[0]) == overlaps


def test_a_collision_is_foreseen_by_one_moment():
    now, soon, give = collide(jnp.array([0.0, 7.0]), jnp.zeros(2), jnp.zeros(2), jnp.array([30.0, 10.0]), 0.2)
    assert not now[0] and soon[0]
    assert give[0][0] == pytest.approx(7.0 - 4.0 - LENGTH) and give[1][0] == 0.0  # of the 4 m to go 2 m are free
    assert not collide(jnp.array([0.0, 9.1]), jnp.zeros(2), jnp.zeros(2), jnp.array([30.0, 10.0]), 0.2)[1][0]


def test_who_runs_into_another_has_crashed_and_stops():
    state = later(cars([0.0, 12.0], [1, 1], [30.0, 20.0]), 2)
    assert state.crashed.tolist() == [True, True]
    assert float(later(state, 5).speed[0]) < 10.0


def test_others_keep_the_distance_of_the_idm():
    """Behind a car that never changes its speed v: gap s with v/v0 and s* in balance (Treiber et al. 2000, eq. 4)."""
    ways = CALM._replace(gain=100.0)  # nobody changes lanes
    state = later(cars([300.0, 0.0, -40.0], [0, 0, 0], [20.0, 20.0, 20.0], [20.0, 25.0, 25.0]), 250, ways=ways, lanes=1)
    v = 20.0
    free = 1 - (v / 25.0) ** 4
    expected = (ways.gap + v * ways.headway) / np.sqrt(free)
    np.testing.assert_allclose(-np.diff(np.asarray(state.x)), expected, rtol=0.02)
    np.testing.assert_allclose(state.speed, v, rtol=1e-3)


def test_the_agents_car_takes_the_lanes_and_speeds_it_is_told():
    state = cars([0.0, 500.0], [1, 0], [25.0, 25.0])
    assert float(later(later(state, 1, FASTER), 6).speed[0]) == pytest.approx(30.0, abs=0.05)
    assert float(later(later(state, 3, SLOWER), 6).speed[0]) == pytest.approx(10.0, abs=0.05)
    for action, lane in ((LEFT, 0), (RIGHT, 2)):
        moved = later(later(state, 2, action), 4)  # there is no lane beyond
        assert int(moved.lane[0]) == lane and float(moved.y[0]) == pytest.approx(4.0 * lane, abs=0.1)


def test_a_driver_overtakes_where_the_lane_beside_is_free():
    state = cars([-500.0, 0.0, 30.0], [0, 0, 0], [25.0, 25.0, 20.0], [25.0, 25.0, 20.0], timer=jnp.array([0.0, 0.9, 0.0]))
    assert int(later(state, 3).lane[1]) == 1
    assert int(later(state, 3, lanes=1).lane[1]) == 0
    blocked = cars([-500.0, 0.0, 30.0, -6.0], [0, 0, 0, 1], [25.0, 25.0, 20.0, 25.0], timer=jnp.array([0.0, 0.9, 0.0, 0.0]))
    assert int(later(blocked, 1).target[1]) == 0


def test_aggressive_drivers_force_their_way_in():
    follower = cars([-500.0, 0.0, 24.0, -22.0], [0, 0, 0, 1], [25.0, 25.0, 18.0, 26.0], timer=jnp.array([0.0, 0.9, 0.0, 0.0]))
    assert int(later(follower, 1, ways=drivers(0.0)).target[1]) == 0
    assert int(later(follower, 1, ways=drivers(1.5)).target[1]) == 1


def test_drivers_of_the_middle_are_the_packages():
    vehicle = pytest.importorskip("highway_env.vehicle.behavior", reason="the extra driving is not installed").IDMVehicle
    assert drivers(0.5) == (
        vehicle.TIME_WANTED,
        vehicle.POLITENESS,
        vehicle.LANE_CHANGE_MAX_BRAKING_IMPOSED,
        vehicle.DISTANCE_WANTED,
        vehicle.COMFORT_ACC_MAX,
        -vehicle.COMFORT_ACC_MIN,
        vehicle.LANE_CHANGE_MIN_ACC_GAIN,
        vehicle.LANE_CHANGE_DELAY,
    )


def of_package(env):
    """The package's road as Cars, in its precision."""

    def told(read, kind=np.float64):
        return jnp.asarray([read(car) for car in env.road.vehicles], kind)

    return Cars(
        x=told(lambda car: car.position[0]),
        y=told(lambda car: car.position[1]),
        heading=told(lambda car: car.heading),
        speed=told(lambda car: car.speed),
        goal=told(lambda car: car.target_speed),
        lane=told(lambda car: car.lane_index[2], np.int32),
        target=told(lambda car: car.target_lane_index[2], np.int32),
        timer=told(lambda car: getattr(car, "timer", 0.0)),
        exponent=told(lambda car: getattr(car, "DELTA", 4.0)),
        crashed=told(lambda car: car.crashed, bool),
        struck=told(lambda car: car.impact is not None, bool),
        push=(*(told(lambda car, i=i: 0.0 if car.impact is None else car.impact[i]) for i in range(2)),),
    )


@pytest.mark.parametrize("episodes", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_traffic_is_the_packages_step_by_step(episodes):
    pytest.importorskip("highway_env", reason="the extra driving is not installed")
    rng, env, ours = np.random.default_rng(0), highway_package.make(), family("highway")
    step, crashes, changes = jax.jit(ours.step), 0, 0
    with jax.enable_x64(True):
        for episode in range(episodes):
            regime = Regime(int(rng.integers(2, 5)), *(float(rng.uniform(*ends)) for ends in ENDS))
            highway_package.assign(env, regime)
            seen, _ = env.reset(seed=episode)
            task = Task(jnp.int32(-1), Regime(jnp.int32(regime.lanes), *(jnp.float64(x) for x in regime[1:])))
            state = highway.Drive(of_package(env), jnp.int32(0), jnp.float64(0))
            np.testing.assert_allclose(highway.seen(state.cars, task.params.lanes), seen, atol=1e-6)
            over = False
            while not over:
                action = int(rng.choice(5, p=[0.15, 0.2, 0.15, 0.35, 0.15]))
                before = state.cars.target
                seen, reward, terminated, truncated, _ = env.step(action)
                state, own, earned, *ends = step(task, state, jnp.int32(action), jax.random.key(0))
                for name, theirs in of_package(env)._asdict().items():
                    if name != "push":
                        first = int(name == "timer")  # the agent's car has no driver who needs one
                        np.testing.assert_allclose(getattr(state.cars, name)[first:], theirs[first:], atol=1e-6, err_msg=name)
                np.testing.assert_allclose(own, seen, atol=1e-6)
                assert float(earned) == pytest.approx(reward, abs=1e-9)
                assert [bool(x) for x in ends] == [terminated, truncated]
                over = terminated or truncated
                crashes, changes = crashes + terminated, changes + int(jnp.sum(state.cars.target != before))
    assert crashes > episodes / 3 and changes > 5 * episodes  # both were there to disagree on


def test_the_packages_own_configuration_is_the_published_regime():
    pytest.importorskip("highway_env", reason="the extra driving is not installed")
    own = importlib.import_module("highway_env.envs.highway_env").HighwayEnvFast.default_config()
    mine = highway_package.config(PUBLISHED)
    same = ["lanes_count", "vehicles_count", "vehicles_density", "ego_spacing", "duration", "simulation_frequency"]
    same += ["high_speed_reward", "right_lane_reward", "collision_reward", "reward_speed_range"]
    assert {name: mine[name] for name in same} == {name: own[name] for name in same}
