"""Reptile: meta-parameters move towards what the inner loop made of them (Nichol et al. 2018, arXiv 1803.02999).

Not a gradient of the adapted policy's return: nothing is differentiated, and what pays before adaptation is improved along
with what pays after it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, TaskDistribution, at_least, replay
from innerloop.outer.gradients import finite


class ReptileState(NamedTuple):
    """All that Reptile carries."""

    meta: Any
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class Reptile(Outer[Any, ReptileState]):
    """meta ← meta + ε · mean over tasks of (adapted − meta), after one inner step on every chunk, the last one included."""

    lr: float = eqx.field(static=True, default=0.5)  # ε; paper: 1 falling to 0 in supervised tasks

    def check(self, inner: Inner[Any, Any]) -> None:
        at_least("outer.lr", self.lr, 0.0)
        key = jax.random.key(0)
        meta = jax.eval_shape(inner.init, key)
        if jax.eval_shape(inner.adapted, meta, jax.eval_shape(inner.begin, meta, key)) is None:
            raise ValueError(
                f"Reptile moves meta-parameters towards adapted ones, and {type(inner).__name__} adapts none of its own; use a "
                "gradient inner with inner.adapts all or head, or another outer."
            )

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> ReptileState:
        return ReptileState(meta, jnp.zeros((), jnp.int32))

    def meta(self, state: ReptileState) -> Any:
        return state.meta

    def update(self, inner: Inner[Any, Any], state: ReptileState, lives: Lifetime, key: Array) -> tuple[ReptileState, Metrics]:
        def moved(life: Lifetime) -> tuple[Any, Array]:
            _, _, fast = replay(inner, state.meta, life, learn_last=True)
            way = jax.tree.map(jnp.subtract, inner.adapted(state.meta, fast), state.meta)
            return way, finite(way)

        ways, good = jax.vmap(moved)(lives)
        count = jnp.maximum(jnp.sum(good), 1)

        def mean(x: Array) -> Array:
            return jnp.sum(jnp.where(good.reshape(-1, *(1,) * (x.ndim - 1)), x, 0.0), 0) / count

        way = jax.tree.map(mean, ways)
        meta = jax.tree.map(lambda m, w: m + self.lr * w, state.meta, way)
        metrics = {"moved": self.lr * optax.tree.norm(way), "masked": jnp.mean(~good)}
        return ReptileState(inner.absorb(meta, lives), state.count + 1), metrics
