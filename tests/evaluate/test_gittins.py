import numpy as np
import pytest

from innerloop.evaluate.gittins import bayes_optimal, index_table


def test_index_of_one_pull_is_the_posterior_mean():
    table = index_table(6)
    s, f = np.indices((6, 6))
    reachable = s + f <= 5
    assert np.allclose(table[1, :6, :6][reachable], ((s + 1) / (s + f + 2))[reachable], atol=1e-6)


def test_index_of_two_pulls_of_a_fresh_arm_is_five_ninths():
    assert index_table(4)[2, 0, 0] == pytest.approx(5 / 9, abs=1e-6)


def test_index_grows_with_pulls_to_go_and_with_successes():
    table = index_table(12)
    fresh = table[1:, 0, 0]
    assert np.all(np.diff(fresh) > 0)
    assert np.all(np.diff(table[4, :8, 1]) > 0) and np.all(np.diff(table[4, 1, :8]) < 0)


def test_index_hardly_depends_on_the_grid():
    coarse, fine = index_table(10, 200), index_table(10, 1000)
    reachable = np.isfinite(fine)
    assert np.array_equal(reachable, np.isfinite(coarse))
    assert np.max(np.abs(coarse[reachable] - fine[reachable])) < 2e-3


def test_bayes_optimal_of_one_arm_is_half_the_pulls():
    assert bayes_optimal(7, 1) == pytest.approx(3.5)


def test_bayes_optimal_of_two_arms_and_two_pulls_by_hand():
    # First pull 1/2; after a success stay (2/3), after a failure switch (1/2).
    assert bayes_optimal(2, 2) == pytest.approx(0.5 + 0.5 * (2 / 3) + 0.5 * 0.5)


def test_bayes_optimal_of_published_settings():
    assert bayes_optimal(10, 5) == pytest.approx(6.659988, abs=1e-6)
    assert bayes_optimal(10, 10) == pytest.approx(6.713951, abs=1e-6)


def test_more_arms_than_pulls_add_nothing():
    assert bayes_optimal(6, 6) == bayes_optimal(6, 50)


def test_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="n ≤ 22"):
        bayes_optimal(100, 5)
    with pytest.raises(ValueError, match="n ≥ 1"):
        index_table(0)
