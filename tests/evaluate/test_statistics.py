import json

import numpy as np
import pytest
import scipy.stats

from innerloop.evaluate import statistics


def test_over_tasks_is_the_t_interval():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    got = statistics.over_tasks(values)
    lo, hi = scipy.stats.t.interval(0.95, 3, values.mean(), scipy.stats.sem(values))
    assert got.over == "tasks" and got.mean == 3.5
    assert (got.lo, got.hi) == (pytest.approx(lo), pytest.approx(hi))


def test_curves_are_taken_point_by_point():
    values = np.random.default_rng(0).normal(size=(30, 4))
    curve = statistics.over_tasks(values)
    assert curve.mean.shape == (4,)
    assert curve.lo[2] == pytest.approx(statistics.over_tasks(values[:, 2]).lo)


def test_over_seeds_uses_per_seed_means_and_their_degrees_of_freedom():
    values = np.random.default_rng(1).normal(size=(3, 50)) + np.array([[0.0], [1.0], [2.0]])
    got = statistics.over_seeds(values)
    assert got.over == "seeds"
    assert got.hi == pytest.approx(statistics.over_tasks(values.mean(1)).hi)
    assert got.hi - got.lo > 5 * (statistics.over_tasks(values.ravel()).hi - statistics.over_tasks(values.ravel()).lo)


def test_one_seed_falls_back_to_tasks_and_says_so():
    values = np.random.default_rng(2).normal(size=(1, 50))
    assert statistics.over_seeds(values) == statistics.over_tasks(values[0])
    assert statistics.over_seeds(values).over == "tasks"


def test_paired_intervals_ignore_what_the_pairs_share():
    rng = np.random.default_rng(3)
    shared, noise = rng.normal(0, 100, 40), rng.normal(0, 1, 40)
    got = statistics.paired(shared + 1.0 + noise, shared)
    assert got.over == "pairs" and 0.0 < got.lo < 1.0 < got.hi + 0.5 and got.hi - got.lo < 1.0


def test_t_interval_covers_at_its_level_with_few_seeds():
    values = np.random.default_rng(4).normal(size=(5, 4_000))
    got = statistics.over_tasks(values)
    assert np.mean((got.lo <= 0) & (got.hi >= 0)) == pytest.approx(0.95, abs=0.012)


def test_iqm_is_the_mean_of_the_middle_half():
    assert statistics.iqm(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0])) == pytest.approx(3.5)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_stratified_iqm_covers_most_of_the_time(method):
    rng, hits = np.random.default_rng(5), 0
    for _ in range(40):
        scores = rng.normal(size=(10, 6))
        got = statistics.stratified_iqm(scores, replicates=300, method=method)
        hits += int(got.lo <= 0 <= got.hi)
    assert hits >= 33


def test_stratified_iqm_matches_scipy_for_one_task():
    scores = np.random.default_rng(6).gamma(1.0, size=(30, 1))
    got = statistics.stratified_iqm(scores, replicates=4_000)
    trim = lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis)  # noqa: E731
    ref = scipy.stats.bootstrap((scores[:, 0],), trim, n_resamples=4_000, method="BCa", rng=np.random.default_rng(7))
    assert got.lo == pytest.approx(ref.confidence_interval.low, abs=0.05)
    assert got.hi == pytest.approx(ref.confidence_interval.high, abs=0.08)


def test_stratified_iqm_keeps_tasks_and_repeats_itself():
    scores = np.tile(np.array([[0.0, 10.0, 20.0, 30.0]]), (5, 1))  # seeds agree: nothing to resample
    got = statistics.stratified_iqm(scores, replicates=100)
    assert got.lo == got.hi == got.mean == 15.0
    noisy = scores + np.random.default_rng(8).normal(size=scores.shape)
    assert statistics.stratified_iqm(noisy, replicates=100) == statistics.stratified_iqm(noisy, replicates=100)


def test_intervals_are_ready_for_json():
    curve = statistics.over_tasks(np.random.default_rng(9).normal(size=(5, 2)))
    assert [row["experience"] for row in json.loads(json.dumps(curve.curve()))] == [0, 1]
    assert set(statistics.over_tasks(np.arange(3.0)).point()) == {"mean", "lo", "hi"}


def test_errors_say_what_was_given():
    with pytest.raises(ValueError, match=r"shape \(1,\)"):
        statistics.over_tasks(np.ones(1))
    with pytest.raises(ValueError, match="1 of 3 values"):
        statistics.over_tasks(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="equal shapes"):
        statistics.paired(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="percentile"):
        statistics.stratified_iqm(np.ones((3, 2)), method="magic")
