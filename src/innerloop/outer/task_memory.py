"""The memory of transitions by task: a ring for each of a fixed set of tasks, in the outer's state.

Not the memory of whole trials (`replay_memory.py`), which agents with a memory need.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Lifetime, Transitions


class TaskMemory(NamedTuple):
    """`rows` with leaves [M, C, ...], of which the first min(stored, C) of each task are there."""

    rows: Any
    stored: Array  # int32 [M]: rows written since the task's memory was last emptied


def transitions(lives: Lifetime) -> tuple[Transitions, Array]:
    """Of lives [B, K, T, N, ...]: all rows in the order of time [B, L, ...], and which are transitions."""
    c = lives.chunks
    rows = Transitions(c.step.obs, c.action, c.reward, c.next_obs, c.terminated)
    flat: Any = jax.tree.map(lambda x: jnp.reshape(x, (x.shape[0], -1, *x.shape[4:])), (rows, c.mask))
    return flat


def empty(example: Lifetime, tasks: int, capacity: int) -> TaskMemory:
    """Room for `capacity` rows of each task."""
    shapes, _ = jax.eval_shape(transitions, example)
    room = jax.tree.map(lambda x: jnp.zeros((tasks, capacity, *x.shape[2:]), x.dtype), shapes)
    return TaskMemory(room, jnp.zeros(tasks, jnp.int32))


def store(memory: TaskMemory, at: Array, rows: Transitions, keep: Array, *, anew: bool = False) -> TaskMemory:
    """With `rows` [B, L, ...] where `keep` [B, L] added to the tasks `at` int32 [B], all different; the oldest are overwritten.
    `anew`: what these tasks held is forgotten first, unless nothing new comes. A scatter: its cost does not grow with the
    capacity where the memory may be written in place."""
    capacity = jax.tree.leaves(memory.rows)[0].shape[1]
    rank, count = jnp.cumsum(keep, 1, dtype=jnp.int32), jnp.sum(keep, 1, dtype=jnp.int32)
    held = memory.stored[at]
    held = jnp.where(count > 0, 0, held) if anew else held
    place = jnp.mod(held[:, None] + rank - 1, capacity)
    last = rank > count[:, None] - capacity  # of more rows than there is room for, the last
    place = jnp.where(keep & last, place, capacity)  # beyond the end: dropped
    put = lambda x, y: x.at[at[:, None], place].set(y, mode="drop")  # noqa: E731
    return TaskMemory(jax.tree.map(put, memory.rows, rows), memory.stored.at[at].set(held + count))


def draw(memory: TaskMemory, tasks: Array, count: int, key: Array) -> tuple[Transitions, Array]:
    """`count` rows of each of `tasks` int32 [B], uniformly with repetition: [B, count, ...], and which are there (none, where
    a task's memory is empty)."""
    capacity = jax.tree.leaves(memory.rows)[0].shape[1]
    held = jnp.minimum(memory.stored[tasks], capacity)[:, None]
    at = jax.random.randint(key, (tasks.shape[0], count), 0, jnp.maximum(held, 1))
    found = jax.tree.map(lambda x: x[tasks[:, None], at], memory.rows)
    return found, jnp.broadcast_to(held > 0, at.shape)
