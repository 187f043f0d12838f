"""What every memory cell promises, and the linear recurrence that several of them share.

Not a cell, and not the agent around one: that is `inner/recurrent.py`. Leading axes are streams (tasks are vmapped outside).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense


class Cell(eqx.Module):
    """x [N, I], reset bool [N], state leaves [N, ...] → state, y [N, H].

    `reset`: a trial begins with this x, so the state is emptied before it is taken in. `step` and `unroll` are the same
    function up to rounding, whatever the resets. x's type (float32 or bfloat16) is that of the products; states, decays and
    sums over time stay float32.
    """

    @abstractmethod
    def empty(self, lead: tuple[int, ...], context: int) -> Any:
        """The state before any experience; `context`: steps that a bounded memory must hold (others ignore it)."""

    @abstractmethod
    def step(self, state: Any, x: Array, reset: Array) -> tuple[Any, Array]:
        """Take in one x."""

    def unroll(self, state: Any, xs: Array, resets: Array) -> tuple[Any, Array]:
        """Take in xs [T, N, I] at once → state, ys [T, N, H]."""
        return jax.lax.scan(lambda s, x: self.step(s, *x), state, (xs, resets))


def product(x: Array, weight: Array) -> Array:
    """x W in the type of x."""
    return x @ weight.astype(x.dtype)


def along(vector: Array, y: Array) -> Array:
    """A bias or scale [H], in the type and shape of y [..., H]."""
    return jnp.broadcast_to(vector.astype(y.dtype), y.shape)


def wide(x: Array) -> Array:
    """In float32 at least: in float64 where that is enabled, for gradients are checked in it."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def dense(layer: Dense, x: Array) -> Array:
    """`layer` applied in the type of x."""
    y = product(x, layer.weight)
    return y + along(layer.bias, y)


def emptied(reset: Array, state: Array) -> Array:
    """`state` [N, ...] with zeros where `reset` [N]; nothing that was there leaks, be it infinite."""
    return jnp.where(jnp.reshape(reset, reset.shape + (1,) * (state.ndim - reset.ndim)), jnp.zeros((), state.dtype), state)


def recurrence(decay: Array, gain: Array, resets: Array, start: Array, parallel: bool | None = None) -> Array:
    """h_t = decay_t · h_{t-1} + gain_t, with h emptied first where `resets`; all [T, N, P], resets [T, N], start [N, P].

    `parallel`: an associative scan (Blelloch 1990), in log T passes over all of it; None: on accelerators only. On a CPU
    whose few cores are kept busy by the products, one pass in turn costs less.
    """
    if parallel is None:
        parallel = jax.default_backend() != "cpu"
    if not parallel:

        def one(h: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            a, b, reset = row
            h = a * emptied(reset, h) + b
            return h, h

        return jax.lax.scan(one, start, (decay, gain, resets))[1]

    def after(x: tuple[Array, Array, Array], y: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        (a, b, r), (a2, b2, r2) = x, y
        return jnp.where(r2, a2, a2 * a), jnp.where(r2, b2, a2 * b + b2), r | r2

    cut = jnp.broadcast_to(resets[..., None], gain.shape)
    rows = jnp.broadcast_to(decay, gain.shape), gain, cut
    first = jnp.ones_like(rows[0][:1]), start[None], jnp.zeros_like(cut[:1])
    return jax.lax.associative_scan(after, jax.tree.map(lambda x, y: jnp.concatenate([x, y]), first, rows))[1][1:]
