"""The machines against Gymnasium's own, step by step, and the projections in front of them."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Discrete
from innerloop.tasks.classic_control import Acrobot, CartPole, MountainCar, Pendulum
from innerloop.tasks.names import family

MACHINES = {"CartPole-v0": CartPole(), "MountainCar-v0": MountainCar(), "Acrobot-v1": Acrobot(), "Pendulum-v1": Pendulum()}
NAMES = ["projected-cartpole", "projected-mountain-car", "projected-acrobot", "projected-pendulum"]


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("name", MACHINES)
def test_every_step_is_gymnasiums(name):
    control, env = MACHINES[name], gymnasium.make(name)
    step, rng = (
        jax.jit(lambda state, action: (*control.step(state, action), control.observe(control.step(state, action)[0]))),
        0,
    )
    rng = np.random.default_rng(0)
    assert env.spec is not None and env.spec.max_episode_steps == control.length
    for seed in range(3):
        env.reset(seed=seed)
        raw = env.unwrapped
        for _ in range(control.length - 1):
            action = rng.integers(control.action.n) if isinstance(control.action, Discrete) else rng.uniform(-3, 3, 1)
            if rng.random() < 0.05:  # somewhere else altogether, so that the corners are met too
                size = len(raw.state)
                raw.state = rng.uniform(-1.0, 1.0, size) * np.array([2.3, 5.0, 0.2, 5.0][:size] if size == 4 else [1.1, 0.07])
            before = jnp.asarray(raw.state, jnp.float32)
            given = int(action) if isinstance(control.action, Discrete) else action.astype(np.float32)
            obs, reward, terminated, *_ = env.step(given)
            after, paid, ended, seen = step(before, jnp.asarray(given))
            np.testing.assert_allclose(seen, obs, rtol=2e-4, atol=5e-5)
            np.testing.assert_allclose(after, np.asarray(raw.state), rtol=2e-4, atol=2e-4)
            np.testing.assert_allclose(paid, reward, rtol=1e-4, atol=1e-4)
            assert bool(ended) == terminated
            if terminated:
                env.reset()


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("name", MACHINES)
def test_starts_have_gymnasiums_law(name):
    control, env = MACHINES[name], gymnasium.make(name)
    ours = np.asarray(jax.jit(jax.vmap(control.start))(jax.random.split(jax.random.key(0), 2000)))
    theirs = np.array([(env.reset(seed=i), np.asarray(env.unwrapped.state))[1] for i in range(500)])
    np.testing.assert_allclose(ours.min(0), theirs.min(0), atol=0.02 * np.pi)
    np.testing.assert_allclose(ours.max(0), theirs.max(0), atol=0.02 * np.pi)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.1 * theirs.std(0).max())


@pytest.mark.parametrize("name", NAMES)
def test_a_projection_keeps_lengths_and_relabels_actions(name):
    env = family(name)
    params = jax.jit(lambda key: env.sample(key, 400))(jax.random.key(0)).params
    width = env.spaces.obs.shape[0]
    gram = np.einsum("nij,nik->njk", params.seen, params.seen)
    np.testing.assert_allclose(gram, np.broadcast_to(2.0 * np.eye(width), gram.shape), atol=1e-5)
    np.testing.assert_allclose(params.seen.mean(0), 0.0, atol=0.2)
    done = np.asarray(params.done)
    if isinstance(env.spaces.action, Discrete):
        np.testing.assert_array_equal(np.sort(done, -1), np.tile(np.arange(env.spaces.action.n), (400, 1)))
        assert all(abs((done[:, 0] == a).mean() - 1 / env.spaces.action.n) < 0.1 for a in range(env.spaces.action.n))
    else:
        assert set(np.unique(done)) == {-1.0, 1.0} and abs(done.mean()) < 0.15


@pytest.mark.parametrize("name", NAMES)
def test_behind_the_projection_is_the_machine(name):
    env = family(name)
    task = jax.tree.map(lambda x: x[0], env.sample(jax.random.key(3), 1))
    state, obs = env.reset(task, jax.random.key(4))
    discrete = isinstance(env.spaces.action, Discrete)
    action = jnp.int32(1) if discrete else jnp.array([0.7])
    meant = task.params.done[1] if discrete else task.params.done * action
    after, seen, reward, terminated, truncated = env.step(task, state, action, jax.random.key(5))
    expected, paid, _ = env.control.step(state.state, meant)
    np.testing.assert_allclose(after.state, expected, rtol=1e-6)
    np.testing.assert_allclose(task.params.seen.T @ seen / 2.0, env.control.observe(expected), atol=1e-5)
    np.testing.assert_allclose(task.params.seen.T @ obs / 2.0, env.control.observe(state.state), atol=1e-5)
    assert reward == paid and not truncated and after.time == 1


def test_the_best_of_cartpole_is_reached_by_a_linear_rule():
    env = family("projected-cartpole")

    def episode(key):
        def act(carry, _):
            state, alive = carry
            action = (state @ jnp.array([0.1, 0.3, 4.0, 1.0]) > 0).astype(jnp.int32)
            state, reward, fell = env.control.step(state, action)
            return (state, alive & ~fell), jnp.where(alive, reward, 0.0)

        return jax.lax.scan(act, (env.control.start(key), jnp.ones((), bool)), None, env.horizon)[1].sum()

    returns = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), 200))
    assert np.all(np.asarray(returns) == 200.0)
    assert np.all(env.best(env.sample(jax.random.key(0), 3)) == 200.0)
