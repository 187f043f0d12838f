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
