"""The replay memory: a ring of whole trials on the device, in the outer's state, so that checkpoints hold it.

Not a sampler of transitions: what a memory-based agent knew at a step follows from all of the trial before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Lifetime
from innerloop.outer.gradients import finite


class ReplayMemory(NamedTuple):
    """`lives` with leaves [C, ...], of which the first min(stored, C) are there; the oldest are overwritten."""

    lives: Any
    stored: Array  # int32, trials ever stored


def kept(lives: Lifetime) -> Lifetime:
    """What is stored of lives [B, ...]: no fast states (a trial is replayed from its beginning), and nothing of who acted."""
    rows = lives.chunks
    shown = rows._replace(dist=(), log_prob=(), value=(), next_obs=(), reward=jnp.where(rows.mask, rows.reward, 0.0))
    return lives._replace(chunks=shown, key=jax.random.key_data(lives.key), start=())


def empty(example: Lifetime, capacity: int) -> ReplayMemory:
    """Room for `capacity` trials of the shape of `example`."""
    shapes = jax.eval_shape(kept, example)
    room = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape[1:]), x.dtype), shapes)
    return ReplayMemory(room, jnp.zeros((), jnp.int32))


def store(memory: ReplayMemory, lives: Lifetime) -> tuple[ReplayMemory, Array]:
    """With lives [B, ...] added, and which of them were not, since something in them is not finite; bool [B]."""
    new, capacity = kept(lives), jax.tree.leaves(memory.lives)[0].shape[0]
    good = jax.vmap(finite)((new.chunks, new.last))
    place = jnp.mod(memory.stored + jnp.cumsum(good) - 1, capacity)
    place = jnp.where(good, place, capacity)  # beyond the end: dropped
    held = jax.tree.map(lambda x, y: x.at[place].set(y, mode="drop"), memory.lives, new)
    return ReplayMemory(held, memory.stored + jnp.sum(good, dtype=jnp.int32)), ~good


def draw(memory: ReplayMemory, count: int, key: Array) -> Lifetime:
    """`count` trials [count, ...], uniformly with repetition, as lives without a fast state."""
    capacity = jax.tree.leaves(memory.lives)[0].shape[0]
    at = jax.random.randint(key, (count,), 0, jnp.clip(memory.stored, 1, capacity))
    found: Any = jax.tree.map(lambda x: x[at], memory.lives)
    return found._replace(key=jax.random.wrap_key_data(found.key))
