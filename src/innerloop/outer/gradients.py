"""The gradient of a batch of tasks, with the tasks whose gradient is not finite left out.

Not an optimiser. One NaN task in 64 makes the whole mean NaN, clipping does not help, and `where` on the loss does not
stop it; only masking each task's *gradient* does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import select


def finite(tree: Any) -> Array:
    """bool scalar: every float leaf is finite."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves])) if leaves else jnp.asarray(True)


def mean_gradient(
    loss: Callable[..., tuple[Array, Any]], meta: Any, batch: Any, *, in_turn: bool = False
) -> tuple[Any, Any, Array]:
    """Mean over tasks of the gradient of `loss(meta, one) -> (scalar, aux)`; `batch` leaves [B, ...].

    The tasks run side by side; only where that gradient is not finite are they taken one by one, and the bad ones left
    out of the mean. `in_turn`: one by one always, which keeps the intermediates of gradients of gradients in cache.

    Returns:
        gradient; mean aux of the good tasks; mask of the bad tasks, bool [B].
    """
    count = jax.tree.leaves(batch)[0].shape[0]

    def one_by_one(_: Any) -> tuple[Any, Any, Array]:
        shape = jax.eval_shape(jax.grad(loss, has_aux=True), meta, jax.tree.map(lambda x: x[0], batch))
        zero = (*jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape), jnp.zeros(()))

        def add(total: Any, one: Any) -> tuple[Any, Array]:
            g, a = jax.grad(loss, has_aux=True)(meta, one)
            good = finite((g, a))
            return jax.tree.map(jnp.add, total, select(good, (g, a, jnp.ones(())), zero)), ~good

        (g, a, n), bad = jax.lax.scan(add, zero, batch)
        return *jax.tree.map(lambda x: x / jnp.maximum(n, 1.0), (g, a)), bad

    if in_turn:
        return one_by_one(None)

    def together(meta: Any) -> tuple[Array, Any]:
        losses, aux = jax.vmap(loss, (None, 0))(meta, batch)
        return jnp.mean(losses), jax.tree.map(lambda x: jnp.mean(x, 0), aux)

    gradient, aux = jax.grad(together, has_aux=True)(meta)
    return jax.lax.cond(finite(gradient), lambda _: (gradient, aux, jnp.zeros(count, bool)), one_by_one, None)
