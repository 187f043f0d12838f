"""The record of a batch of lives while they are lived on the host: numpy buffers [B, K, T, ...] filled row by row.

Not a replay memory. Buffers are new for every life and never written again once JAX has seen them (it may alias them).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Chunk, Plan


class Record:
    """Chunks in the making; rows are counted through the life, `k * steps + t`."""

    def __init__(self, plan: Plan, count: int):
        self.plan, self.count = plan, count
        self._buffers: list[np.ndarray] | None = None
        self._structure: Any = None
        self._told: np.ndarray | None = None
        shape = (count, plan.chunks, plan.steps, plan.streams)
        self.mask = np.ones(shape, bool)
        self.truncated = np.zeros(shape, bool)
        self.began = np.zeros(count * plan.streams, np.int64)  # row at which each slot's current episode began

    def write(self, row: int, chunk: Chunk, told: np.ndarray) -> None:
        """One row, leaves [B, N, ...]; `told` [B, N, M] beside it."""
        k, t = divmod(row, self.plan.steps)
        self.mask[:, k, t], self.truncated[:, k, t] = chunk.mask, chunk.truncated
        values, structure = jax.tree.flatten(chunk._replace(mask=None, truncated=None))
        if self._buffers is None:
            lead = (self.count, self.plan.chunks, self.plan.steps)
            self._buffers = [np.empty((*lead, *np.shape(v)[1:]), v.dtype) for v in values]
            self._structure = structure
            self._told = np.zeros((*lead, *told.shape[1:]), np.float32) if told.size else None
        for buffer, value in zip(self._buffers, values, strict=True):
            buffer[:, k, t] = value
        if self._told is not None:
            self._told[:, k, t] = told

    def discard(self, slot: int, row: int) -> int:
        """The slot's episode does not count, from its first row in this life to `row`; how many rows that are."""
        b, n = divmod(slot, self.plan.streams)
        rows = self.mask.reshape(self.count, -1, self.plan.streams)[b, self.began[slot] : row + 1, n]
        lost = int(rows.sum())
        rows[:] = False
        return lost

    def cut(self, row: int, terminated: np.ndarray) -> None:
        """Every episode that has not terminated [B, N] at `row` ends there by truncation."""
        k, t = divmod(row, self.plan.steps)
        self.truncated[:, k, t] |= ~terminated

    def _chunk(self, index: Any) -> Chunk:
        assert self._buffers is not None
        chunk: Chunk = jax.tree.unflatten(self._structure, [jnp.asarray(b[index]) for b in self._buffers])
        return chunk._replace(mask=jnp.array(self.mask[index]), truncated=jnp.array(self.truncated[index]))

    def chunk(self, k: int) -> Chunk:
        """Chunk k of all lives, leaves [B, T, N, ...]."""
        return self._chunk((slice(None), k))

    def chunks(self) -> Chunk:
        """Everything, leaves [B, K, T, N, ...]."""
        return self._chunk((slice(None),))

    def told(self) -> Any:
        """What `info` said, [B, K, T, N, M]; None where nothing was asked."""
        return None if self._told is None else jnp.asarray(self._told)
