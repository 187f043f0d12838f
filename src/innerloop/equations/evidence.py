"""The two halves of an evidence lower bound: divergences of Gaussian beliefs, and likelihoods of rewards.

Not the bound of a trial: that is `outer/varibad.py`, which knows what was decoded from which belief.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def gaussian_kl(mean: Array, log_var: Array, mean_0: Array, log_var_0: Array) -> Array:
    """KL(N(mean, e^log_var) ‖ N(mean_0, e^log_var_0)) in nats, of independent components [..., D]; [...]."""
    gap = (mean - mean_0) ** 2 * jnp.exp(-log_var_0)
    return 0.5 * jnp.sum(log_var_0 - log_var + jnp.exp(log_var - log_var_0) + gap - 1.0, axis=-1)


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
    return gaussian_kl(mean, log_var, mean_0, log_var_0)


def squared_error(output: Array, reward: Array) -> Array:
    """(reward − output)²: minus the log-likelihood under a normal of variance 1/2, up to a constant."""
    return (reward - output) ** 2


def sign_error(output: Array, reward: Array) -> Array:
    """Minus the log-likelihood of whether the reward is positive, `output` being its log-odds; nats."""
    return jnp.where(reward > 0, jax.nn.softplus(-output), jax.nn.softplus(output))
