"""Bandit strategies that know the law of the arms, simulated on many tasks at once.

Not learned policies, and not the optimum's exact value (`gittins.py`).

Every strategy scores each arm and pulls the first arm of the highest score. Arms are U(0, 1); a strategy sees successes
and failures only. The expected reward p of the pulled arm is recorded in place of the reward drawn (Rao-Blackwell), and
means are regressed on a task's success probabilities and their order statistics, whose expectations 1/2 and i / (k + 1)
are known (control variates: n · max p is among them).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats

from innerloop.evaluate.gittins import index_table
from innerloop.evaluate.statistics import LEVEL, Interval

# (rng, successes int [B, k], failures int [B, k], pulls so far, pulls in all) → scores [B, k]
Strategy = Callable[[np.random.Generator, np.ndarray, np.ndarray, int, int], np.ndarray]

_BATCH = 20_000


def gittins(n: int) -> Strategy:
    """Finite-horizon Gittins indices: within noise of Bayes-optimal, and exactly so for one arm against a fixed fee."""
    table = index_table(n)

    def score(rng: np.random.Generator, wins: np.ndarray, losses: np.ndarray, t: int, n: int) -> np.ndarray:
        return table[n - t].ravel().take(wins * (n + 1) + losses)

    return score


def thompson(rng: np.random.Generator, wins: np.ndarray, losses: np.ndarray, t: int, n: int) -> np.ndarray:
    """Thompson sampling: one draw from each arm's posterior Beta(1 + s, 1 + f)."""
    return rng.beta(wins + 1.0, losses + 1.0)


def greedy(rng: np.random.Generator, wins: np.ndarray, losses: np.ndarray, t: int, n: int) -> np.ndarray:
    """The highest posterior mean (s + 1) / (s + f + 2)."""
    return (wins + 1.0) / (wins + losses + 2.0)


def ucb1(rng: np.random.Generator, wins: np.ndarray, losses: np.ndarray, t: int, n: int) -> np.ndarray:
    """UCB1 as published (Auer et al. 2002): each arm once, then empirical mean + √(2 ln t / pulls of the arm)."""
    pulls = wins + losses
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = wins / pulls + np.sqrt(2.0 * np.log(max(t, 1)) / pulls)
    return np.where(pulls == 0, np.inf, bound)


def tuned_ucb1(c: float) -> Strategy:
    """UCB1 with a U(0, 1) prior and a tuned bonus: posterior mean + c √(2 ln(t + 1) / (pulls of the arm + 2))."""

    def score(rng: np.random.Generator, wins: np.ndarray, losses: np.ndarray, t: int, n: int) -> np.ndarray:
        counts = wins + losses + 2.0
        return (wins + 1.0) / counts + c * np.sqrt(2.0 * np.log(t + 1.0) / counts)

    return score


def simulate(strategy: Strategy, n: int, k: int, instances: int, seed: int = 0) -> tuple[Interval, Interval]:
    """Play `strategy` on fresh tasks.

    Args:
        n, k: pulls and arms.
        instances: tasks; more than 2k + 1 (the regression has 2k − 1 controls).
        seed: of tasks, rewards and strategy.

    Returns:
        Mean expected reward at each pull [n], and of the total, with 95 % intervals over tasks.
    """
    if n < 1 or k < 1 or instances < 2 * k + 2:
        raise ValueError(f"simulate(n={n}, k={k}, instances={instances}): accepted are n ≥ 1, k ≥ 1 and instances ≥ 2k + 2")
    rng = np.random.default_rng(seed)
    expected = np.concatenate([np.full(k, 0.5), np.arange(2, k + 1) / (k + 1)])
    d = expected.size
    sums = np.zeros(n + 1), np.zeros(n + 1), np.zeros(d), np.zeros((d, d)), np.zeros((d, n + 1))
    left = instances
    while left:
        size = min(left, _BATCH)
        left -= size
        p = rng.random((size, k))
        x = _play(strategy, rng, p, n)
        c = np.concatenate([p, np.sort(p, axis=1)[:, 1:]], axis=1) - expected
        for total, part in zip(sums, (x.sum(0), (x * x).sum(0), c.sum(0), c.T @ c, c.T @ x), strict=True):
            total += part
    mean_x, mean_xx, mean_c, mean_cc, mean_cx = (s / instances for s in sums)
    cov = mean_cx - np.outer(mean_c, mean_x)
    beta = np.linalg.solve(mean_cc - np.outer(mean_c, mean_c), cov)
    variance = np.maximum(mean_xx - mean_x**2 - np.sum(beta * cov, axis=0), 0.0)
    mean = mean_x - mean_c @ beta
    half = scipy.stats.norm.ppf(0.5 + LEVEL / 2) * np.sqrt(variance / (instances - d - 1))
    lo, hi = mean - half, mean + half
    return Interval(mean[:n], lo[:n], hi[:n], "tasks"), Interval(mean[n], lo[n], hi[n], "tasks")


def _play(strategy: Strategy, rng: np.random.Generator, p: np.ndarray, n: int) -> np.ndarray:
    """Expected reward at each pull and, last, in total [B, n + 1] of one trial in tasks p [B, k]."""
    wins, losses = np.zeros(p.shape, np.int64), np.zeros(p.shape, np.int64)
    rows = np.arange(p.shape[0])
    x = np.empty((p.shape[0], n + 1))
    for t in range(n):
        arm = np.argmax(strategy(rng, wins, losses, t, n), axis=1)
        x[:, t] = p[rows, arm]
        won = rng.random(rows.size) < x[:, t]
        wins[rows, arm] += won
        losses[rows, arm] += ~won
    x[:, n] = x[:, :n].sum(axis=1)
    return x
