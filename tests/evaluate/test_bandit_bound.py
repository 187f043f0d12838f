import numpy as np
import pytest

from innerloop.evaluate import bandit_bound
from innerloop.evaluate.gittins import bayes_optimal


def test_one_arm_without_a_price_is_pulled_always():
    value, chance = bandit_bound.one_arm(np.zeros(6))
    assert value == pytest.approx(3.0) and np.allclose(chance, 1.0)
    assert bandit_bound.one_arm(np.ones(6))[0] == 0.0


def test_one_arms_chances_are_the_slope_of_its_value():
    prices = np.linspace(0.713, 0.521, 8)
    value, chance = bandit_bound.one_arm(prices)
    for t in range(8):
        moved = prices.copy()
        moved[t] += 1e-6
        assert (bandit_bound.one_arm(moved)[0] - value) / 1e-6 == pytest.approx(-chance[t], abs=1e-4)


def test_one_arm_of_two_pulls_by_hand():
    # At 0.55 a pull: the first loses 0.05 in expectation, and wins 2/3 − 0.55 in half of the cases.
    assert bandit_bound.one_arm(np.full(2, 0.55))[0] == pytest.approx(-0.05 + 0.5 * (2 / 3 - 0.55))


@pytest.mark.parametrize(("n", "k"), [(4, 2), (8, 3), (10, 5), (10, 10)])
def test_bounds_are_bounds(n, k):
    best = bayes_optimal(n, k)
    assert best <= bandit_bound.lagrangian(n, k) + 1e-9 < best + 0.4
    assert best < bandit_bound.foreseen(n, k, 4000) < best + 1.5


def test_of_one_arm_both_are_exact():
    assert bandit_bound.lagrangian(7, 1) == pytest.approx(3.5, abs=1e-6)
    assert bandit_bound.foreseen(7, 1, 4000) == pytest.approx(3.5, abs=0.2)


def test_of_one_pull_foresight_is_of_no_use():
    assert bandit_bound.foreseen(1, 3, 4000) == pytest.approx(0.5, abs=0.03)


def test_few_are_refused():
    with pytest.raises(ValueError, match="≥ 1"):
        bandit_bound.lagrangian(0, 3)
    with pytest.raises(ValueError, match="instances ≥ 2"):
        bandit_bound.foreseen(5, 3, 1)
