"""Returns and advantages against slow loops in float64 and against their definitions."""

import numpy as np
import pytest

from innerloop.equations.returns import discounted_returns, gae, masked_mean, standardise


def case(seed, steps=17):
    rng = np.random.default_rng(seed)
    r, v, v_next = rng.normal(size=(3, steps)).astype(np.float32)
    cuts = rng.random(steps) < 0.2
    return r, v, v_next, cuts, cuts & (rng.random(steps) < 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_discounted_returns_are_the_sums_they_say(seed):
    r, _, _, ends, _ = case(seed)
    expected = np.zeros(len(r))
    for t in range(len(r)):
        weight = 1.0
        for s in range(t, len(r)):
            expected[t] += weight * r[s]
            weight *= 0.9
            if ends[s]:
                break
        else:
            expected[t] += weight * 2.0
    np.testing.assert_allclose(discounted_returns(r, ends, 0.9, 2.0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_gae_is_the_sum_of_discounted_residuals(lam):
    r, v, v_next, cuts, zero = case(5)
    expected = np.zeros(len(r))
    for t in range(len(r)):
        weight = 1.0
        for s in range(t, len(r)):
            expected[t] += weight * (r[s] + (0.0 if zero[s] else 0.95 * v_next[s]) - v[s])
            weight *= 0.95 * lam
            if cuts[s]:
                break
    np.testing.assert_allclose(gae(r, v, v_next, cuts, zero, 0.95, lam), expected, rtol=1e-5, atol=1e-6)


def test_gae_with_lambda_one_is_the_return_less_the_value_and_truncation_bootstraps():
    r, v, _, _, _ = case(1, 6)
    v_next = np.concatenate([v[1:], [3.0]]).astype(np.float32)
    no = np.zeros(6, bool)
    ahead = discounted_returns(r, no, 0.9, 3.0)
    np.testing.assert_allclose(gae(r, v, v_next, no, no, 0.9, 1.0), ahead - v, rtol=1e-5, atol=1e-5)
    ended = no.copy()
    ended[-1] = True
    truncated, terminated = gae(r, v, v_next, ended, no, 0.9, 1.0), gae(r, v, v_next, ended, ended, 0.9, 1.0)
    np.testing.assert_allclose(truncated - terminated, 0.9 ** np.arange(6, 0, -1) * 3.0, rtol=1e-4)


def test_standardise_gives_mean_0_and_deviation_1_over_the_mask_and_0_elsewhere():
    rng = np.random.default_rng(0)
    x = (5.0 + 3.0 * rng.normal(size=(4, 50))).astype(np.float32)
    mask = rng.random((4, 50)) < 0.7
    y = np.asarray(standardise(np.where(mask, x, np.nan), mask))
    assert abs(y[mask].mean()) < 1e-5 and abs(y[mask].std() - 1) < 1e-4
    assert (y[~mask] == 0).all()
    assert (np.asarray(standardise(x, np.zeros_like(mask))) == 0).all()
    assert np.isfinite(np.asarray(standardise(np.ones_like(x), mask))).all()


def test_masked_mean_leaves_out_what_is_masked_and_is_0_of_nothing():
    x, mask = np.array([1.0, np.nan, 3.0], np.float32), np.array([True, False, True])
    assert masked_mean(x, mask) == 2.0
    assert masked_mean(x, np.zeros(3, bool)) == 0.0
