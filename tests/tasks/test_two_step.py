"""The two-step task against its law."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Task
from innerloop.tasks import TwoStep
from innerloop.tasks.two_step import Stage

ENV = TwoStep()
TASKS = ENV.sample(jax.random.key(0), 2000)


def many(place, time, action, rich, n=8000):
    task = Task(jnp.int32(-1), jnp.full(100, rich, jnp.int32))
    state, keys = Stage(jnp.int32(place), jnp.int32(time)), jax.random.split(jax.random.key(1), n)
    return jax.jit(jax.vmap(ENV.step, (None, None, None, 0)))(task, state, jnp.int32(action), keys)


def test_which_place_pays_reverses_now_and_then():
    rich = np.asarray(TASKS.params)
    np.testing.assert_allclose(rich[:, 0].mean(), 0.5, atol=0.04)
    np.testing.assert_allclose((rich[:, 1:] != rich[:, :-1]).mean(), 0.025, atol=0.002)


def test_actions_lead_to_their_place_in_four_of_five():
    for action in (0, 1):
        _, obs, reward, *_ = many(0, 0, action, 1)
        np.testing.assert_allclose(np.mean(np.asarray(obs) == 1 + action), 0.8, atol=0.02)
        assert set(np.unique(obs)) == {1, 2} and not np.any(reward)


def test_the_second_action_does_nothing_and_the_place_pays():
    for place, rich, chance in ((1, 0, 0.9), (1, 1, 0.1), (2, 1, 0.9), (2, 0, 0.1)):
        _, obs, once, *_ = many(place, 1, 0, rich)
        np.testing.assert_array_equal(once, many(place, 1, 1, rich)[2])
        np.testing.assert_allclose(np.mean(once), chance, atol=0.015)
        assert not np.any(obs)


def test_an_episode_terminates_after_its_last_trial():
    assert not np.any(many(1, 197, 0, 0)[3]) and np.all(many(1, 199, 0, 0)[3]) and not np.any(many(1, 199, 0, 0)[4])


def test_the_optimum_heads_for_the_place_that_pays():
    task = Task(jnp.int32(-1), jnp.asarray([0] * 50 + [1] * 50, jnp.int32))
    shares = ENV.optimal(task, jnp.array([0, 2, 0, 1]), jnp.array([98, 99, 100, 101]), 0.0)
    np.testing.assert_allclose(shares, [[1, 0], [0.5, 0.5], [0, 1], [0.5, 0.5]])
