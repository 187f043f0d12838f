"""Causal self-attention with rotary positions (Su et al. 2021) over a sliding window, and the cache it acts from."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense
from innerloop.nets.memory.cell import Cell, dense, product, wide

BLOCK = 64  # queries at once in `unroll`: bounds the scores to BLOCK × (window + BLOCK)


class Cache(NamedTuple):
    """A ring of the last W steps: position p of the trial stands in slot p mod W. What an older trial left needs no
    clearing, since no position of this trial stands there yet."""

    keys: Array  # [N, G heads, W, D], rotated
    values: Array  # [N, G, W, D]
    age: Array  # int32 [N], steps of this trial so far


class Attention(Cell):
    """Each step attends to itself and the W − 1 before it in its trial."""

    qkv: Array  # [I, 3H]
    out: Dense  # H → H
    heads: int = eqx.field(static=True)

    @staticmethod
    def init(key: Array, inputs: int, width: int, heads: int) -> Attention:
        key_qkv, key_out = jax.random.split(key)
        make = jax.nn.initializers.glorot_uniform()
        blocks = [make(k, (inputs, width), jnp.float32) for k in jax.random.split(key_qkv, 3)]
        return Attention(jnp.concatenate(blocks, axis=1), Dense.init(key_out, width, width), heads)

    def empty(self, lead: tuple[int, ...], context: int) -> Cache:
        size = self.qkv.shape[1] // 3 // self.heads
        zeros = jnp.zeros((*lead, self.heads, context, size))
        return Cache(zeros, zeros, jnp.zeros(lead, jnp.int32))

    def step(self, state: Cache, x: Array, reset: Array) -> tuple[Cache, Array]:
        """The ring is written before it is read: so a loop around this writes one slot and copies nothing."""
        window, place = state.keys.shape[2], jnp.where(reset, 0, state.age)
        q, k, v = self._split(x[None])  # [N, G, 1, D]
        q, k = _rotate(q, place[:, None]), _rotate(k, place[:, None])
        at = jnp.arange(place.shape[0]), slice(None), jnp.mod(place, window)
        keys, values = (ring.at[at].set(new[:, :, 0].astype(ring.dtype)) for ring, new in ((state.keys, k), (state.values, v)))
        behind = jnp.mod(place[:, None] - jnp.broadcast_to(jnp.arange(window), (place.shape[0], window)), window)
        kept = behind <= place[:, None]
        scores = wide(jnp.einsum("ngtd,ngwd->ngtw", q, keys.astype(q.dtype)))
        weight = _softmax(scores, kept[:, None, None], q)
        y = jnp.einsum("ngtw,ngwd->ngtd", weight, values.astype(q.dtype))
        return Cache(keys, values, place + 1), dense(self.out, y.reshape(*x.shape[:-1], -1))

    def unroll(self, state: Cache, xs: Array, resets: Array) -> tuple[Cache, Array]:
        steps = xs.shape[0]
        whole = steps // BLOCK * BLOCK
        ys = []
        if whole:
            rows = jax.tree.map(lambda x: jnp.reshape(x[:whole], (-1, BLOCK, *x.shape[1:])), (xs, resets))
            state, y = jax.lax.scan(lambda s, row: self._attend(s, *row), state, rows)
            ys.append(jnp.reshape(y, (whole, *y.shape[2:])))
        if steps > whole:
            state, y = self._attend(state, xs[whole:], resets[whole:])
            ys.append(y)
        return state, jnp.concatenate(ys)

    def _attend(self, cache: Cache, xs: Array, resets: Array) -> tuple[Cache, Array]:
        steps, window = xs.shape[0], cache.keys.shape[2]
        q, k, v = self._split(xs)
        row = jnp.arange(steps)
        row = jnp.broadcast_to(row, resets.T.shape)
        began = jax.lax.cummax(jnp.where(resets.T, row, -1), axis=1)  # [N, T], the row where its trial began; -1: before
        place = jnp.where(began < 0, cache.age[:, None] + row, row - began)
        q, k = _rotate(q, place), _rotate(k, place)
        slots = jnp.broadcast_to(jnp.arange(window), (began.shape[0], window))
        old = cache.age[:, None] - 1 - jnp.mod(cache.age[:, None] - 1 - slots, window)  # [N, W], positions
        kept = (old >= 0)[:, None] & (began < 0)[..., None] & (place[..., None] - old[:, None] < window)
        apart = row[..., None] - row[:, None]
        fresh = (apart >= 0) & (apart < window) & (began[..., None] == began[:, None])
        keys, values = (x.astype(q.dtype) for x in (cache.keys, cache.values))
        old, new = jnp.einsum("ngtd,ngwd->ngtw", q, keys), jnp.einsum("ngtd,ngsd->ngts", q, k)
        weight = _softmax(wide(jnp.concatenate([old, new], axis=-1)), jnp.concatenate([kept, fresh], axis=-1)[:, None], q)
        y = jnp.einsum("ngtw,ngwd->ngtd", weight[..., :window], values)
        y += jnp.einsum("ngts,ngsd->ngtd", weight[..., window:], v)
        y = jnp.transpose(y, (2, 0, 1, 3)).reshape(steps, y.shape[0], -1)
        age = place[:, -1] + 1
        ring = [_kept(x, new.astype(x.dtype), age) for x, new in ((cache.keys, k), (cache.values, v))]
        return Cache(*ring, age), dense(self.out, y)

    def _split(self, xs: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values of xs [T, N, I]; [N, G, T, D]."""
        q, k, v = (
            jnp.transpose(y.reshape(*y.shape[:-1], self.heads, -1), (1, 2, 0, 3))
            for y in jnp.split(product(xs, self.qkv), 3, axis=-1)
        )
        return q, k, v


def _softmax(scores: Array, seen: Array, like: Array) -> Array:
    """Over what is `seen`, scaled for and in the type of `like` [..., D]."""
    scale = like.shape[-1] ** -0.5
    return jax.nn.softmax(jnp.where(jnp.broadcast_to(seen, scores.shape), scores * scale, -jnp.inf), axis=-1).astype(like.dtype)


def _rotate(x: Array, place: Array) -> Array:
    """x [N, G, T, D] turned by its position [N, T]."""
    half = x.shape[-1] // 2
    rates = 10000.0 ** (-jnp.arange(half) / half)
    lead = (x.shape[0], 1, x.shape[2], half)
    angle = jnp.broadcast_to(place[:, None, :, None], lead) * jnp.broadcast_to(rates, lead)
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _kept(ring: Array, new: Array, age: Array) -> Array:
    """`ring` [N, G, W, D] with the last of `new` [N, G, T, D] in their slots; the trial is then `age` [N] steps old."""
    window, steps = ring.shape[2], new.shape[2]
    slots = jnp.broadcast_to(jnp.arange(window), (ring.shape[0], window))
    source = steps - 1 - jnp.mod(age[:, None] - 1 - slots, window)  # the row that belongs in the slot, if not negative
    source = source[:, None, :, None]
    return jnp.where(source >= 0, jnp.take_along_axis(new, jnp.maximum(source, 0), axis=2), ring)
