"""The report as Markdown: the same findings as sentences and tables, for a README, an issue or a pull request.

Not the page (`report.py`); pictures are not in it. Every name from a run folder is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from innerloop.evaluate.page.comparison import Group, across, cautions, groups, improvements, refusals, summaries
from innerloop.evaluate.page.findings import regret_text
from innerloop.evaluate.page.measures import Shown, of_run, of_runs
from innerloop.evaluate.page.numerals import decimal, plain
from innerloop.evaluate.page.provenance import commands
from innerloop.evaluate.page.record import Evaluation, Record, pooled
from innerloop.evaluate.page.summary import cautions as beware, comparison, headline, many, outcome, regret, unit_word
from innerloop.evaluate.page.terms import SCALED, across_definition, definition, improvement_text, percent
from innerloop.version import __version__

_POINTS = 12  # rows of a curve
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&!])")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


def markdown(records: Sequence[Record]) -> str:
    """The whole text. The same folders give the same bytes."""
    parts: list[str] = []
    if len(records) > 1:
        parts.append(f"# {len(records)} runs side by side")
        found = groups(records)
        parts += [f"> {_text(said)}" for said in refusals(records, found)]
        for group in found:
            parts += _group(group) if len(group.members) > 1 else []
        parts += _across(found)
    for record in records:
        parts += _run(record, "#" if len(records) == 1 else "##")
    parts.append(f"<sub>innerloop {__version__}, read from run folders only</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _run(record: Record, level: str) -> list[str]:
    evaluation = pooled(record)
    on = f" on {_text(record.family)}" if record.family else ""
    parts = [f"{level} {_text(record.name)}{on} ({_text(record.folder)})"]
    if evaluation is None:
        parts.append("This run has not been evaluated yet.")
    else:
        parts += [_text(headline(evaluation)), _text(comparison(evaluation) or "")]
        parts += [f"> {_text(said)}" for said in beware(evaluation)]
        parts += [_contenders(evaluation), *_measures(of_run(evaluation)), _curve(record, evaluation)]
    parts += [f"> {_text(problem)}" for problem in record.problems[:12]]
    return [*parts, _code(commands(record))]


def _contenders(evaluation: Evaluation) -> str:
    named = [("this run", evaluation.run), *((b.name, b) for b in evaluation.baselines)]
    named += [(f"oracle: {evaluation.oracle.name}", evaluation.oracle)] if evaluation.oracle else []
    found = [(name, c, value) for name, c in named if (value := outcome(c, evaluation))]
    values = [value for _, _, value in found]
    rows = [(name, decimal(value, values, reach=True), regret_text(regret(c, evaluation))) for name, c, value in found]
    last = "last point" if evaluation.unit == "gradient step" else "total"
    return _table(("", f"{last} (95 % interval)", "normalised regret"), rows)


def _curve(record: Record, evaluation: Evaluation) -> str:
    curve = evaluation.run.curve
    stride = max(1, -(-(len(curve) - 1) // (_POINTS - 1)))
    picks = curve[::-1][::stride][::-1]
    return _table((f"{unit_word(evaluation)}s", record.name), [(plain(p.x), decimal(p, curve, reach=True)) for p in picks])


def _group(group: Group) -> list[str]:
    like = [t for m in group.members if (t := outcome(m.evaluation.run, m.evaluation))]
    rows = []
    found = summaries(group)
    every = [v for s in found if s for v in (s.mean, s.iqm)]
    for m, s in zip(group.members, found, strict=True):
        total = outcome(m.evaluation.run, m.evaluation)
        row = [m.name, decimal(total, like, reach=True) if total else "–"]
        row.append(percent(group.scale.score(total)) if group.scale and total else "–")
        row += [f"{s.trainings} × {s.tasks:,}", decimal(s.iqm, every, reach=True)] if s else ["–", "–"]
        rows.append(row)
    last = "last point" if group.first.unit == "gradient step" else "total"
    heads = ("run", f"{last} (95 % interval)", "of the oracle", "trainings × tasks", "IQM of scores")
    chances = [(f"{c.x.name} over {c.y.name}", improvement_text(c)) for c in improvements(group)]
    return [
        f"## On {_text(group.setting)}",
        *(f"> {_text(said)}" for said in cautions(group)),
        _table(heads, rows),
        *_measures(of_runs([(m.name, m.evaluation) for m in group.members])),
        _text(definition(group, found)),
        _table(("in the same held-out task", "probability of improvement"), chances),
    ]


def _measures(shown: Shown | None) -> list[str]:
    return [_table(shown.heads, shown.cells), _text(shown.note)] if shown else []


def _across(found: Sequence[Group]) -> list[str]:
    scaled = [g for g in found if g.scale]
    if len(scaled) < 2:
        return []
    rows = []
    for g in scaled:
        for m in g.members:
            total = outcome(m.evaluation.run, m.evaluation)
            if g.scale and total:
                rows.append((m.name, g.setting, g.scale.oracle, percent(g.scale.score(total))))
    parts = ["## Across families", _table(("run", "on", "oracle", "of the oracle"), rows)]
    parts.append(_text(SCALED))
    together = across(found)
    if together:
        each = zip(together.methods, together.mean, together.iqm, together.gap, strict=True)
        parts += [f"### Over {many(len(together.groups), 'setting')}"]
        parts.append(_table(("method", "mean", "IQM", "optimality gap"), [(n, *map(percent, v)) for n, *v in each]))
        parts.append(_text(across_definition(together)))
    return parts


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[_text(h) for h in heads], ["---", *["---:"] * (len(heads) - 1)], *([_text(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _text(value: object) -> str:
    """Text that Markdown shows as it is: on one line, nothing in it a mark, a link or an element."""
    return _SPECIAL.sub(r"\\\1", _FORBIDDEN.sub(" ", str(value)))


def _code(lines: Sequence[str]) -> str:
    """A block of code that none of its lines can end."""
    clean = [_FORBIDDEN.sub(" ", line) for line in lines]
    longest = max((len(run) for line in clean for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}bash", *clean, fence])
