"""Conjugate gradients and the backtracking line search of TRPO (Schulman et al. 2015, appendix C), on flat vectors.

Not the surrogate or the KL: the method passes them as functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


def conjugate_gradient(
    product: Callable[[Array], Array], b: Array, steps: int, tolerance: float = 1e-10
) -> tuple[Array, Array]:
    """Approximate x of A x = b for symmetric positive definite A; also xᵀA x, which is xᵀb (the residual is orthogonal to
    x). Stops moving once the squared residual is below `tolerance` times that of b (relative, since float32).

    Each residual is made orthogonal to all earlier ones: in float32 the plain recurrence loses that within a few steps when
    the largest eigenvalue stands apart, and its answer is then one of rounding.
    """

    def body(carry: tuple[Array, ...], i: Array) -> tuple[tuple[Array, ...], None]:
        x, r, d, rr, basis = carry
        basis = basis.at[i].set(r / jnp.sqrt(jnp.where(rr > 0, rr, 1.0)))
        a_d = product(d)
        curvature = d @ a_d
        go = (rr > tolerance * (b @ b)) & (curvature > 0)
        alpha = jnp.where(go, rr / jnp.where(go, curvature, 1.0), 0.0)
        x, r = x + alpha * d, r - alpha * a_d
        for _ in range(2):
            r = jnp.where(go, r - basis.T @ (basis @ r), r)
        new = r @ r
        d = jnp.where(go, r + new / jnp.where(rr > 0, rr, 1.0) * d, d)
        return (x, r, d, jnp.where(go, new, rr), basis), None

    start = (jnp.zeros_like(b), b, b, b @ b, jnp.zeros((steps, b.size), b.dtype))
    (x, *_), _ = jax.lax.scan(body, start, jnp.arange(steps))
    return x, x @ b


class Search(NamedTuple):
    """Outcome of a line search."""

    point: Array  # accepted, or the start
    accepted: Array  # bool
    tries: Array
    loss: Array  # at the last try
    kl: Array


def backtrack(
    score: Callable[[Array], tuple[Array, Array]],
    start: Array,
    step: Array,
    loss: Array,
    max_kl: float,
    ratio: float,
    tries: int,
) -> Search:
    """First of start − ratioⁱ step, i < tries, whose loss is below `loss` and whose KL is within `max_kl`; else start."""

    def good(s: Search) -> Array:
        return (s.loss < loss) & (s.kl <= max_kl)

    def body(s: Search) -> Search:
        point = start - ratio**s.tries * step
        new_loss, kl = score(point)
        return Search(point, jnp.asarray(False), s.tries + 1, new_loss, kl)

    first = Search(
        start, jnp.asarray(False), jnp.zeros((), jnp.int32), jnp.full_like(loss, jnp.inf), jnp.full_like(loss, jnp.inf)
    )
    end = jax.lax.while_loop(lambda s: (s.tries < tries) & ~good(s), body, first)
    accepted = good(end)
    return end._replace(point=jnp.where(accepted, end.point, start), accepted=accepted)
