"""Aggregates: closed forms, rliable's own figures from the same draws, and how often intervals hold the truth."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from innerloop.evaluate import aggregates

RLIABLE = json.loads((Path(__file__).with_name("rliable.json")).read_text("utf-8"))


class Legacy:
    """numpy's legacy generator, from which rliable draws, behind the one method that is used of the new."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def integers(self, low, high, shape):
        assert low == 0
        return self.state.choice(high, shape, replace=True)


@pytest.mark.parametrize("name", ["iqm", "mean", "optimality_gap", "improvement", "profile"])
def test_rliable_says_the_same_of_the_same_draws(name, monkeypatch):
    """Written by rliable_figures.py with rliable 1.2.0."""
    monkeypatch.setattr(aggregates.np.random, "default_rng", lambda seed: Legacy(11))
    x, y, marks = (np.array(RLIABLE[key]) for key in ("x", "y", "marks"))
    scores = [x, y] if name == "improvement" else [x]
    statistic = {"mean": np.mean, "profile": lambda s: aggregates.profile(s, marks)}.get(name) or getattr(aggregates, name)
    got = aggregates.stratified(scores, statistic, replicates=500)
    point, (lo, hi) = RLIABLE[name]
    np.testing.assert_allclose(np.atleast_1d(got.mean), point, rtol=1e-12)
    np.testing.assert_allclose(np.atleast_1d(got.lo), lo, rtol=1e-12)
    np.testing.assert_allclose(np.atleast_1d(got.hi), hi, rtol=1e-12)
    if name == "iqm":
        same = aggregates.stratified_iqm(x, replicates=500, method="percentile")
        assert (same.mean, same.lo, same.hi) == (got.mean, got.lo, got.hi)


def test_iqm_is_the_mean_of_the_middle_half():
    assert aggregates.iqm(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0])) == pytest.approx(3.5)
    odd = np.random.default_rng(0).normal(size=(3, 7))
    assert aggregates.iqm(odd) == pytest.approx(scipy.stats.trim_mean(odd, 0.25, axis=None))


def test_a_profile_is_the_share_above_and_a_tie_is_not_above():
    scores = np.array([[0.0, 1.0], [1.0, 2.0]])
    assert aggregates.profile(scores, np.array([-1.0, 0.0, 1.0, 1.5, 2.0])).tolist() == [1.0, 0.75, 0.25, 0.25, 0.0]


def test_what_lies_above_the_threshold_makes_up_for_nothing():
    assert aggregates.optimality_gap(np.array([[0.5, 3.0]])) == pytest.approx(0.25)


def test_improvement_counts_pairs_in_the_same_task_and_ties_half():
    x, y = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 5.0]])
    assert aggregates.improvement(x, y) == pytest.approx((0.5 + 0.5) / 2)
    assert aggregates.improvement(x, y) + aggregates.improvement(y, x) == pytest.approx(1.0)
    many = np.random.default_rng(1).normal(size=(9, 4)), np.random.default_rng(2).normal(0.3, size=(7, 4))
    wins = [scipy.stats.mannwhitneyu(many[0][:, j], many[1][:, j]).statistic / 63 for j in range(4)]
    assert aggregates.improvement(*many) == pytest.approx(np.mean(wins))


def test_nested_intervals_hold_the_truth_with_few_trainings():
    """Trainings differ by as much as tasks do."""
    for trainings, least in ((3, 0.87), (5, 0.87)):
        rng, hits = np.random.default_rng(trainings), 0
        for i in range(150):
            scores = rng.normal(size=(trainings, 1)) + rng.normal(size=(trainings, 20))
            got = aggregates.nested([scores], np.mean, replicates=200, seed=i)
            assert got.over == "seeds"
            hits += int(got.lo <= 0.0 <= got.hi)
        assert hits / 150 >= least, (trainings, hits / 150)


def test_nested_keeps_rows_of_several_arrays_together():
    x = np.random.default_rng(3).normal(size=(4, 50))
    got = aggregates.nested([x + 1.0, x], lambda a, b: np.mean(a - b), replicates=50)
    assert got.lo == pytest.approx(1.0) and got.hi == pytest.approx(1.0)


def test_one_training_is_resampled_over_tasks_and_says_so():
    values = np.random.default_rng(4).normal(size=(1, 400))
    got = aggregates.nested([values], np.mean)
    assert got.over == "tasks"
    half = scipy.stats.t.ppf(0.975, 399) * scipy.stats.sem(values[0])
    assert (got.hi - got.lo) / 2 == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_stratified_iqm_covers_most_of_the_time(method):
    rng, hits = np.random.default_rng(5), 0
    for _ in range(40):
        scores = rng.normal(size=(10, 6))
        got = aggregates.stratified_iqm(scores, replicates=300, method=method)
        hits += int(got.lo <= 0 <= got.hi)
    assert hits >= 33


def test_stratified_iqm_matches_scipy_for_one_task():
    scores = np.random.default_rng(6).gamma(1.0, size=(30, 1))
    got = aggregates.stratified_iqm(scores, replicates=4_000)
    trim = lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis)  # noqa: E731
    ref = scipy.stats.bootstrap((scores[:, 0],), trim, n_resamples=4_000, method="BCa", rng=np.random.default_rng(7))
    assert got.lo == pytest.approx(ref.confidence_interval.low, abs=0.05)
    assert got.hi == pytest.approx(ref.confidence_interval.high, abs=0.08)


def test_stratified_iqm_keeps_tasks_and_repeats_itself():
    scores = np.tile(np.array([[0.0, 10.0, 20.0, 30.0]]), (5, 1))  # seeds agree: nothing to resample
    got = aggregates.stratified_iqm(scores, replicates=100)
    assert got.lo == got.hi == got.mean == 15.0
    noisy = scores + np.random.default_rng(8).normal(size=scores.shape)
    assert aggregates.stratified_iqm(noisy, replicates=100) == aggregates.stratified_iqm(noisy, replicates=100)


def test_errors_say_what_was_given():
    with pytest.raises(ValueError, match="percentile"):
        aggregates.stratified_iqm(np.ones((3, 2)), method="magic")
    with pytest.raises(ValueError, match="same tasks"):
        aggregates.improvement(np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="one shape"):
        aggregates.nested([np.ones((3, 2)), np.ones((2, 2))], np.mean)
    with pytest.raises(ValueError, match="single score"):
        aggregates.nested([np.ones((1, 1))], np.mean)
    with pytest.raises(ValueError, match="not finite"):
        aggregates.profile(np.array([1.0, np.nan]), np.zeros(1))
