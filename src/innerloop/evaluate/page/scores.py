"""Outcomes of a run by training and held-out task, and the scale on which runs of other families can stand beside them.

Not their statistics (`evaluate/aggregates.py`). An *outcome* is what a table compares runs by: the return summed over the
trial, or after the last gradient step. A *score* is an outcome on a scale where a random policy has 0 and the oracle 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from innerloop.evaluate.page.record import Evaluation, Interval, number
from innerloop.evaluate.page.summary import outcome

Table = list[list[float]]  # [trainings][tasks]


class Outcomes(NamedTuple):
    """Of one training: an outcome per task, None where the task gave none, and a name for these tasks in this order."""

    values: tuple[float | None, ...]
    drawn: str


class Scale(NamedTuple):
    """Two totals, both taken as exact: that of a random policy, which is 0, and that of the oracle, which is 1."""

    zero: float
    one: float
    oracle: str

    def score(self, value: Interval) -> Interval:
        """An outcome with its interval as a score."""
        mean, lo, hi = (None if v is None else (v - self.zero) / (self.one - self.zero) for v in value)
        return Interval(mean or 0.0, lo, hi)


def by_training(evaluation: Evaluation) -> list[Outcomes]:
    """What `innerloop evaluate` kept of each training; of an older evaluation the tasks that it lists, all of one training."""
    found = evaluation.facts.get("scores")
    read = [o for item in found if (o := _outcomes(item))] if isinstance(found, list) else []
    if read and len(read) == len(found if isinstance(found, list) else ()):
        return read
    listed = of_listed(evaluation)
    return [listed] if listed else []


def of_listed(evaluation: Evaluation) -> Outcomes | None:
    """The outcomes of the tasks listed one by one."""
    if not evaluation.per_task:
        return None
    last = evaluation.unit == "gradient step"
    values = tuple(t.returns[-1] if last else sum(t.returns) for t in evaluation.per_task)
    said = "\n".join(f"{t.task} {t.params}" for t in evaluation.per_task)
    return Outcomes(values, hashlib.sha256(said.encode("utf-8", "replace")).hexdigest())


def table(outcomes: Sequence[Outcomes]) -> Table:
    """[trainings][tasks], as many tasks of each training."""
    whole = [[v for v in o.values if v is not None] for o in outcomes]
    least = min(map(len, whole), default=0)
    return [row[:least] for row in whole] if least else []


def paired(x: Evaluation, y: Evaluation) -> tuple[Table, Table] | None:
    """Outcomes of two runs in the same tasks, row by row and column by column; None where they were measured in others."""
    tried = [(by_training(x), by_training(y))]
    listed = of_listed(x), of_listed(y)
    if listed[0] and listed[1]:
        tried.append(([listed[0]], [listed[1]]))
    for ours, theirs in tried:
        rows = [(a, b) for a, b in zip(ours, theirs, strict=False) if a.drawn == b.drawn and len(a.values) == len(b.values)]
        if not rows:
            continue
        both = [[(p, q) for p, q in zip(*(o.values for o in row), strict=True) if None not in (p, q)] for row in rows]
        least = min(map(len, both))
        if least > 1:
            return [[p or 0.0 for p, _ in row[:least]] for row in both], [[q or 0.0 for _, q in row[:least]] for row in both]
    return None


def scale(evaluations: Sequence[Evaluation]) -> Scale | None:
    """One scale for runs on the same tasks: the first random policy's total, and the highest of their oracles'; None where one
    of them is not known, or nothing lies between."""
    randoms = [o.mean for e in evaluations for b in e.baselines if re.match("random", b.name, re.I) and (o := outcome(b, e))]
    oracles = [(e.oracle.total.mean, e.oracle.name) for e in evaluations if e.oracle and e.oracle.total]
    if not randoms or not oracles:
        return None
    one, name = max(oracles)
    return Scale(randoms[0], one, name) if one - randoms[0] > 1e-9 * max(abs(one), abs(randoms[0]), 1e-9) else None


def _outcomes(item: object) -> Outcomes | None:
    values = item.get("outcomes") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(values, list):
        return None
    read = tuple(number(v) for v in values)
    return Outcomes(read, str(item.get("drawn"))) if any(v is not None for v in read) else None
