"""Exact values of GridNavi 5×5: Bayes-optimal search, known goal, random walk.

Not the environment (`tasks/grid_navi.py`). Definition (Zintgraf et al. 2020, VariBAD; `gridworld.py`): start (0, 0),
five actions (stay, up, right, down, left; walls hold), 15 steps per episode, no termination; the goal is uniform over the
21 cells outside the 2×2 corner at the start and stays for the whole trial; after each move +1 on the goal, else −0.1.
"""

from __future__ import annotations

from functools import cache

import numpy as np

SIZE, HORIZON, ON_GOAL, ELSEWHERE = 5, 15, 1.0, -0.1
MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
CELLS = tuple((x, y) for x in range(SIZE) for y in range(SIZE))
GOALS = tuple(c for c in CELLS if c not in ((0, 0), (0, 1), (1, 0), (1, 1)))

Cell = tuple[int, int]


def _reach(cell: Cell) -> tuple[Cell, ...]:
    """Cells after each of the five moves, walls holding."""
    clip = lambda v: min(max(v, 0), SIZE - 1)  # noqa: E731
    return tuple((clip(cell[0] + dx), clip(cell[1] + dy)) for dx, dy in MOVES)


def return_from(arrival: int | None) -> float:
    """Return of an episode that first stands on the goal after step `arrival` (1, 2, …) and stays; None: never."""
    if arrival is None or arrival > HORIZON:
        return HORIZON * ELSEWHERE
    return (arrival - 1) * ELSEWHERE + (HORIZON - arrival + 1) * ON_GOAL


def known_goal(goal: Cell) -> float:
    """Return per episode of the shortest path to a known goal; the largest possible."""
    return return_from(goal[0] + goal[1])


def known_goal_mean() -> float:
    """`known_goal` averaged over the 21 goals: 11.0714."""
    return float(np.mean([known_goal(g) for g in GOALS]))


def random_walk() -> float:
    """Expected return per episode of uniformly random actions, averaged over goals; exact, by the walk's occupancy."""
    at = {c: float(c == (0, 0)) for c in CELLS}
    on_goal = 0.0
    for _ in range(HORIZON):
        after = dict.fromkeys(CELLS, 0.0)
        for cell, p in at.items():
            for arrived in _reach(cell):
                after[arrived] += p / len(MOVES)
        at = after
        on_goal += sum(at[g] for g in GOALS) / len(GOALS)
    return on_goal * ON_GOAL + (HORIZON - on_goal) * ELSEWHERE


@cache
def first_episode() -> tuple[float, frozenset[frozenset[Cell]]]:
    """The Bayes-optimal first episode: its expected return, and the goal sets left unsearched by its optimal paths.

    Before success the only news is "not here", so a plan is one fixed path; it is worth, for each goal, what `return_from`
    gives at the path's first visit. Exhaustive over (cell, visited set), layer by layer, dropping what cannot catch up
    with a path already known even if every step to come opened a new cell.
    """
    worth = [0.0] + [return_from(t) - return_from(None) for t in range(1, HORIZON + 1)]  # of a first visit at t
    ahead = [sum(worth[t + 1 :]) for t in range(HORIZON + 1)]
    floor = _greedy_floor(worth)
    layer: dict[tuple[Cell, frozenset[Cell]], float] = {((0, 0), frozenset()): 0.0}
    for t in range(1, HORIZON + 1):
        grown: dict[tuple[Cell, frozenset[Cell]], float] = {}
        for (cell, seen), value in layer.items():
            for arrived in _reach(cell):
                new = arrived in GOALS and arrived not in seen
                reached = value + worth[t] if new else value
                if reached + ahead[t] < floor - 1e-9:
                    continue
                state = (arrived, seen | {arrived} if new else seen)
                grown[state] = max(grown.get(state, -np.inf), reached)
        layer = grown
    best = max(layer.values())
    left = frozenset(frozenset(GOALS) - seen for (_, seen), value in layer.items() if value > best - 1e-9)
    return best / len(GOALS) + return_from(None), left


def _greedy_floor(worth: list[float]) -> float:
    """Value of one decent path (a sweep of the edge, then inward): where the search starts to prune."""
    seen: set[str] = set()
    value = 0.0
    for cell, gain in zip("10 20 30 40 41 42 43 44 34 24 14 04 03 02 12".split(), worth[1:], strict=False):
        if (int(cell[0]), int(cell[1])) in GOALS and cell not in seen:
            value += gain
            seen.add(cell)
    return value


def bayes_optimal(episodes: int) -> list[float]:
    """Expected return of each episode under Bayes-optimal play of a whole trial; exact.

    The first episode cannot beat `first_episode`, no later one `known_goal_mean`. Both bounds are reached at once if,
    after some optimal first path, one walk passes every unsearched goal as early as it can be reached at all (at its
    distance from the start), which is checked here; then no episode needs to be sacrificed for another.
    """
    if episodes < 1:
        raise ValueError(f"episodes={episodes}: accepted is a number ≥ 1")
    first, left = first_episode()
    if not any(_on_one_shortest_path(cells) for cells in left):
        raise ArithmeticError("the two bounds are not reached together; the sum of bounds is no value")
    return [first] + [known_goal_mean()] * (episodes - 1)


def _on_one_shortest_path(cells: frozenset[Cell]) -> bool:
    """Whether one walk from (0, 0) visits each cell at its distance: sorted by distance, each lies up and right of the last."""
    chain = sorted(cells, key=sum)
    return all(a[0] <= b[0] and a[1] <= b[1] and sum(a) < sum(b) for a, b in zip(chain, chain[1:], strict=False))
