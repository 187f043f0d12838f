import itertools

import pytest

from innerloop.evaluate import grid_oracle
from innerloop.evaluate.grid_oracle import GOALS, HORIZON


def test_there_are_21_goals_away_from_the_start():
    assert len(GOALS) == 21 and min(x + y for x, y in GOALS) == 2


def test_known_goal_is_11_0714_per_episode():
    assert grid_oracle.known_goal((2, 0)) == pytest.approx(14 - 0.1)
    assert grid_oracle.known_goal((4, 4)) == pytest.approx(8 - 0.7)
    assert grid_oracle.known_goal_mean() == pytest.approx(11.0714, abs=5e-5)


def test_bayes_optimal_first_episode_is_4():
    assert grid_oracle.first_episode()[0] == pytest.approx(4.0)


def test_bayes_optimal_trial_of_four_episodes_is_37_2143():
    curve = grid_oracle.bayes_optimal(4)
    assert sum(curve) == pytest.approx(37.2143, abs=5e-5)
    assert sum(grid_oracle.bayes_optimal(2)) == pytest.approx(15.0714, abs=5e-5)


def test_a_written_out_path_attains_the_first_episode():
    path = [(int(c[0]), int(c[1])) for c in "10 20 30 40 41 42 43 33 23 13 12 22 32 31 21".split()]
    arrival = {cell: t for t, cell in reversed(list(enumerate(path, 1)))}
    assert sum(grid_oracle.return_from(arrival.get(g)) for g in GOALS) / 21 == pytest.approx(4.0)


def test_pruned_search_equals_the_search_of_every_short_walk(monkeypatch):
    monkeypatch.setattr(grid_oracle, "HORIZON", 7)
    grid_oracle.first_episode.cache_clear()
    try:
        best = grid_oracle.first_episode()[0]
        brute = -1e9
        for moves in itertools.product(range(1, 5), repeat=7):
            cell, arrival = (0, 0), {}
            for t, move in enumerate(moves, 1):
                cell = grid_oracle._reach(cell)[move]
                arrival.setdefault(cell, t)
            brute = max(brute, sum(grid_oracle.return_from(arrival.get(g)) for g in GOALS) / 21)
        assert best == pytest.approx(brute)
    finally:
        grid_oracle.first_episode.cache_clear()


def test_random_walk_lies_between_never_and_always_on_the_goal():
    assert -0.1 * HORIZON < grid_oracle.random_walk() < 4.0
    assert grid_oracle.random_walk() == pytest.approx(-1.16547, abs=1e-5)
