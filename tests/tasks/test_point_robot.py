"""Point-goal and the three semi-circles against closed-form values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks import PointGoal, SemiCircleDense, SemiCirclePearl, SemiCircleVaribad
from innerloop.tasks.semi_circle import PEARL_GOALS

FAMILIES = [PointGoal(), SemiCirclePearl(), SemiCircleVaribad(), SemiCircleDense()]
KEY = jax.random.key(0)


def towards(goal):
    return Task(jnp.int32(-1), jnp.asarray(goal, jnp.float32))


def walk(env, task, moves):
    """Rewards, ends and positions along fixed actions, past any end."""
    state, _ = env.reset(task, KEY)
    rows = []
    for move in moves:
        state, obs, reward, terminated, truncated = env.step(task, state, jnp.asarray(move, jnp.float32), KEY)
        rows.append((float(reward), bool(terminated), bool(truncated), np.asarray(obs)))
    return rows


def distances(goal, horizon):
    """Of the path that nears the goal by 0.1 along each axis: ‖max(|g| − 0.1 t, 0)‖, t = 1 … horizon; float64 [..., T]."""
    t = 0.1 * np.arange(1, horizon + 1)[:, None]
    return np.linalg.norm(np.maximum(np.abs(np.asarray(goal, np.float64))[..., None, :] - t, 0.0), axis=-1)


@pytest.mark.parametrize("env", FAMILIES, ids=lambda env: env.name)
def test_motion_clips_actions_and_scales_by_a_tenth(env):
    rows = walk(env, towards((0.5, 0.5)), [(1, 0), (5, -5), (-0.3, 0.5)])
    np.testing.assert_allclose([row[3] for row in rows], [(0.1, 0.0), (0.2, -0.1), (0.17, -0.05)], atol=1e-6)


def test_point_goal_rewards_the_position_after_the_move():
    rows = walk(PointGoal(), towards((0.3, 0.4)), [(0, 0), (1, 1), (1, 1)])
    np.testing.assert_allclose([row[0] for row in rows], [-0.5, -np.hypot(0.2, 0.3), -np.hypot(0.1, 0.2)], rtol=1e-5)


@pytest.mark.parametrize(
    ("gap", "ends"), [((0.009, 0.009), True), ((0.009, -0.009), True), ((0.011, 0.0), False), ((0.0, -0.011), False)]
)
def test_point_goal_terminates_within_a_hundredth_on_both_axes(gap, ends):
    goal = np.array([0.1, 0.1]) - gap
    ((_, terminated, truncated, _),) = walk(PointGoal(), towards(goal), [(1, 1)])
    assert terminated == ends and not truncated


def test_point_goal_truncates_after_a_hundred_steps():
    rows = walk(PointGoal(), towards((0.5, 0.0)), [(0, 0)] * 100)
    assert [row[2] for row in rows] == [False] * 99 + [True]
    assert not any(row[1] for row in rows)


def test_point_goal_law():
    goals = np.asarray(PointGoal().sample(KEY, 20_000).params)
    assert np.abs(goals).max() <= 0.5
    np.testing.assert_allclose(goals.mean(0), 0.0, atol=0.01)
    np.testing.assert_allclose(goals.var(0), 1 / 12, atol=0.002)


def test_point_goal_best_is_its_closed_form():
    goals = PointGoal().sample(KEY, 200).params
    # After the goal is reached every further term would be 0, so the end changes nothing but a rest below 0.01 √2.
    np.testing.assert_allclose(PointGoal().best(Task(jnp.zeros(200), goals)), -distances(goals, 100).sum(-1), atol=1e-5)


def test_sparse_rewards_by_distance():
    for env in (SemiCirclePearl(), SemiCircleVaribad()):
        seen = env.reward(jnp.array([0.0, 0.05, 0.19, 0.21, 1.0]))
        np.testing.assert_allclose(seen, [1.0, 0.95, 0.81, 0.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("env", [SemiCirclePearl(), SemiCircleVaribad()], ids=lambda env: env.name)
def test_sparse_best_is_its_closed_form(env):
    goals = np.asarray(env.sample(KEY, 60).params)
    d = distances(goals, env.horizon)
    clear = np.abs(d - 0.2).min(-1) > 1e-4  # on the rim itself, rounding decides
    assert clear.sum() > 50
    exact = np.where(d <= 0.2, 1.0 - d, 0.0).sum(-1)
    np.testing.assert_allclose(env.best(Task(jnp.zeros(60), jnp.asarray(goals)))[clear], exact[clear], rtol=1e-5)


def test_dense_best_is_its_closed_form():
    goals = SemiCircleDense().sample(KEY, 60).params
    np.testing.assert_allclose(SemiCircleDense().best(Task(jnp.zeros(60), goals)), -distances(goals, 20).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("env", FAMILIES, ids=lambda env: env.name)
def test_best_is_earned_by_walking_straight_and_by_no_other_walk(env):
    tasks = env.sample(jax.random.key(7), 16)

    def episode(task, key, noise):
        def advance(carry, key):
            state, running = carry
            key_step, key_noise = jax.random.split(key)
            action = (task.params - state.xy) / 0.1 + noise * jax.random.normal(key_noise, (2,))
            state, _, reward, terminated, truncated = env.step(task, state, action, key_step)
            return (state, running & ~(terminated | truncated)), jnp.where(running, reward, 0.0)

        start = (env.reset(task, key)[0], jnp.bool_(True))
        return jax.lax.scan(advance, start, jax.random.split(key, env.horizon))[1].sum()

    earned = jax.jit(jax.vmap(episode, (0, 0, None)))
    best = env.best(tasks)
    np.testing.assert_allclose(earned(tasks, jax.random.split(KEY, 16), 0.0), best, rtol=1e-4, atol=1e-5)
    for seed in range(3):
        assert jnp.all(earned(tasks, jax.random.split(jax.random.key(seed), 16), 0.5) <= best + 1e-5)


@pytest.mark.parametrize("env", [SemiCircleVaribad(), SemiCircleDense()], ids=lambda env: env.name)
def test_angles_are_uniform_over_the_upper_half(env):
    goals = np.asarray(env.sample(KEY, 20_000).params)
    np.testing.assert_allclose(np.linalg.norm(goals, axis=1), 1.0, atol=1e-5)
    angle = np.arctan2(goals[:, 1], goals[:, 0])
    np.testing.assert_allclose([angle.min(), angle.max()], [0.0, np.pi], atol=1e-3)
    np.testing.assert_allclose([angle.mean(), angle.var()], [np.pi / 2, np.pi**2 / 12], atol=0.03)


def test_pearl_goals_are_the_shuffled_even_angles():
    angles = np.sort(np.arctan2(PEARL_GOALS[:, 1].clip(0), PEARL_GOALS[:, 0]))
    np.testing.assert_allclose(angles, np.linspace(0, np.pi, 100), atol=1e-5)
    kept = np.random.get_state()
    try:  # the very calls of the published code, on the global generator
        np.random.seed(1337)
        even = np.linspace(0, np.pi, num=100)
        goals = np.stack([np.cos(even), np.sin(even)], axis=1)
        np.random.shuffle(goals)
    finally:
        np.random.set_state(kept)
    np.testing.assert_array_equal(PEARL_GOALS, goals.astype(np.float32))


def test_pearl_tests_on_its_last_twenty():
    env = SemiCirclePearl()
    assert [env.split(which).ids for which in ("train", "validation", "test")] == [range(70), range(70, 80), range(80, 100)]
    tasks = env.split("test").sample(KEY, 20)
    assert sorted(tasks.index.tolist()) == list(range(80, 100))
    np.testing.assert_array_equal(tasks.params, PEARL_GOALS[np.asarray(tasks.index)])
