"""Acting by `optimal` earns `best`, whichever family says what is optimal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Discrete
from innerloop.core.spaces import zeros
from innerloop.tasks.names import examples, family

LIVES = 256


def at(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def labelled(name):
    if name.startswith("xland"):
        return False  # and may not be installed
    env = family(name)

    def asked(key):
        return env.optimal(at(env.sample(key, 2), 0), zeros(env.spaces.obs), 0, 0.0)

    return env.on_device and jax.eval_shape(asked, jax.random.key(0)) is not None


NAMES = [name for name in examples() if labelled(name)]


def acted(env, count):
    """Returns [B] of one episode in fresh tasks, acting by `optimal`, and the tasks."""
    key_tasks, key_reset, key_act, key_step = jax.random.split(jax.random.key(1), 4)
    tasks = env.sample(key_tasks, count)

    def act(carry, keys):
        state, obs, time, earned = carry
        shares = env.optimal(tasks, obs, time, earned)
        action = jax.random.categorical(keys[0], jnp.log(shares), axis=-1).astype(jnp.int32)
        step = jax.vmap(env.step)(tasks, state, action, jax.random.split(keys[1], count))
        return (step[0], step[1], time + 1, earned + step[2]), None

    @jax.jit
    def episode():
        state, obs = jax.vmap(env.reset)(tasks, jax.random.split(key_reset, count))
        keys = jnp.stack([jax.random.split(key_act, env.horizon), jax.random.split(key_step, env.horizon)], axis=1)
        start = (state, obs, jnp.zeros(count, jnp.int32), jnp.zeros(count))
        return jax.lax.scan(act, start, keys)[0][3]

    return np.asarray(episode()), tasks


def test_the_families_with_labels():
    assert {"bandit-k5-n10", "tabular-mdp-n10", "grid-navi"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_acting_by_optimal_earns_best(name):
    env = family(name)
    certain = env.size > 0 and name != "probe-alike"  # else the arms' luck remains
    earned, tasks = acted(env, LIVES if certain else 1000)
    best = np.asarray(env.best(tasks)) * (env.horizon if env.unit == "step" else 1)
    if certain:
        np.testing.assert_allclose(earned, best, rtol=1e-5)
    else:
        off = earned - best
        assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size)


@pytest.mark.parametrize("name", NAMES)
def test_optimal_broadcasts_over_leading_axes(name):
    env = family(name)
    tasks, space = jax.tree.map(np.asarray, env.sample(jax.random.key(2), 3)), env.spaces.obs
    times, earned = np.arange(4, dtype=np.int32)[:, None], np.zeros((4, 3), np.float32)
    obs = np.arange(12, dtype=np.int32).reshape(4, 3) % space.n if isinstance(space, Discrete) else zeros(space, (4, 3))
    obs, optimal = np.asarray(obs), jax.jit(env.optimal)
    shares = optimal(tasks, obs, times, earned)
    assert shares.shape == (4, 3, env.spaces.action.n) and shares.dtype == jnp.float32
    np.testing.assert_allclose(shares.sum(-1), 1.0, rtol=1e-6)
    for t in range(4):
        for i in range(3):
            alone = optimal(at(tasks, i), obs[t, i], times[t, 0], 0.0)
            np.testing.assert_allclose(alone, shares[t, i], rtol=1e-6)
    assert jax.eval_shape(env.optimal, at(tasks, 0), obs[0, 0], 0, 0.0).shape == (env.spaces.action.n,)


def test_ties_share_evenly():
    env = family("grid-navi")
    task = env.sample(jax.random.key(0), 1)._replace(params=jnp.array([[2, 2]], jnp.int32))
    shares = env.optimal(task, jnp.array([[0.0, 0.0], [2.0, 1.0], [2.0, 2.0], [4.0, 0.0]]), 0, 0.0)
    np.testing.assert_allclose(shares, [[0, 0.5, 0.5, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0.5, 0, 0, 0.5]])
    bandit = family("bandit-k3-n5")
    arms = bandit.sample(jax.random.key(0), 1)._replace(params=jnp.array([[0.5, 0.5, 0.1]]))
    np.testing.assert_allclose(bandit.optimal(arms, jnp.zeros((1, 1)), 0, 0.0), [[0.5, 0.5, 0.0]])


def test_the_tabular_optimum_depends_on_the_time_left():
    env = family("tabular-mdp-n10")
    tasks = env.sample(jax.random.key(0), 200)
    optimal = jax.jit(env.optimal)
    last = optimal(tasks, jnp.zeros(200, jnp.int32), 9, 0.0)
    np.testing.assert_array_equal(jnp.argmax(last, -1), jnp.argmax(tasks.params.mean[:, 0], -1))
    first = optimal(tasks, jnp.zeros(200, jnp.int32), 0, 0.0)
    assert 0 < np.sum(np.asarray(jnp.argmax(first, -1) != jnp.argmax(last, -1))) < 200
