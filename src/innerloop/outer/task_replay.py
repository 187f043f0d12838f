"""Replay by task: for each of a fixed set of training tasks a ring of transitions, in the outer's state.

Not trials (`replay_memory.py`): what acts here is told all it needs to know of the past by a latent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Lifetime, Task, Transitions
from innerloop.outer.gradients import finite


class TaskReplay(NamedTuple):
    """Of M tasks, C transitions each at most; the oldest are overwritten."""

    tasks: Task  # leaves [M, ...]
    rows: Transitions  # leaves [M, C, ...]
    stored: Array  # int32 [M], ever
    lately: Array  # int32 [M], in the last life: the context that is near to what the agent does now


def transitions(life: Lifetime) -> tuple[Transitions, Array]:
    """All rows of a life [K, T, N, ...] in a line [R, ...], and which of them are transitions."""
    c = life.chunks
    rows = Transitions(c.step.obs, c.action, c.reward, c.next_obs, c.terminated)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), (rows, c.mask))


def empty(tasks: Task, example: Lifetime, capacity: int) -> TaskReplay:
    """Room for `capacity` transitions of each task; `example`: a batch of lives, or its shapes."""
    one = jax.eval_shape(lambda lives: transitions(jax.tree.map(lambda x: x[0], lives))[0], example)
    count = tasks.index.shape[0]
    rows = jax.tree.map(lambda x: jnp.zeros((count, capacity, *x.shape[1:]), x.dtype), one)
    none = jnp.zeros(count, jnp.int32)
    return TaskReplay(tasks, rows, none, none)


def store(memory: TaskReplay, at: Array, lives: Lifetime) -> tuple[TaskReplay, Array]:
    """With lives [B, ...] in the tasks `at` [B], and which of them were left out, as something in them is not finite; bool."""
    capacity = memory.rows.reward.shape[1]
    rows, mask = jax.vmap(transitions)(lives)
    good = jax.vmap(finite)(jax.tree.map(lambda x: _zeroed(x, mask), rows))
    mask = mask & good[:, None]
    count = jnp.sum(mask, 1, dtype=jnp.int32)
    rank = jnp.cumsum(mask, 1) - 1
    keep = mask & (rank >= (count - capacity)[:, None])  # of more than fit, the last
    place = jnp.where(keep, jnp.mod(memory.stored[at][:, None] + rank, capacity), capacity)  # beyond the end: dropped
    held = jax.tree.map(lambda x, y: x.at[at[:, None], place].set(y, mode="drop"), memory.rows, rows)
    lately = jnp.where(good, jnp.minimum(count, capacity), memory.lately[at])
    return TaskReplay(memory.tasks, held, memory.stored.at[at].add(count), memory.lately.at[at].set(lately)), ~good


def _zeroed(x: Array, mask: Array) -> Array:
    return jnp.where(jnp.reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim)), x, jnp.zeros((), x.dtype))


def draw(memory: TaskReplay, at: Array, count: int, key: Array, *, lately: bool = False) -> Transitions:
    """`count` transitions of each of the tasks `at` [G], uniformly with repetition, of all or of those of the last life only;
    leaves [G, count, ...]."""
    capacity = memory.rows.reward.shape[1]
    there = jnp.minimum(memory.stored, capacity)[at]
    among = jnp.where(lately, jnp.minimum(memory.lately[at], there), there)
    back = jnp.floor(jax.random.uniform(key, (at.shape[0], count)) * jnp.maximum(among, 1)[:, None]).astype(jnp.int32)
    place = jnp.mod(memory.stored[at][:, None] - 1 - back, capacity)
    found: Any = jax.tree.map(lambda x: x[at[:, None], place], memory.rows)
    return found
