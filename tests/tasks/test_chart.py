"""Charts against the rewards that families pay, and what they leave possible against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.tasks.names import family as family_of

NAMES = ("grid-navi", "dark-room", "point-goal", "semi-circle-pearl", "semi-circle-varibad", "semi-circle-dense")


@pytest.fixture(scope="module", params=NAMES)
def lived(request):
    """A family, 20 tasks and what 30 random steps in each arrived at and paid."""
    family = family_of(request.param)
    tasks = family.sample(jax.random.key(0), 20)

    def one(task, key):
        keys = jax.random.split(key, 31)
        state, _ = family.reset(task, keys[0])

        def step(state, key):
            key_action, key_step = jax.random.split(key)
            if isinstance(family.spaces.action, type(family_of("grid-navi").spaces.action)):
                action = jax.random.randint(key_action, (), 0, 5)
            else:
                action = jnp.array([1.0, 0.5]) * jax.random.uniform(key_action, (2,), minval=-1.0, maxval=3.0)
            state, obs, reward, _, _ = family.step(task, state, action, key_step)
            return state, (obs, reward)

        return jax.lax.scan(step, state, keys[1:])[1]

    obs, reward = jax.jit(jax.vmap(one))(tasks, jax.random.split(jax.random.key(1), 20))
    return family, tasks, obs, reward


def test_chart_pays_what_the_family_pays(lived):
    family, tasks, obs, reward = lived
    at = family.chart.where(obs)
    paid = family.chart.pays(jnp.asarray(tasks.params, jnp.float32)[:, None], at)
    np.testing.assert_allclose(paid, reward, atol=1e-5)


def test_positions_and_observations_are_each_others_inverse(lived):
    family, _, obs, _ = lived
    np.testing.assert_array_equal(family.chart.seen(family.chart.where(obs)), obs)


def test_the_place_of_the_goal_stays_possible(lived):
    family, tasks, obs, reward = lived
    chart = family.chart
    for i in range(20):
        left = chart.possible(chart.where(obs[i]), reward[i])
        nearest = np.argmin(np.linalg.norm(chart.places - np.asarray(tasks.params[i], float), axis=1))
        assert left.shape == (31, len(chart.places)) and left[0].all()
        assert left[-1, nearest]


def test_cells_that_did_not_pay_are_ruled_out_and_the_one_that_did_is_left():
    chart = family_of("grid-navi").chart
    way = jnp.array([(1, 0), (2, 0), (3, 0), (4, 0)], jnp.float32)
    left = np.asarray(chart.possible(way, jnp.array([-0.1, -0.1, -0.1, 1.0])))
    assert [int(row.sum()) for row in left] == [21, 21, 20, 19, 1]
    assert chart.places[left[-1]].tolist() == [[4, 0]]


def test_families_whose_tasks_are_no_places_have_no_chart():
    assert family_of("bandit-k5-n10").chart is None
    assert family_of("half-cheetah-vel").chart is None
