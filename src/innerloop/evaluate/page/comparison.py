"""Several runs beside each other: which of them can be compared, on what scale, and what their scores say.

Not the drawing of it (`versus.py` as HTML, `markdown.py`, `evaluate/figure.py`). Runs are compared where family, unit of
experience, length of the trial and split are the same; across families only as scores between a random policy and the oracle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from innerloop.evaluate.page.record import Evaluation, Interval, Point, Record, pooled
from innerloop.evaluate.page.scores import Scale, by_training, paired, scale, table
from innerloop.evaluate.page.summary import many, outcome, unit_word

if TYPE_CHECKING:
    import numpy as np

THRESHOLDS = 41  # of a profile
FEW = 10  # trainings below which an interval is preliminary


class Member(NamedTuple):
    """One run among those it can be compared with; `number`: its place among all runs, which gives its colour."""

    number: int
    name: str
    record: Record
    evaluation: Evaluation


class Summary(NamedTuple):
    """Of one run's scores: how many, their mean and interquartile mean, and the profile (share of scores above each x)."""

    trainings: int
    tasks: int
    mean: Interval
    iqm: Interval
    profile: tuple[Point, ...]


class Improvement(NamedTuple):
    """Probability that `x` does better than `y` in the same held-out task; None where they were not measured in the same."""

    x: Member
    y: Member
    chance: Interval | None
    trainings: int
    tasks: int


@dataclass(frozen=True)
class Group:
    """Runs whose returns can be compared."""

    members: tuple[Member, ...]
    scale: Scale | None

    @property
    def first(self) -> Evaluation:
        return self.members[0].evaluation

    @property
    def name(self) -> str:
        return self.members[0].record.family or "the same tasks"

    @property
    def best(self) -> Evaluation:
        """The evaluation whose oracle is drawn: the highest, or the first where none is known."""
        known = [m.evaluation for m in self.members if m.evaluation.oracle]
        totals = [e.oracle.total.mean if e.oracle and e.oracle.total else -math.inf for e in known]
        return known[totals.index(max(totals))] if known else self.first

    @property
    def setting(self) -> str:
        """Family, length of the trial, and split where it is not the test split."""
        split = str(self.first.facts.get("split") or "test")
        where = "" if split == "test" else f", {split} split"
        return f"{self.name} ({many(len(self.first.run.curve), unit_word(self.first))}{where})"


@dataclass(frozen=True)
class Across:
    """Scores of methods over settings that all of them have been measured in."""

    groups: tuple[Group, ...]
    methods: tuple[str, ...]
    trainings: int
    mean: tuple[Interval, ...]
    iqm: tuple[Interval, ...]
    gap: tuple[Interval, ...]


def groups(records: Sequence[Record]) -> list[Group]:
    """The runs that have been evaluated, those that can be compared together, in the order given."""
    found: dict[tuple[object, ...], list[tuple[int, Record, Evaluation]]] = {}
    for i, record in enumerate(records):
        evaluation = pooled(record)
        if evaluation:
            split = str(evaluation.facts.get("split") or "test")
            key = (record.family, evaluation.unit, len(evaluation.run.curve), split)
            found.setdefault(key, []).append((i, record, evaluation))
    made = []
    for members in found.values():
        names = [r.name for _, r, _ in members]
        once = {name for name in names if names.count(name) == 1}
        named = [Member(i, r.name if r.name in once else f"{r.name} ({r.folder})", r, e) for i, r, e in members]
        made.append(Group(tuple(named), scale([e for _, _, e in members])))
    return made


def refusals(records: Sequence[Record], found: Sequence[Group]) -> list[str]:
    """Sentences: what is not compared, and why."""
    said = [f"{r.name} ({r.folder}) has not been evaluated, and is compared with nothing." for r in records if not pooled(r)]
    if len(found) > 1:
        kinds = "; ".join(f"{', '.join(m.name for m in g.members)} on {g.setting}" for g in found)
        said.append(
            "Returns are compared only where family, unit of experience, length of the trial and split are the same. "
            f"These are not compared with each other: {kinds}."
        )
        lacking = [g for g in found if g.scale is None]
        if len(found) - len(lacking) > 1:
            said[-1] += " Where oracle and random policy are known, scores between the two stand under “Across families”."
        if lacking:
            said.append(
                "Not as scores either: an oracle, or a random policy below it, is not known for "
                + "; ".join(g.setting for g in lacking)
                + "."
            )
    return said


def cautions(group: Group) -> list[str]:
    """What differs between runs that are compared nevertheless."""
    said = []
    for fact, what in (("policy", "policies"), ("interaction", "environment steps in a unit of experience")):
        values = [m.evaluation.facts.get(fact) for m in group.members]
        known = [v for v in values if v is not None]
        if len({str(v) for v in known}) > 1:
            each = ", ".join(f"{m.name}: {v}" for m, v in zip(group.members, values, strict=True) if v is not None)
            said.append(f"The runs differ in their {what} ({each}).")
    oracles = {m.evaluation.oracle.name for m in group.members if m.evaluation.oracle}
    if len(oracles) > 1 and group.scale:
        said.append(f"The runs name different oracles; scores are taken to the highest, {group.scale.oracle}.")
    return said


