"""Divergences against numerical integration and by hand; what a chain of them adds up to."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

from innerloop.equations.evidence import gaussian_kl, kl_chain, sign_error, squared_error


def test_the_divergence_is_the_integral():
    q, p = stats.norm(0.3, 0.7), stats.norm(-0.5, 1.4)
    whole, _ = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -8, 8)
    found = gaussian_kl(jnp.array([0.3]), 2 * jnp.log(jnp.array([0.7])), jnp.array([-0.5]), 2 * jnp.log(jnp.array([1.4])))
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_components_add_up_and_equals_are_no_distance():
    mean, log_var = jax.random.normal(jax.random.key(0), (2, 4, 3))
    zero = jnp.zeros((4, 3))
    each = gaussian_kl(mean[..., None], log_var[..., None], zero[..., None], zero[..., None])
    np.testing.assert_allclose(gaussian_kl(mean, log_var, zero, zero), each.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(gaussian_kl(mean, log_var, mean, log_var), 0.0, atol=1e-6)


def test_each_belief_is_compared_with_the_one_before_and_the_first_of_a_trial_with_the_prior():
    mean, log_var = jax.random.normal(jax.random.key(1), (2, 5, 2))
    born = jnp.array([True, False, False, True, False])
    zero = jnp.zeros(2)
    found = kl_chain(mean, log_var, born)
    for t, before in enumerate((None, 0, 1, None, 3)):
        other = (zero, zero) if before is None else (mean[before], log_var[before])
        np.testing.assert_allclose(found[t], gaussian_kl(mean[t], log_var[t], *other), rtol=1e-5)


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
