"""What a family is judged by beside the return, run and baselines in one table.

Not the measuring (`evaluate/adaptation.py`). Read from `measures` of evaluation.json, leniently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from innerloop.evaluate.page.markup import Markup, join, table, tag
from innerloop.evaluate.page.numerals import decimals_of, shorten
from innerloop.evaluate.page.record import Evaluation, Interval, interval
from innerloop.evaluate.page.summary import unit_word


class Shown(NamedTuple):
    """A table, and what it means."""

    heads: list[str]
    cells: list[list[str]]
    note: str


def measures(evaluation: Evaluation) -> Markup | None:
    """`of_run` on the page."""
    return drawn(of_run(evaluation), strong=0)


def drawn(shown: Shown | None, strong: int | None = None) -> Markup | None:
    """A table of measures on the page; row `strong` is emphasised."""
    if shown is None:
        return None
    numbers = range(1, len(shown.heads))
    return join([table(shown.heads, shown.cells, numbers=numbers, strong=strong), tag("p", shown.note, class_="note")])


def of_runs(named: Sequence[tuple[str, Evaluation]]) -> Shown | None:
    """Several runs on the same family, beside each other; None where it has no measures."""
    found = [(name, _measures(evaluation.facts)) for name, evaluation in named]
    heads = {key: m for _, ours in reversed(found) for key, m in ours.items()}
    rows = [(name, {key: v for key, m in ours.items() if (v := _trial(m))}) for name, ours in found]
    return _shown_as(heads, rows, named[0][1]) if heads else None


def of_run(evaluation: Evaluation) -> Shown | None:
    """The run, its first and its last unit of experience, and what stands beside it; None where the family has no measures."""
    ours = _measures(evaluation.facts)
    if not ours:
        return None
    word, gradient = unit_word(evaluation), evaluation.unit == "gradient step"
    rows: list[tuple[str, dict[str, Interval]]] = [("this run", {name: v for name, m in ours.items() if (v := _trial(m))})]
    if len(evaluation.run.curve) > 1:
        ends = (("before adaptation" if gradient else f"in the first {word}", 0), (f"in the last {word}", -1))
        rows += [(said, _at(ours, i)) for said, i in ends if not (gradient and i)]
    mode = evaluation.facts.get("deterministic")
    beside = {"this run, by its mode": mode} if isinstance(mode, dict) else {}
    baselines = evaluation.facts.get("baselines")
    beside |= baselines if isinstance(baselines, dict) else {}
    for name, contender in beside.items():
        found = _measures(contender)
        if found:
            rows.append((name, {key: value for key, m in found.items() if (value := _trial(m))}))
    return _shown_as(ours, rows, evaluation)


def _shown_as(
    ours: dict[str, dict[str, Any]], rows: Sequence[tuple[str, dict[str, Interval]]], evaluation: Evaluation
) -> Shown:
    like = {name: [row[name] for _, row in rows if name in row] for name in ours}
    cells = [
        [shorten(said, 40), *(_shown(row[name], like[name]) if name in row else "–" for name in ours)] for said, row in rows
    ]
    heads = [_head(name, measure) for name, measure in ours.items()]
    gradient = evaluation.unit == "gradient step"
    note = "After the last gradient step" if gradient else f"Mean over all {unit_word(evaluation)}s of a trial"
    protocol = evaluation.facts.get("protocol")
    told = ", ".join(f"{name} {value}" for name, value in protocol.items()) if isinstance(protocol, dict) else ""
    said = f" Protocol: {shorten(told, 400)}." if told else ""
    return Shown(["", *heads], cells, f"{note}, with 95\u00a0% intervals where they are known.{said}")


def _measures(value: object) -> dict[str, dict[str, Any]]:
    found = value.get("measures") if isinstance(value, dict) else None
    return {str(k): v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def _trial(measure: dict[str, Any]) -> Interval | None:
    return interval(measure.get("trial"))


def _at(found: dict[str, dict[str, Any]], i: int) -> dict[str, Interval]:
    """The first or last point of each measure's curve."""
    curves = {name: m["curve"] for name, m in found.items() if isinstance(m.get("curve"), list) and m["curve"]}
    return {name: value for name, curve in curves.items() if (value := interval(curve[i]))}


def _shown(value: Interval, like: list[Interval]) -> str:
    """As many decimals in all of a column: a share of a millionth is none."""
    digits = decimals_of(like)
    mean, *ends = (f"{x:,.{digits}f}".replace("-", "\u2212") for x in value if x is not None)
    return f"{mean} ({ends[0]} to {ends[1]})" if ends else mean


def _head(name: str, measure: dict[str, Any]) -> str:
    unit = measure.get("unit")
    return f"{shorten(name, 40)} ({shorten(unit, 12)})" if isinstance(unit, str) and unit else shorten(name, 40)
