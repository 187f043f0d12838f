"""GridNavi against its exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks import GridNavi
from innerloop.tasks.grid_navi import GOALS, Cell

ENV, KEY = GridNavi(), jax.random.key(0)
ALL = Task(jnp.arange(21, dtype=jnp.int32), jnp.asarray(GOALS))


def walk(goal, actions):
    task = Task(jnp.int32(0), jnp.asarray(goal, jnp.int32))
    state, obs = ENV.reset(task, KEY)
    seen, paid = [tuple(np.asarray(obs).astype(int).tolist())], []
    for action in actions:
        state, obs, reward, terminated, truncated = ENV.step(task, state, jnp.int32(action), KEY)
        seen.append(tuple(np.asarray(obs).astype(int).tolist()))
        paid.append(round(float(reward), 6))
        assert not terminated
    return seen, paid, bool(truncated)


def test_goals_are_the_cells_away_from_the_start():
    cells = {tuple(goal) for goal in GOALS.tolist()}
    assert len(cells) == 21
    assert cells == {(x, y) for x in range(5) for y in range(5)} - {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("actions", "cells"),
    [
        ((0,), [(0, 0), (0, 0)]),
        ((1, 2, 3, 4), [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]),
        ((3, 4), [(0, 0), (0, 0), (0, 0)]),
        ((1,) * 5, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 4)]),
        ((2,) * 5, [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (4, 0)]),
    ],
)
def test_actions_are_stay_up_right_down_left(actions, cells):
    assert walk((4, 4), actions)[0] == cells


def test_reward_is_for_the_cell_after_the_move_and_for_staying():
    assert walk((2, 0), (2, 2, 0, 3, 2, 4))[1] == [-0.1, 1.0, 1.0, 1.0, -0.1, 1.0]


def test_an_episode_is_truncated_after_fifteen_steps():
    assert not walk((4, 4), (0,) * 14)[2]
    assert walk((4, 4), (0,) * 15)[2]


def test_best_is_the_exact_optimum_of_every_goal():
    # Backward induction over all cells and actions, through `step` itself.
    x, y, a = (jnp.asarray(v.ravel(), jnp.int32) for v in np.meshgrid(np.arange(5), np.arange(5), np.arange(5), indexing="ij"))
    time = jnp.zeros_like(x)

    def ahead(task):
        return jax.vmap(lambda x, y, t, a: ENV.step(task, Cell(x, y, t), a, KEY)[:3])(x, y, time, a)

    cell, _, reward = jax.jit(jax.vmap(ahead))(ALL)
    to, reward = np.asarray(cell.x * 5 + cell.y).reshape(21, 25, 5), np.asarray(reward, np.float64).reshape(21, 25, 5)
    value = np.zeros((21, 25))
    for _ in range(15):
        value = (reward + np.take_along_axis(value, to.reshape(21, -1), 1).reshape(21, 25, 5)).max(-1)
    np.testing.assert_allclose(ENV.best(ALL), value[:, 0], rtol=1e-5)
    np.testing.assert_allclose(ENV.best(ALL).mean(), 11.0714, atol=1e-4)


def test_index_is_the_goals_row():
    tasks = ENV.sample(jax.random.key(4), 50)
    np.testing.assert_array_equal(tasks.params, GOALS[np.asarray(tasks.index)])
