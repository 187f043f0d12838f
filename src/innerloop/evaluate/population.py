"""What a choice among several inner models is measured against: each of them by itself, in the same tasks.

Not the choice. Known by the contract alone: `Inner.population`, `alone`, `rivals`, and the `Choice` in a decision's extras.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.stats
from jax import Array

from innerloop.core import Choice, Inner, World, replay
from innerloop.evaluate.adaptation import Evaluator, totals
from innerloop.evaluate.statistics import LEVEL, Interval, over_seeds
from innerloop.tasks.family import Family

STREAMS = 16  # lives of each member in each task, twice: to find out which is best there, and what that one is worth


class Rivals(NamedTuple):
    """Of one seed."""

    returns: dict[str, np.ndarray]  # [tasks, units] of each rival
    best: np.ndarray  # [tasks]: total of the member that is best there
    members: np.ndarray  # [P, tasks]: totals
    agreement: dict[str, float]  # of predictions with what the members earned


def rivals(
    inner: Inner[Any, Any],
    meta: Any,
    family: Family,
    world: World,
    unit: str,
    tasks: int,
    key: Array,
    stochastic: bool,
) -> Rivals:
    """Measure all rivals in the tasks that `key` draws."""

    def returns(inner: Inner[Any, Any], meta: Any, again: int = 0) -> np.ndarray:
        return evaluator(inner)(meta, tasks, key, again)[0]

    def evaluator(inner: Inner[Any, Any]) -> Evaluator:
        return Evaluator(inner, family, world, unit, stochastic=stochastic)

    found = {name: returns(other, meta) for name, other in inner.rivals().items()}
    p = inner.population
    one = inner.alone(meta, 0)[0]
    many = evaluator(one.with_plan(inner.plan._replace(streams=STREAMS)))
    metas = [inner.alone(meta, k)[1] for k in range(p)]
    first, second = (np.stack([many(one, tasks, key, again)[0] for one in metas]) for again in (1, 2))  # [P, tasks, units]
    if getattr(inner, "generalist", False):
        found["generalist"] = returns(*inner.alone(meta, p))
    worth = np.stack([[totals(r, unit) for r in half] for half in (first, second)])  # [2, P, tasks]
    known = np.argmax(worth[0], 0)
    found["known-task"] = second[known, np.arange(tasks)]
    members = worth.mean(0)
    agreement = _agreement(inner, meta, family, world, members, first.shape[2], tasks, key)
    return Rivals(found, members.max(0), members, agreement)


def score(total: np.ndarray, single: np.ndarray, best: np.ndarray) -> Interval:
    """(total − single best) / (best of the population − single best), each [seeds, tasks]: over seeds, or, of one seed, over
    tasks by the bootstrap (a ratio of means)."""
    each = (total.mean(1) - single.mean(1)) / (best.mean(1) - single.mean(1))
    if len(each) > 1:
        return over_seeds(each[:, None].repeat(2, 1))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, total.shape[1], (2000, total.shape[1]))
    t, s, b = (x[0][rows].mean(1) for x in (total, single, best))
    lo, hi = np.quantile((t - s) / (b - s), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(each[0], lo, hi, "tasks")


def _agreement(
    inner: Inner[Any, Any],
    meta: Any,
    family: Family,
    world: World,
    members: np.ndarray,
    units: int,
    tasks: int,
    key: Array,
) -> dict[str, float]:
    """Predictions at the end of a trial beside what members earned there: rank correlation, how often the best is foretold, and
    in what share of cases the mean of a member's returns lies within the 90 % interval of the heads' disagreement and noise."""
    count = min(tasks, 1000)
    key_tasks, key_lives = jax.random.split(jax.random.fold_in(key, 0))
    size = min(4096, tasks)
    drawn = jax.tree.map(lambda x: x[:count], family.sample(key_tasks, size))
    lives = world.live(inner, meta, drawn, key_lives, learn_last=False)[0]

    def last(life: Any) -> Any:
        choice = replay(inner, meta, life, every=False)[0].extras
        assert isinstance(choice, Choice)
        return jax.tree.map(lambda x: x[0, -1, 0], choice.prediction)  # [P, K] at the last step of the first stream

    said = jax.tree.map(lambda x: np.asarray(x).mean(-1), jax.jit(jax.vmap(last))(lives))  # [tasks, P]
    truth = members[:, :count].T / units
    rank = [
        scipy.stats.spearmanr(a, b).statistic for a, b in zip(said.mean, truth, strict=True) if np.ptp(a) > 0 and np.ptp(b) > 0
    ]
    deviation = np.sqrt(said.doubt**2 + said.noise**2)
    within = np.abs(truth - said.mean) <= scipy.stats.norm.ppf(0.95) * deviation
    top = np.argmax(said.mean, 1) == np.argmax(truth, 1)
    return {
        "rank_correlation": float(np.mean(rank)) if rank else 0.0,
        "best_foretold": float(top.mean()),
        "coverage_of_90": float(within.mean()),
    }
