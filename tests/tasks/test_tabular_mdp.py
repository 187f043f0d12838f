"""The tabular MDP against its law and against exact values in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Task
from innerloop.tasks import TabularMDP
from innerloop.tasks.tabular_mdp import Place, Tables

ENV = TabularMDP(n=10)
STEP = jax.jit(jax.vmap(ENV.step, (None, None, None, 0)))
TASKS = ENV.sample(jax.random.key(0), 500)


def backward(task):
    """Optimal values [11, S] and policy [10, S] of one task, in float64."""
    transition, mean = (np.asarray(x, np.float64) for x in (task.params.transition, task.params.mean))
    values, policy = [np.zeros(10)], []
    for _ in range(10):
        q = mean + transition @ values[0]
        values.insert(0, q.max(1))
        policy.insert(0, q.argmax(1))
    return np.array(values), np.array(policy)


def one(i):
    return jax.tree.map(lambda x: x[i], TASKS)


def test_the_law_of_the_tables():
    tables = TASKS.params
    p, mean = np.asarray(tables.transition), np.asarray(tables.mean)
    assert p.shape == (500, 10, 5, 10) and mean.shape == (500, 10, 5)
    assert p.min() >= 0
    np.testing.assert_allclose(p.sum(-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(p.mean((0, 1, 2)), 0.1, atol=0.003)
    np.testing.assert_allclose(p.var((0, 1, 2)), 0.9 * 0.1 / 11, atol=0.0006)  # Dirichlet(1, …, 1) in 10 dimensions
    np.testing.assert_allclose([mean.mean(), mean.var()], 1.0, atol=0.04)


def test_steps_follow_the_table():
    task, n = one(1), 20_000
    place, keys = Place(jnp.int32(3), jnp.int32(0)), jax.random.split(jax.random.key(5), n)
    _, ahead, reward, *_ = STEP(task, place, jnp.int32(2), keys)
    row = np.asarray(task.params.transition[3, 2])
    np.testing.assert_allclose(np.bincount(ahead, minlength=10) / n, row, atol=4 * np.sqrt(0.25 / n))
    np.testing.assert_allclose(reward.mean(), task.params.mean[3, 2], atol=0.03)
    np.testing.assert_allclose(reward.var(), 1.0, atol=0.04)
    # Where one goes and what one gets are drawn independently.
    assert abs(np.corrcoef(ahead, reward)[0, 1]) < 0.03


def test_a_certain_transition_is_certain():
    stays = np.triu(np.ones((10, 10)))[:, None, :9].repeat(5, 1)
    task = Task(jnp.int32(-1), Tables(jnp.asarray(stays, jnp.float32), jnp.zeros((10, 5))))
    for state in (0, 4, 9):
        place, keys = Place(jnp.int32(state), jnp.int32(0)), jax.random.split(jax.random.key(0), 20_000)
        ahead = STEP(task, place, jnp.int32(1), keys)[1]
        assert set(np.unique(ahead)) == {state}


def test_best_is_the_exact_optimum():
    exact = [backward(one(i))[0][0, 0] for i in range(20)]
    np.testing.assert_allclose(ENV.best(TASKS)[:20], exact, rtol=1e-5)


def test_the_optimal_policy_earns_best():
    task, n = one(3), 8000
    policy = jnp.asarray(backward(task)[1])

    def episode(key):
        def advance(place, key):
            place, _, reward, _, truncated = ENV.step(task, place, policy[place.time, place.state], key)
            return place, (reward, truncated)

        return jax.lax.scan(advance, ENV.reset(task, key)[0], jax.random.split(key, 10))[1]

    rewards, truncated = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(4), n))
    returns = np.asarray(rewards.sum(1))
    assert abs(returns.mean() - ENV.best(task)) < 4 * returns.std() / np.sqrt(n)
    np.testing.assert_array_equal(truncated[0], [False] * 9 + [True])


def test_uniform_play_earns_what_the_paper_says():
    # Mean rewards average 1, so 10 episodes of 10 steps are worth 100 (RL², table 2: 100.1).
    transition, mean = (np.asarray(x, np.float64).mean(2) for x in (TASKS.params.transition, TASKS.params.mean))
    at, total = np.zeros((500, 10)), 0.0
    at[:, 0] = 1.0
    for _ in range(10):
        total += np.sum(at * mean, -1)
        at = np.einsum("bs,bst->bt", at, transition)
    np.testing.assert_allclose(10 * np.mean(total), 100.0, atol=4.0)