def summaries(group: Group) -> list[Summary | None]:
    """One a member; None where it lists no task by itself. Scores are raw outcomes where there is no scale."""
    import numpy as np

    from innerloop.evaluate.aggregates import iqm, nested, profile

    scores = [_scaled(table(by_training(m.evaluation)), group.scale) for m in group.members]
    enough = [s for s in scores if s.size > 1]
    if not enough:
        return [None for _ in scores]
    marks = np.linspace(min(s.min() for s in enough), max(s.max() for s in enough), THRESHOLDS)
    said: list[Summary | None] = []
    for s in scores:
        if s.size < 2:
            said.append(None)
            continue
        found = nested([s], lambda x: np.concatenate([[x.mean(), iqm(x)], profile(x, marks)]))
        mean, middle, *shares = (Interval(*map(float, v)) for v in zip(found.mean, found.lo, found.hi, strict=True))
        curve = tuple(Point(float(x), *share) for x, share in zip(marks, shares, strict=True))
        said.append(Summary(*s.shape, mean, middle, curve))
    return said


def improvements(group: Group) -> list[Improvement]:
    """Each pair of members, the later run against the earlier."""
    import numpy as np

    from innerloop.evaluate.aggregates import nested

    def chance(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean((x > y) + 0.5 * (x == y)))

    found = []
    for j, y in enumerate(group.members):
        for x in group.members[j + 1 :]:
            pair = paired(x.evaluation, y.evaluation)
            if pair is None:
                found.append(Improvement(x, y, None, 0, 0))
                continue
            arrays = [np.array(rows) for rows in pair]
            got = nested(arrays, chance)
            found.append(Improvement(x, y, Interval(float(got.mean), float(got.lo), float(got.hi)), *arrays[0].shape))
    return found


def shared_tasks(group: Group, count: int) -> list[tuple[str, list[tuple[float, ...]]]]:
    """The first tasks that all members list, each with what it is and every member's returns; empty where they list others."""
    lists = [m.evaluation.per_task for m in group.members]
    if not all(lists) or len({tuple((t.task, t.params) for t in tasks[:count]) for tasks in lists}) > 1:
        return []
    return [(found[0].params or found[0].task, [t.returns for t in found]) for found in zip(*lists, strict=False)][:count]


def across(found: Sequence[Group]) -> Across | None:
    """Methods, by the name of their recipe, over all settings that have a scale and several runs, each of another recipe; None
    where fewer than two methods or settings are left. The score of a training in a setting is its mean over held-out tasks; of
    a run that says nothing of its single trainings there is one, their mean."""
    import numpy as np

    from innerloop.evaluate.aggregates import iqm, optimality_gap, stratified, stratified_iqm

    settings = [g for g in found if g.scale and len({m.record.name for m in g.members}) == len(g.members) > 1]
    names = dict.fromkeys(m.record.name for g in settings for m in g.members)
    methods = [n for n in names if all(any(m.record.name == n for m in g.members) for g in settings)]
    if len(settings) < 2 or len(methods) < 2:
        return None
    tables = {}
    for name in methods:
        columns = []
        for g in settings:
            (member,) = (m for m in g.members if m.record.name == name)
            rows = _scaled(table(by_training(member.evaluation)), g.scale)
            total = outcome(member.evaluation.run, member.evaluation)
            one = [g.scale.score(total).mean] if g.scale and total else [0.0]
            columns.append(rows.mean(1) if len(rows) > 1 else np.array(one))
        least = min(map(len, columns))
        tables[name] = np.stack([c[:least] for c in columns], 1)  # [trainings, settings]
    mean, middle, gap = [], [], []
    for scores in tables.values():
        if len(scores) < 2:
            mean.append(Interval(float(scores.mean())))
            middle.append(Interval(iqm(scores)))
            gap.append(Interval(optimality_gap(scores)))
        else:
            both = stratified([scores], lambda x: np.array([x.mean(), optimality_gap(x)]))
            m, g = (Interval(*map(float, v)) for v in zip(both.mean, both.lo, both.hi, strict=True))
            mean.append(m)
            gap.append(g)
            middle.append(Interval(*map(float, stratified_iqm(scores)[:3])))
    least = min(map(len, tables.values()))
    return Across(tuple(settings), tuple(methods), least, tuple(mean), tuple(middle), tuple(gap))


def _scaled(rows: Sequence[Sequence[float]], by: Scale | None) -> np.ndarray:
    import numpy as np

    values = np.array(rows, np.float64).reshape(len(rows), -1)
    return values if by is None else (values - by.zero) / (by.one - by.zero)
