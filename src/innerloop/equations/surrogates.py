"""Surrogates of the expected return, one task's chunk [T, N]: equal gradients at the sampling parameters, other curvatures.

Not estimators of the return: their values mean nothing. Each is to be minimised. With g_t = ∇ log π(a_t|s_t) and A_t taken as
constant, the mean over rows of the negative second derivative is, at the sampling parameters,

    vpg    ∇² log π_t A_t
    lvc    (∇² log π_t + g_t g_tᵀ) A_t
    dice   (∇² log π_t + g_t g_tᵀ + Σ_{s<t} (g_t g_sᵀ + g_s g_tᵀ)) A_t,    s from the episode's begin on

and the last one's mean over episodes is the Hessian of the expected return (Foerster et al. 2018). LVC leaves out the cross
terms, which cost most of the variance (Rothfuss et al. 2019, eq. 10); with one step per episode there are none.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.equations.returns import masked_mean

ESTIMATORS = ("vpg", "lvc", "dice")


def surrogate(estimator: str, log_prob: Array, recorded: Array, advantage: Array, first: Array, mask: Array) -> Array:
    """A scalar; all arguments [T, N].

    Args:
        estimator: "vpg", the log-likelihood (Finn et al. 2017); "lvc", the likelihood ratio to the sampling policy; "dice",
            the magic box of the episode's log-probabilities, with advantages (Farquhar et al. 2019, eq. 12 with λ = 1).
        log_prob: of the actions under the parameters that are differentiated.
        recorded: of the actions when they were drawn. Only "lvc" uses it, so only "lvc" stays right where the parameters
            have moved since, as in an outer loop of several steps.
        first: an episode begins with this row.
    """
    if estimator == "vpg":
        weighted = log_prob * advantage
    elif estimator == "lvc":
        weighted = jnp.exp(jnp.where(mask, log_prob - recorded, 0.0)) * advantage
    elif estimator == "dice":
        now = jnp.where(mask, log_prob, 0.0)
        upto = jax.vmap(_within_episodes, 1, 1)(now, first)
        weighted = (_magic(upto) - _magic(upto - now)) * advantage
    else:
        raise ValueError(f"estimator is {estimator!r}; accepted: {', '.join(ESTIMATORS)}.")
    return -masked_mean(weighted, mask)


def _magic(x: Array) -> Array:
    """DiCE's box: 1, whose derivatives are those of exp(x)."""
    return jnp.exp(x - jax.lax.stop_gradient(x))


def _within_episodes(x: Array, first: Array) -> Array:
    """Running sums of x [T] since the last row with `first`, that row included."""

    def add(total: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        now, begins = row
        total = jnp.where(begins, 0.0, total) + now
        return total, total

    return jax.lax.scan(add, jnp.zeros((), x.dtype), (x, first))[1]
