"""A chain of beliefs and likelihoods of rewards, by hand and against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from innerloop.equations.evidence import kl_chain, sign_error, squared_error


def test_each_belief_is_compared_with_the_one_before_and_the_first_of_a_trial_with_the_prior():
    mean, log_var = jax.random.normal(jax.random.key(1), (2, 5, 2))
    born = jnp.array([True, False, False, True, False])
    found = kl_chain(mean, log_var, born)
    for t, before in enumerate((None, 0, 1, None, 3)):
        m, v = (0.0, 1.0) if before is None else (mean[before], np.exp(log_var[before]))
        var = np.exp(log_var[t])
        by_hand = 0.5 * np.sum(np.log(v / var) + (var + (mean[t] - m) ** 2) / v - 1.0)
        np.testing.assert_allclose(found[t], by_hand, rtol=1e-5)


def test_the_prior_of_a_step_takes_its_gradient_too():
    gradient = jax.grad(lambda mean: kl_chain(mean, jnp.zeros((2, 1)), jnp.array([True, False]))[1])(jnp.array([[1.0], [3.0]]))
    np.testing.assert_allclose(gradient, [[-2.0], [2.0]])


def test_errors_are_minus_log_likelihoods():
    output, reward = jnp.array([-2.0, 0.5, 3.0]), jnp.array([1.0, -0.1, 0.0])
    odds = 1 / (1 + np.exp(-np.asarray(output)))
    np.testing.assert_allclose(sign_error(output, reward), -np.log([odds[0], 1 - odds[1], 1 - odds[2]]), rtol=1e-5)
    half = stats.norm(np.asarray(output), np.sqrt(0.5))
    apart = squared_error(output, reward) + half.logpdf(np.asarray(reward))
    np.testing.assert_allclose(apart, apart[0], rtol=1e-5)
