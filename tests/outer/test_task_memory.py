"""The memory by task: a ring for each, emptied for what is collected anew, and nothing is drawn that is not there."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Transitions
from innerloop.outer.task_memory import TaskMemory, draw, store


def rows(*numbers):
    x = jnp.asarray(numbers, jnp.float32)
    return Transitions(x, x, x, x, jnp.zeros(x.shape, bool))


def empty(tasks=3, capacity=4):
    room = rows(*np.zeros((tasks, capacity)))
    return TaskMemory(room, jnp.zeros(tasks, jnp.int32))


def test_the_oldest_rows_of_a_task_are_overwritten_and_masked_rows_leave_no_gap():
    at, yes = jnp.array([2, 0]), jnp.ones((2, 3), bool)
    memory = store(empty(), at, rows([1, 2, 3], [7, 8, 9]), yes.at[0, 1].set(False))
    np.testing.assert_array_equal(memory.stored, [3, 0, 2])
    np.testing.assert_array_equal(memory.rows.reward, [[7, 8, 9, 0], [0, 0, 0, 0], [1, 3, 0, 0]])
    memory = store(memory, at, rows([4, 5, 6], [10, 11, 12]), yes)
    np.testing.assert_array_equal(memory.rows.reward, [[11, 12, 9, 10], [0, 0, 0, 0], [6, 3, 4, 5]])


def test_of_more_rows_than_there_is_room_for_the_last_are_kept():
    memory = store(empty(1), jnp.array([0]), rows(np.arange(1, 8)), jnp.ones((1, 7), bool))
    np.testing.assert_array_equal(np.sort(memory.rows.reward[0]), [4, 5, 6, 7])


def test_what_is_collected_anew_replaces_what_was_there():
    at, yes = jnp.array([1]), jnp.ones((1, 3), bool)
    memory = store(empty(), at, rows([1, 2, 3]), yes, anew=True)
    memory = store(memory, at, rows([4, 5, 6]), yes.at[0, 2].set(False), anew=True)
    found, there = draw(memory, jnp.array([1, 0]), 50, jax.random.key(0))
    assert set(np.asarray(found.reward[0]).tolist()) == {4.0, 5.0} and there[0].all() and not there[1].any()
    kept = store(memory, at, rows([7, 8, 9]), ~yes, anew=True)
    assert kept.stored[1] == 2  # nothing new came
