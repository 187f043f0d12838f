"""Several runs beside each other as sections of the page.

Not what is compared (`comparison.py`), nor the sections of one run (`findings.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from innerloop.evaluate.page.chart import Series, figure, whisker
from innerloop.evaluate.page.comparison import (
    Across,
    Group,
    Summary,
    across,
    cautions,
    groups,
    improvements,
    refusals,
    shared_tasks,
    summaries,
)
from innerloop.evaluate.page.findings import oracle_note, oracle_series
from innerloop.evaluate.page.markup import Markup, join, table, tag
from innerloop.evaluate.page.measures import drawn, of_runs
from innerloop.evaluate.page.multiples import multiples
from innerloop.evaluate.page.numerals import decimal, decimals_of
from innerloop.evaluate.page.provenance import heldout
from innerloop.evaluate.page.record import Interval, Record
from innerloop.evaluate.page.summary import many, outcome, unit_word
from innerloop.evaluate.page.terms import SCALED, across_definition, definition, improvement_text, percent

_TASKS = 12  # small multiples


def versus(records: Sequence[Record]) -> list[Markup]:
    """A section for every group of runs that can be compared, what cannot be, and scores across families."""
    found = groups(records)
    parts = [tag("p", said, class_="notice", role="note") for said in refusals(records, found)]
    parts += [_group(g) for g in found if len(g.members) > 1]
    beyond = _across(found)
    return [*parts, beyond] if beyond else parts


def _group(group: Group) -> Markup:
    first, word = group.first, unit_word(group.first)
    oracle, note = oracle_series(group.best), oracle_note(group.best)
    lines = [Series(m.name, m.evaluation.run.curve, f"s{m.number % 8} run") for m in group.members]
    chart = figure(
        [*lines, *([oracle] if oracle else [])],
        x=f"experience ({word}s)",
        count=f"{word}s",
        y=f"Mean return {'after that many steps' if word == 'gradient step' else f'per {word}'}",
        title=f"Adaptation curves of {len(group.members)} runs on {group.name}",
        whole=True,
    )
    totals = [outcome(m.evaluation.run, m.evaluation) for m in group.members]
    like = [t for t in totals if t]
    rows = []
    for m, total in zip(group.members, totals, strict=True):
        curve = m.evaluation.run.curve
        row = [m.name, decimal(curve[0], curve), decimal(curve[-1], curve), decimal(total, like, reach=True) if total else "–"]
        rows.append([*row, percent(group.scale.score(total)) if group.scale and total else "–"])
    heads = ("run", "first", "last", "last point" if first.unit == "gradient step" else "total", "of the oracle")
    found = summaries(group)
    parts: list[Markup | None] = [tag("p", said, class_="notice", role="note") for said in cautions(group)]
    parts += [chart, tag("p", note, class_="note") if note else None, table(heads, rows, numbers=range(1, 5)), _learning(group)]
    measured = drawn(of_runs([(m.name, m.evaluation) for m in group.members]))
    parts += [tag("h3", "Beside the return"), measured] if measured else []
    parts += [*_scores(group, found), _chances(group)]
    shared = shared_tasks(group, _TASKS)
    if shared:
        styles = [(m.name, f"s{m.number % 8}") for m in group.members]
        parts += [tag("h3", "The same held-out tasks"), multiples(shared, styles, first)]
    return tag("section", tag("h2", f"On {group.name}"), *parts)


def _learning(group: Group) -> Markup | None:
    curves = [(m, heldout(m.record)) for m in group.members]
    lines = [Series(m.name, points, f"s{m.number % 8} run") for m, points in curves if points]
    if not lines:
        return None
    chart = figure(
        lines, x="environment steps of training", count="steps", y="Held-out return during training", title="Learning curves"
    )
    said = "Bands: over the held-out tasks of one seed; of several seeds, from the least to the greatest."
    missing = [m.name for m, points in curves if not points]
    said += f" No training log: {', '.join(missing)}." if missing else ""
    return join([tag("h3", "Learning curves"), chart, tag("p", said, class_="note")])


def _scores(group: Group, found: Sequence[Summary | None]) -> list[Markup]:
    known = [(m, s) for m, s in zip(group.members, found, strict=True) if s]
    if not known:
        return []
    every = [v for _, s in known for v in (s.mean, s.iqm)]
    ends = [v for i in every for v in i if v is not None]
    rows = []
    for m, s in known:
        size = f"{s.trainings} × {s.tasks:,}"
        cells = [m.name, size, decimal(s.mean, every, reach=True), decimal(s.iqm, every, reach=True)]
        rows.append([*cells, whisker(s.iqm, min(ends), max(ends), f"s{m.number % 8}")])
    what = "score" if group.scale else "return"
    shown = table(["run", "trainings × tasks", "mean", "IQM", ""], rows, numbers=range(1, 4))
    chart = figure(
        [Series(m.name, s.profile, f"s{m.number % 8}") for m, s in known],
        x=what,
        y=f"Share of {what}s above x",
        title=f"Performance profiles on {group.name}",
        ends=False,
    )
    picks = [p.x for p in known[0][1].profile[:: max(1, len(known[0][1].profile) // 10)]]
    at = [{p.x: p for p in s.profile} for _, s in known]
    digits = decimals_of([Interval(x) for x in picks])
    profile = table(
        [f"{what}s above", *(m.name for m, _ in known)],
        [[f"{x:,.{digits}f}".replace("-", "\u2212"), *(percent(Interval(*t[x][1:])) for t in at)] for x in picks],
        numbers=range(1, 1 + len(known)),
    )
    lacking = [m.name for m, s in zip(group.members, found, strict=True) if not s]
    note = f" No results task by task: {', '.join(lacking)}." if lacking else ""
    return [
        tag("h3", "Scores over trainings and tasks"),
        shown,
        tag("p", definition(group, found) + note, class_="note"),
        tag("h3", "Performance profile"),
        chart,
        tag("details", tag("summary", "The profile in figures"), profile),
    ]


def _chances(group: Group) -> Markup:
    found = improvements(group)
    rows = []
    for one in found:
        drawn = whisker(one.chance, 0.0, 1.0, f"s{one.x.number % 8}", 0.5) if one.chance else ""
        size = f"{one.trainings} × {one.tasks:,}" if one.chance else "–"
        rows.append([f"{one.x.name} over {one.y.name}", size, improvement_text(one), drawn])
    shown = table(["", "trainings × tasks", "probability", ""], rows, numbers=range(1, 3))
    said = "That a training of the one does better than a training of the other in the same held-out task; a tie counts half. "
    said += "50\u00a0% (dotted): neither is better. Intervals as above."
    return join([tag("h3", "Probability of improvement"), shown, tag("p", said, class_="note")])


def _across(found: Sequence[Group]) -> Markup | None:
    scaled = [g for g in found if g.scale]
    if len(scaled) < 2:
        return None
    rows, values = [], []
    for g in scaled:
        for m in g.members:
            total = outcome(m.evaluation.run, m.evaluation)
            if g.scale and total:
                values.append((m, g.scale.score(total)))
                rows.append([m.name, g.setting, g.scale.oracle, percent(values[-1][1])])
    ends = [0.0, 1.0, *(v for _, i in values for v in i if v is not None)]
    rows = [
        [*row, whisker(i, min(ends), max(ends), f"s{m.number % 8}", 1.0)] for row, (m, i) in zip(rows, values, strict=True)
    ]  # fmt: skip
    parts = [
        tag("h2", "Across families"),
        table(["run", "on", "oracle", "of the oracle", ""], rows, numbers=[3]),
        tag("p", SCALED, class_="note"),
    ]
    together = across(found)
    if together:
        parts += [tag("h3", f"Over {many(len(together.groups), 'setting')}"), _together(together)]
    return tag("section", *parts)


def _together(found: Across) -> Markup:
    each = zip(found.methods, found.mean, found.iqm, found.gap, strict=True)
    rows = [(name, *map(percent, values)) for name, *values in each]
    shown = table(["method", "mean", "IQM", "optimality gap"], rows, numbers=range(1, 4))
    return join([shown, tag("p", across_definition(found), class_="note")])
