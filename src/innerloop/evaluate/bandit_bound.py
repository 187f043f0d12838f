"""Upper bounds on what any policy can earn from n pulls of k U(0, 1) Bernoulli arms.

Not a policy's value (`gittins.py`, `bandit_strategies.py`). Two relaxations, good at many arms and at few:

* `lagrangian`: a policy pulls one arm at each pull. Let it pull any number, itself to choose, at a price λ_t for each arm
  pulled at t, and give it Σ_t λ_t: every policy of the real problem earns in this one what it earned, so the best of this one
  earns no less, whatever λ (Whittle 1988; Adelman and Mersereau 2008). The arms no longer share anything: the bound is
  Σ_t λ_t + k W(λ), where W(λ) is one arm's value under optimal pulling at these prices, an exact dynamic programme. It is
  convex in λ; a search for the least that stops early is loose and still sound.
* `foreseen`: paying the mean of an arm given what was seen of it, in place of its rewards, changes no policy's expectation. Let
  the policy then foresee all rewards: it can but choose how often to pull each arm, and the best such choice is no less (the
  bound IRS.V-Zero of Min, Maglaras and Moallemi 2019). Simulated: the upper end of a one-sided 99.9 % interval.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.stats

_BATCH = 500


def one_arm(prices: np.ndarray) -> tuple[float, np.ndarray]:
    """One U(0, 1) arm that may be pulled at pull t for a price.

    Args:
        prices: λ [n].

    Returns:
        Its value W(λ) under optimal pulling, and with what probability it is pulled at each pull [n], minus the gradient.
    """
    n = len(prices)
    s, f = np.indices((n, n))
    mean = (s + 1.0) / (s + f + 2.0)
    value, pulls = np.zeros((n + 1, n + 1)), []
    for t in reversed(range(n)):  # at pull t an arm has at most t successes and t failures
        size, p = t + 1, mean[: t + 1, : t + 1]
        pulled = value[1 : size + 1, :size] - value[:size, 1 : size + 1]
        pulled += 1.0
        pulled *= p
        pulled += value[:size, 1 : size + 1]
        pulled -= prices[t]
        rest = value[:size, :size]
        pulls.append(pulled > rest)
        value = np.maximum(pulled, rest, out=pulled)
    at, chance = np.ones((1, 1)), np.empty(n)
    for t, pull in enumerate(reversed(pulls)):
        size = t + 1
        moved = at * pull
        chance[t] = moved.sum()
        after = np.zeros((size + 1, size + 1))
        after[:size, :size] = at - moved
        won = moved * mean[:size, :size]
        after[1:, :size] += won
        after[:size, 1:] += moved - won
        at = after
    return float(value[0, 0]), chance


def lagrangian(n: int, k: int, evaluations: int = 80) -> float:
    """The least bound that a quasi-Newton search over prices finds, on n pulls of k arms; sound wherever it stops.

    Args:
        n, k: pulls and arms.
        evaluations: dynamic programmes at most; each takes time and memory as n³.
    """
    if n < 1 or k < 1:
        raise ValueError(f"lagrangian(n={n}, k={k}): accepted are n ≥ 1 and k ≥ 1")

    def bound(prices: np.ndarray) -> tuple[float, np.ndarray]:
        value, chance = one_arm(prices)
        found.append(float(prices.sum() + k * value))
        return found[-1], 1.0 - k * chance

    found: list[float] = []
    start = np.full(n, k / (k + 1))
    scipy.optimize.minimize(bound, start, jac=True, method="L-BFGS-B", options={"maxfun": evaluations, "maxcor": 20})
    return min(found)


def foreseen(n: int, k: int, instances: int, seed: int = 0) -> float:
    """What is earned with all rewards foreseen and posterior means paid, on n pulls of k arms.

    The largest success probability, whose expectation is k / (k + 1), stands as control variate.
    """
    if n < 1 or k < 1 or instances < 2:
        raise ValueError(f"foreseen(n={n}, k={k}, instances={instances}): accepted are n ≥ 1, k ≥ 1 and instances ≥ 2")
    rng = np.random.default_rng(seed)
    sizes = [_BATCH] * (instances // _BATCH) + [instances % _BATCH] * bool(instances % _BATCH)
    found = np.concatenate([_foreseen(rng, n, k, size) for size in sizes]) + n * k / (k + 1)
    return float(found.mean() + scipy.stats.norm.ppf(0.999) * found.std(ddof=1) / np.sqrt(instances))


def _foreseen(rng: np.random.Generator, n: int, k: int, size: int) -> np.ndarray:
    """In fresh tasks [size], less n times their largest success probability."""
    largest = np.zeros((size, 1))
    best = np.zeros((size, n + 1))  # of 0, 1, …, n pulls of the arms so far
    for arm in range(k):
        p = rng.random((size, 1))
        largest = np.maximum(largest, p)
        wins = np.cumsum(rng.random((size, n)) < p, axis=1) - 0.0
        mean = np.concatenate([np.full((size, 1), 0.5), (wins[:, :-1] + 1.0) / (np.arange(1, n) + 2.0)], axis=1)
        gained = np.concatenate([np.zeros((size, 1)), np.cumsum(mean, axis=1)], axis=1)
        if arm == 0:
            best = gained
            continue
        grown = best.copy()
        for pulls in range(1, n + 1):
            np.maximum(grown[:, pulls:], best[:, : n + 1 - pulls] + gained[:, pulls, None], out=grown[:, pulls:])
        best = grown
    return best[:, n] - n * largest[:, 0]
