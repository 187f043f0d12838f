import itertools

import numpy as np
import pytest

from innerloop.evaluate import dark_oracle
from innerloop.evaluate.dark_oracle import MOVES


def play(side, start, actions):
    """Cells after each action, walls holding."""
    at, cells = start, []
    for action in actions:
        dx, dy = MOVES[action]
        at = min(max(at[0] + dx, 0), side - 1), min(max(at[1] + dy, 0), side - 1)
        cells.append(at)
    return cells


@pytest.mark.parametrize("again", [True, False])
def test_the_random_walk_is_the_mean_over_all_action_sequences(again):
    returns = np.zeros((3, 3))
    for actions in itertools.product(range(5), repeat=4):
        cells = play(3, (1, 1), actions)
        for cell in set(cells):
            returns[cell] += cells.count(cell) if again else 1
    np.testing.assert_allclose(dark_oracle.random_walk(3, 4, again), returns / 5**4)


def test_random_key_to_door_is_the_mean_over_all_action_sequences():
    pairs = np.array([[[0, 0], [2, 1]], [[1, 1], [1, 1]], [[0, 1], [0, 0]]])
    returns = np.zeros(3)
    for x, y in itertools.product(range(3), repeat=2):
        for actions in itertools.product(range(5), repeat=4):
            cells = play(3, (x, y), actions)
            for i, (key, door) in enumerate(map(tuple, map(tuple, pair)) for pair in pairs.tolist()):
                taken = cells.index(key) if key in cells else None
                returns[i] += 0 if taken is None else 1 + (door in cells[taken:])
    np.testing.assert_allclose(dark_oracle.random_key_to_door(3, 4, pairs), returns / (9 * 5**4))


def test_sweeps_are_walks_that_enter_every_cell():
    plan = dark_oracle.sweeps(5, 8)
    for path in plan:
        assert len(path) == 8
        assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) <= 1 for a, b in zip([(2, 2), *path], path, strict=False))
    assert {cell for path in plan for cell in path} == {(x, y) for x in range(5) for y in range(5)}


def test_the_bound_is_above_the_best_of_all_walks_and_the_search_below():
    # 3 × 3, two episodes of three steps: every pair of walks, exactly.
    known = dark_oracle.known_goal(3, 3, True)
    walks = {tuple(play(3, (1, 1), actions)) for actions in itertools.product(range(5), repeat=3)}

    def value(first, second):
        total = 0.0
        for goal in itertools.product(range(3), repeat=2):
            if goal in first:
                total += 3 - first.index(goal) + known[goal]
            elif goal in second:
                total += 3 - second.index(goal)
        return total / 9

    best = max(value(first, second) for first in walks for second in walks)
    bound, found = dark_oracle.bound(3, 3, True, 2), dark_oracle.search(3, 3, True, 2).mean((0, 1)).sum()
    assert found <= best + 1e-9 and best <= bound + 1e-9 and bound - found < 0.5


def test_a_known_goal_is_never_worse_than_a_search():
    for again in (True, False):
        returns = dark_oracle.search(5, 10, again, 3)
        assert np.all(returns <= dark_oracle.known_goal(5, 10, again)[..., None])
