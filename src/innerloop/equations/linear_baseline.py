"""The linear-feature baseline (Duan et al. 2016, benchmark §A) and the advantages it gives; one task's chunk [T, N].

Not a learned critic. In-sample, as the papers do: fitted on the very chunk that it is used for. The features span
[o, o², t, t², t³, 1], but standardised and with orthogonal polynomials in time, because the plain normal equations are
ill-conditioned in float32.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core.in_turn import in_turn
from innerloop.equations.returns import discounted_returns, gae, standardise


def steps_in_episode(first: Array) -> Array:
    """For rows [T] with episode-begins flags: steps since the episode began (or since the first row), float [T]."""

    def forward(t: Array, f: Array) -> tuple[Array, Array]:
        t = jnp.where(f, 0.0, t)
        return t + 1.0, t

    return jax.lax.scan(forward, jnp.zeros(()), first)[1]


def features(obs: Array, time: Array, mask: Array) -> Array:
    """obs [M, D], time [M] (in steps), mask [M] → standardised design matrix [M, 2 D + 4]."""
    weight = mask.astype(obs.dtype)[:, None]
    count = jnp.maximum(jnp.sum(weight), 1.0)

    def standard(x: Array) -> Array:
        mean = jnp.sum(x * weight, 0, keepdims=True) / count
        std = jnp.sqrt(jnp.sum((x - mean) ** 2 * weight, 0, keepdims=True) / count)
        return (x - mean) / jnp.where(std > 1e-6, std, 1.0)

    o = standard(jnp.clip(obs, -10.0, 10.0))
    longest = jnp.maximum(jnp.max(jnp.where(mask, time, 0.0)), 1.0)
    t = (2.0 * time / longest - 1.0)[:, None]
    polynomials = jnp.concatenate([jnp.ones_like(t), t, 1.5 * t**2 - 0.5, 2.5 * t**3 - 1.5 * t], -1)
    return jnp.concatenate([o, standard(o**2), polynomials], -1) * weight


@in_turn
def _solved(gram: Array, wanted: Array) -> tuple[Array, Array]:
    """Of gram [F, F] · x = wanted [F]: x, and whether it solves that."""
    factor = jax.scipy.linalg.cho_factor(gram)
    solution = jax.scipy.linalg.cho_solve(factor, wanted)
    solution += jax.scipy.linalg.cho_solve(factor, wanted - gram @ solution)
    left = jnp.abs(wanted - gram @ solution)
    # Asked of every number, not of their maximum: XLA's on a CPU may pass over what is no number.
    return solution, jnp.all(left <= 1e-2 * jnp.max(jnp.abs(wanted)))


def fit(design: Array, target: Array, ridge: float = 1e-5, tries: int = 6) -> Array:
    """Ridge regression of target [M] on design [M, F]: fitted values [M]. One step of iterative refinement.

    Features that depend on one another make the normal equations singular within rounding: then the ridge, a share of the
    features' mean square, grows tenfold until they are solved (rllab's remedy).
    """
    gram, wanted = design.T @ design, design.T @ target
    unit = design.shape[0] * jnp.eye(design.shape[1], dtype=design.dtype)

    def solved(share: Array) -> tuple[Array, Array]:
        return _solved(gram + share * unit, wanted)

    def again(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        share = 10.0 * carry[0]
        return share, *solved(share), carry[3] + 1

    first = jnp.asarray(ridge, design.dtype)
    start = (first, *solved(first), jnp.zeros((), jnp.int32))
    solution = jax.lax.while_loop(lambda c: ~c[2] & (c[3] < tries), again, start)[1]
    return design @ solution


def _negligible(residual: Array, returns: Array, mask: Array, least: float = 1e-4) -> Array:
    """bool: the residuals [T, N] spread by no more than rounding and the ridge leave of the returns. Where every episode paid
    the same, nothing is to be learned, and standardised such residuals would be noise at full size."""
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(jnp.where(mask, residual, 0.0)) / count
    spread = jnp.sum(jnp.where(mask, (residual - mean) ** 2, 0.0))
    return spread <= least**2 * jnp.sum(jnp.where(mask, returns**2, 0.0))


def advantages(
    obs: Array, reward: Array, first: Array, ends: Array, mask: Array, discount: float, lam: float, normalise: str = "std"
) -> Array:
    """Advantages [T, N] of a chunk, with no gradient.

    Args:
        obs: flat observations [T, N, D]; reward, first, ends, mask: [T, N]. `ends` are terminations and truncations alike:
            the papers take the horizon for terminal, which features of time are consistent with.
        normalise: "std", centred and divided by the standard deviation over the chunk's valid steps; "variance", divided
            by the variance (what garage and Meta-World's code do); "none". The first two give zeros where all residuals are
            rounding errors.
    """
    steps, streams, width = obs.shape
    obs, reward = jax.lax.stop_gradient((obs, reward))
    cut, reward = jnp.asarray(ends | ~mask), jnp.where(mask, reward, 0.0)
    returns = jax.vmap(discounted_returns, (1, 1, None), 1)(reward, cut, discount)
    time = jax.vmap(steps_in_episode, 1, 1)(first)
    design = features(obs.reshape(time.size, width), time.reshape(-1), mask.reshape(-1))  # width may be 0
    value = fit(design, jnp.where(mask, returns, 0.0).reshape(-1)).reshape(steps, streams)
    after = jnp.concatenate([value[1:], jnp.zeros((1, streams))])
    cut = cut.at[-1].set(True)
    residual = jax.vmap(gae, (1, 1, 1, 1, 1, None, None), 1)(reward, value, after, cut, cut, discount, lam)
    if normalise == "none":
        scaled = jnp.where(mask, residual, 0.0)
    else:
        scaled = standardise(residual, mask)
        if normalise == "variance":
            count = jnp.maximum(jnp.sum(mask), 1)
            mean = jnp.sum(jnp.where(mask, residual, 0.0)) / count
            scaled /= jnp.sqrt(jnp.sum(jnp.where(mask, (residual - mean) ** 2, 0.0)) / count) + 1e-8
        scaled = jnp.where(_negligible(residual, returns, mask), 0.0, scaled)
    return jax.lax.stop_gradient(scaled)


def credit(
    weights: str, obs: Array, reward: Array, first: Array, ends: Array, mask: Array, discount: float, lam: float, normalise: str
) -> Array:
    """What each row's log-probability is weighted by, [T, N], with no gradient.

    Args:
        weights: "advantage", or "return", the bare discounted reward-to-go, unbiased and not normalised.
        Others as in `advantages`.
    """
    if weights == "advantage":
        return advantages(obs, reward, first, ends, mask, discount, lam, normalise)
    cut, reward = ends | ~mask, jnp.where(mask, reward, 0.0)
    return jax.lax.stop_gradient(jax.vmap(discounted_returns, (1, 1, None), 1)(reward, cut, discount))


WEIGHTS = ("advantage", "return")
NORMALISE = ("std", "variance", "none")
