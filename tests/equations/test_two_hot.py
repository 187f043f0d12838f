"""Two-hot codes and symlog: golden values, inverses, and that a code's mean is what was coded."""

import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.equations.two_hot import mean_of, symexp, symlog, symlog_bins, two_hot


def test_golden_values():
    np.testing.assert_allclose(symlog(jnp.array([-1.0, 0.0, 1.0, 9.0])), [-np.log(2), 0, np.log(2), np.log(10)], rtol=1e-6)
    bins = symlog_bins(7.0, 7)  # ln 8 in thirds: 2^k − 1
    np.testing.assert_allclose(bins, [-7, -3, -1, 0, 1, 3, 7], rtol=1e-6, atol=1e-6)
    code = two_hot(jnp.array([0.0, 2.0, -0.25, 7.0, 100.0, -100.0]), bins)
    wanted = np.zeros((6, 7))
    wanted[0, 3] = wanted[3, 6] = wanted[4, 6] = wanted[5, 0] = 1
    wanted[1, 4] = wanted[1, 5] = 0.5
    wanted[2, 2], wanted[2, 3] = 0.25, 0.75
    np.testing.assert_allclose(code, wanted, atol=1e-6)


@pytest.mark.parametrize("x", [0.0, 1e-4, -3.5, 12.0, 1e4])
def test_symexp_undoes_symlog(x):
    np.testing.assert_allclose(symexp(symlog(jnp.asarray(x))), x, rtol=1e-5)


def test_the_mean_of_a_code_is_what_was_coded():
    bins = symlog_bins(100.0, 33)
    x = jnp.asarray(np.random.default_rng(0).normal(0, 30, 200).clip(-100, 100), jnp.float32)
    code = two_hot(x, bins)
    np.testing.assert_allclose(code.sum(-1), 1, rtol=1e-6)
    assert ((np.asarray(code) > 0).sum(-1) <= 2).all()
    np.testing.assert_allclose(mean_of(jnp.log(code + 1e-30), bins), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [32, 33])
def test_an_untrained_classifier_says_nought(count):
    bins = symlog_bins(1e6, count)
    assert np.abs(mean_of(jnp.zeros((4, count)), bins)).max() == 0
