"""Dark rooms: values of the known goal, of the random walk and of a systematic search, and a bound on every search.

Not the environments (`tasks/dark_room.py`, whose definition this follows and whose goals it is given). The Bayes-optimal trial
is out of exact reach here: what matters is the set of cells searched, and there are too many. A search and a bound enclose it.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize

MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))  # stay, up, right, down, left

Cell = tuple[int, int]


def _distance(side: int) -> np.ndarray:
    """Steps from the centre to each cell, [side, side]."""
    away = np.abs(np.arange(side) - side // 2)
    return away[:, None] + away[None, :]


def reward_from(arrival: np.ndarray, horizon: int, again: bool) -> np.ndarray:
    """Return of an episode that first stands on the goal after step `arrival` (1, 2, …) and stays; 0 beyond the horizon."""
    paid = np.maximum(horizon + 1 - arrival, 0)
    return (paid if again else np.minimum(paid, 1)).astype(float)


def known_goal(side: int, horizon: int, again: bool) -> np.ndarray:
    """Return per episode of the shortest way to a known goal, for each cell [side, side]."""
    return reward_from(np.maximum(_distance(side), 1), horizon, again)


def walk(side: int) -> np.ndarray:
    """The law of one uniformly random move, walls holding: P(cell' | cell), [side², side²]; cells are x · side + y."""
    law = np.zeros((side * side, side * side))
    for x in range(side):
        for y in range(side):
            for dx, dy in MOVES:
                to = min(max(x + dx, 0), side - 1), min(max(y + dy, 0), side - 1)
                law[x * side + y, to[0] * side + to[1]] += 1.0 / len(MOVES)
    return law


def first_visits(side: int, horizon: int) -> np.ndarray:
    """P(the random walk from a cell first enters a goal after step t), [horizon + 1, cells, goals]; row 0 is zero."""
    law = walk(side)
    visits = np.zeros((horizon + 1, side * side, side * side))
    visits[1] = law
    for t in range(2, horizon + 1):
        visits[t] = law @ (visits[t - 1] * ~np.eye(side * side, dtype=bool))  # no visit before
    return visits


def random_walk(side: int, horizon: int, again: bool) -> np.ndarray:
    """Expected return per episode of uniformly random actions, for each goal [side, side]; exact."""
    centre = side * side // 2
    if again:
        at, found, law = np.eye(side * side)[centre], np.zeros(side * side), walk(side)
        for _ in range(horizon):
            at = at @ law
            found += at
    else:
        found = first_visits(side, horizon)[:, centre].sum(0)
    return found.reshape(side, side)


def random_key_to_door(side: int, horizon: int, pairs: np.ndarray) -> np.ndarray:
    """Expected return per episode of uniformly random actions from a random cell, for keys and doors [n, 2, 2]; exact."""
    visits = first_visits(side, horizon)
    key, door = (pairs[:, i, 0] * side + pairs[:, i, 1] for i in range(2))
    taken = visits.mean(1)[:, key]  # [horizon + 1, n], at which step
    reached = visits.cumsum(0)[:, key, door]  # within how many steps after it
    reached = np.where(key == door, 1.0, reached)
    return taken.sum(0) + np.sum(taken * reached[::-1], axis=0)


def sweeps(side: int, horizon: int, width: int = 400) -> list[list[Cell]]:
    """Walks from the centre, one an episode, that together enter every cell: a beam search for the most new cells in each.

    A cell counts a little more the further it lies, for near ones are passed on the way anyhow; how much more is chosen so
    that cells are found early over the whole search.
    """
    plans = [_sweeps(side, horizon, width, tilt) for tilt in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)]
    return min(plans, key=lambda plan: sum(found[0] for found in arrivals(side, plan).values()))


def _sweeps(side: int, horizon: int, width: int, tilt: float) -> list[list[Cell]]:
    worth = 1.0 + tilt * _distance(side)
    left = {(x, y) for x in range(side) for y in range(side)}
    plan: list[list[Cell]] = []
    while left:
        centre = (side // 2, side // 2)
        beam: list[tuple[float, list[Cell], frozenset[Cell]]] = [(0.0, [centre], frozenset())]
        for _ in range(horizon):
            grown: dict[tuple[Cell, frozenset[Cell]], tuple[float, list[Cell], frozenset[Cell]]] = {}
            for value, path, seen in beam:
                for dx, dy in MOVES:
                    cell = path[-1][0] + dx, path[-1][1] + dy
                    if not (0 <= cell[0] < side and 0 <= cell[1] < side):
                        continue
                    new = cell in left and cell not in seen
                    now = seen | {cell} if new else seen
                    reached = value + worth[cell] if new else value
                    if (cell, now) not in grown or grown[cell, now][0] < reached:
                        grown[cell, now] = (reached, [*path, cell], now)
            beam = sorted(grown.values(), key=lambda item: -item[0])[:width]
        plan.append(beam[0][1][1:])
        left -= beam[0][2]
    return plan


def arrivals(side: int, plan: list[list[Cell]]) -> dict[Cell, tuple[int, int]]:
    """For each cell the episode (from 0) and the step (from 1) in which a plan first enters it."""
    found: dict[Cell, tuple[int, int]] = {}
    for episode, path in enumerate(plan):
        for t, cell in enumerate(path, 1):
            found.setdefault(cell, (episode, t))
    assert len(found) == side * side
    return found


def search(side: int, horizon: int, again: bool, episodes: int) -> np.ndarray:
    """Return of each episode, for each goal: `sweeps` until it is found, then the known goal; [side, side, episodes]."""
    known = known_goal(side, horizon, again)
    returns = np.zeros((side, side, episodes))
    for (x, y), (episode, t) in arrivals(side, sweeps(side, horizon)).items():
        if episode < episodes:
            returns[x, y, episode] = reward_from(np.asarray(t), horizon, again)
            returns[x, y, episode + 1 :] = known[x, y]
    return returns


def bound(side: int, horizon: int, again: bool, episodes: int) -> float:
    """What no policy's expected return over a trial exceeds if the goal is any cell with equal probability.

    Before success the only news is "not here", so a deterministic policy is a fixed walk, which first enters each cell in one
    episode e at one step t, at most one new cell at a time, and none before its distance. Of all ways to give cells such
    (e, t), walks or not, the best is found as an assignment; it is worth the rest of episode e and the known goal after.
    """
    known, far = known_goal(side, horizon, again).ravel(), _distance(side).ravel()
    episode, t = (x.ravel() for x in np.meshgrid(np.arange(episodes), np.arange(1, horizon + 1), indexing="ij"))
    value = reward_from(t, horizon, again)[None] + known[:, None] * (episodes - 1 - episode)[None]
    value = np.where(t[None] >= far[:, None], value, 0.0)
    cells, slots = scipy.optimize.linear_sum_assignment(value, maximize=True)
    return float(value[cells, slots].sum() / side**2)
