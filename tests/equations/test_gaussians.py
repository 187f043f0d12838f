"""Products of Gaussians are sequential Bayes updates, and the KL is the closed form of each dimension, summed."""

import jax.numpy as jnp
import numpy as np

from innerloop.equations.gaussians import kl_to_standard, product

RNG = np.random.default_rng(0)


def test_a_product_is_one_bayes_update_after_another():
    mean, var = RNG.normal(size=(7, 3)), RNG.uniform(0.1, 3.0, (7, 3))
    mask = np.array([1, 1, 0, 1, 0, 1, 1], bool)
    m, v = mean[0], var[0]
    for i in np.flatnonzero(mask)[1:]:
        gain = v / (v + var[i])  # Kalman's
        m, v = m + gain * (mean[i] - m), (1 - gain) * v
    got = product(jnp.asarray(mean, jnp.float32), jnp.asarray(var, jnp.float32), jnp.asarray(mask))
    np.testing.assert_allclose(got[0], m, rtol=1e-5)
    np.testing.assert_allclose(got[1], v, rtol=1e-5)


def test_of_nothing_it_is_the_prior():
    mean, var = product(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.zeros(2, bool))
    np.testing.assert_array_equal(mean, np.zeros(3))
    np.testing.assert_array_equal(var, np.ones(3))


def test_the_kl_by_hand():
    """½ (σ² + μ² − 1) − ln σ, summed: σ = 2, μ = 1 gives 2 − ln 2."""
    got = kl_to_standard(jnp.array([1.0, 0.0]), jnp.log(jnp.array([2.0, 1.0])))
    np.testing.assert_allclose(got, 2.0 - np.log(2.0), rtol=1e-6)
