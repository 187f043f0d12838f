import numpy as np
import pytest

from innerloop.evaluate import bandit_strategies as strategies


def total(strategy, n, k, instances):
    return strategies.simulate(strategy, n, k, instances)[1]


def test_gittins_reaches_the_exact_optimum_at_ten_pulls():
    got = total(strategies.gittins(10), 10, 5, 100_000)
    assert abs(got.mean - 6.659988) < 2 * (got.hi - got.mean)


@pytest.mark.slow
def test_gittins_at_a_hundred_pulls_is_78_659():
    got = total(strategies.gittins(100), 100, 5, 1_000_000)
    assert abs(got.mean - 78.659) < 0.010 + (got.hi - got.mean)


def test_greedy_and_thompson_match_the_published_simulation():
    assert total(strategies.greedy, 10, 5, 50_000).mean == pytest.approx(6.567, abs=0.03)
    assert total(strategies.thompson, 10, 5, 50_000).mean == pytest.approx(5.828, abs=0.03)


def test_ucb1_pulls_each_arm_once_first():
    assert total(strategies.ucb1, 5, 5, 2_000).mean == pytest.approx(2.5, abs=1e-6)


def test_tuned_ucb1_beats_the_published_constant():
    assert total(strategies.tuned_ucb1(0.1), 10, 5, 20_000).mean > total(strategies.ucb1, 10, 5, 20_000).mean + 0.5


def test_curve_sums_to_the_total_and_starts_at_one_half():
    curve, whole = strategies.simulate(strategies.greedy, 8, 3, 5_000)
    assert curve.mean[0] == pytest.approx(0.5, abs=1e-6)
    assert np.sum(curve.mean) == pytest.approx(whole.mean)


def test_the_interval_holds_the_exact_value_of_two_arms():
    # Greedy is optimal for two arms and two pulls: 13/12.
    hits = 0
    for seed in range(40):
        whole = strategies.simulate(strategies.greedy, 2, 2, 500, seed)[1]
        hits += int(whole.lo <= 13 / 12 <= whole.hi)
    assert hits >= 34


def test_same_seed_same_figures():
    assert total(strategies.thompson, 5, 3, 1_000) == total(strategies.thompson, 5, 3, 1_000)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="instances"):
        strategies.simulate(strategies.greedy, 10, 5, 3)
