"""The two halves of an evidence lower bound: divergences of a chain of beliefs, and likelihoods of rewards.

Not the bound of a trial: that is `outer/varibad.py`, which knows what was decoded from which belief.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Normal


def kl_chain(mean: Array, log_var: Array, born: Array) -> Array:
    """Each belief against the one before it, and against N(0, 1) where a trial begins (Zintgraf et al. 2020, eq. 9, with
    their prior: the last posterior, which takes its gradient too).

    Args:
        mean, log_var: [T, D]. born: bool [T]; the first belief counts as born whatever it says.

    Returns:
        nats [T].
    """
    first = (born | (jnp.arange(born.shape[0]) == 0))[:, None]
    mean_0 = jnp.where(first, 0.0, jnp.concatenate([mean[:1], mean[:-1]]))
    log_var_0 = jnp.where(first, 0.0, jnp.concatenate([log_var[:1], log_var[:-1]]))
    return Normal(mean, 0.5 * log_var).kl(Normal(mean_0, 0.5 * log_var_0))


def squared_error(output: Array, reward: Array) -> Array:
    """(reward − output)²: minus the log-likelihood under a normal of variance 1/2, up to a constant."""
    return (reward - output) ** 2


def sign_error(output: Array, reward: Array) -> Array:
    """Minus the log-likelihood of whether the reward is positive, `output` being its log-odds; nats."""
    return jnp.where(reward > 0, jax.nn.softplus(-output), jax.nn.softplus(output))
