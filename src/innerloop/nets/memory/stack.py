"""Memories by name: one recurrent cell, or residual blocks around any cell.

Not the cells: each is a file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense
from innerloop.nets.memory.attention import Attention
from innerloop.nets.memory.cell import Cell, along, dense, wide
from innerloop.nets.memory.gated_deltanet import GatedDeltaNet
from innerloop.nets.memory.gru import GRU
from innerloop.nets.memory.lstm import LSTM
from innerloop.nets.memory.mingru import MinGRU
from innerloop.nets.memory.s5 import S5

_CELLS: dict[str, Callable[[Array, int, int], Cell]] = {  # name: (key, width, heads) → the cell of one block
    "gru": lambda key, width, heads: GRU.init(key, width, width),
    "lstm": lambda key, width, heads: LSTM.init(key, width, width),
    "mingru": lambda key, width, heads: MinGRU.init(key, width, width, 2 * width),
    "s5": lambda key, width, heads: S5.init(key, width, width, width),
    "gdn": lambda key, width, heads: GatedDeltaNet.init(key, width, width, heads),
    "transformer": lambda key, width, heads: Attention.init(key, width, width, heads),
}
MEMORIES = tuple(_CELLS)


def check(memory: str, width: int, layers: int, heads: int) -> None:
    """ValueError, saying what is accepted, where no such memory can be made."""
    if memory not in _CELLS:
        raise ValueError(f"inner.memory is {memory!r}; accepted: {', '.join(MEMORIES)}.")
    if min(width, layers, heads) < 1:
        raise ValueError(f"inner.width ({width}), inner.layers ({layers}) and inner.heads ({heads}) must each be at least 1.")
    if memory in ("gdn", "transformer") and width % heads:
        raise ValueError(f"inner.width ({width}) must be a multiple of inner.heads ({heads}) with {memory}.")
    if memory == "transformer" and width // heads % 2:
        raise ValueError(f"inner.width / inner.heads ({width // heads}) must be even: rotary positions turn pairs.")


def make(memory: str, key: Array, inputs: int, width: int, layers: int = 1, heads: int = 1) -> Cell:
    """The memory of this name, [N, inputs] → [N, width]. One layer of "gru" or "lstm" is the bare cell; all else is a stack
    of residual blocks. `heads` only where there are any."""
    if layers == 1 and memory == "gru":
        return GRU.init(key, inputs, width)
    if layers == 1 and memory == "lstm":
        return LSTM.init(key, inputs, width)
    key_embed, *keys = jax.random.split(key, 1 + layers)
    blocks = tuple(Block.init(k, width, lambda k: _CELLS[memory](k, width, heads)) for k in keys)
    return Stack(Dense.init(key_embed, inputs, width), blocks, jnp.ones(width))


class Block(eqx.Module):
    """x + cell(norm(x)), then x + perceptron(norm(x)): the pre-norm residual block."""

    cell: Cell
    norms: Array  # [2, H]
    widen: Dense  # H → 2H
    narrow: Dense  # 2H → H

    @staticmethod
    def init(key: Array, width: int, cell: Callable[[Array], Cell]) -> Block:
        key_cell, key_widen, key_narrow = jax.random.split(key, 3)
        widen, narrow = Dense.init(key_widen, width, 2 * width), Dense.init(key_narrow, 2 * width, width)
        return Block(cell(key_cell), jnp.ones((2, width)), widen, narrow)

    def around(self, state: Any, x: Array, mix: Callable[[Any, Array], tuple[Any, Array]]) -> tuple[Any, Array]:
        """`mix`: the cell's `step` or `unroll` on normalised input."""
        state, y = mix(state, _rms(x, self.norms[0]))
        x = x + y.astype(x.dtype)
        return state, x + dense(self.narrow, jax.nn.gelu(dense(self.widen, _rms(x, self.norms[1]))))


class Stack(Cell):
    """Embedding, residual blocks, and a last norm."""

    embed: Dense
    blocks: tuple[Block, ...]
    norm: Array  # [H]

    def empty(self, lead: tuple[int, ...], context: int) -> tuple[Any, ...]:
        return tuple(block.cell.empty(lead, context) for block in self.blocks)

    def step(self, state: tuple[Any, ...], x: Array, reset: Array) -> tuple[tuple[Any, ...], Array]:
        return self._through(state, x, lambda cell: lambda s, x: cell.step(s, x, reset))

    def unroll(self, state: tuple[Any, ...], xs: Array, resets: Array) -> tuple[tuple[Any, ...], Array]:
        return self._through(state, xs, lambda cell: lambda s, x: cell.unroll(s, x, resets))

    def _through(self, states: tuple[Any, ...], x: Array, mix: Callable[[Cell], Any]) -> tuple[tuple[Any, ...], Array]:
        x, after = dense(self.embed, x), []
        for block, state in zip(self.blocks, states, strict=True):
            state, x = block.around(state, x, mix(block.cell))
            after.append(state)
        return tuple(after), _rms(x, self.norm)


def _rms(x: Array, scale: Array) -> Array:
    """RMSNorm, in float32."""
    y = wide(x)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + 1e-6) * along(scale, y)).astype(x.dtype)
