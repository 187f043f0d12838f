"""Small charts of single held-out tasks, all to the same scale.

Not the table of tasks (`findings.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from innerloop.evaluate.page.chart import Series, legend, small
from innerloop.evaluate.page.markup import Markup, join, tag
from innerloop.evaluate.page.numerals import decimal, shorten
from innerloop.evaluate.page.record import Evaluation, Interval, Point
from innerloop.evaluate.page.summary import unit_word

_POINTS = 60  # of a line
_SHOWN = 12  # tasks of one run
_WHICH = "evenly from the task in which it gained least to the one in which it gained most, "


def multiples(
    tasks: Sequence[tuple[str, Sequence[Sequence[float]]]],
    styles: Sequence[tuple[str, str]],
    evaluation: Evaluation,
    which: str = "",
) -> Markup:
    """A chart a task. `tasks`: what each is, and the returns of every run in it; `styles`: the runs' names and classes; `which`
    tasks these are."""
    summed = evaluation.unit == "step"  # a single reward is mostly luck
    curves = [[points(itertools.accumulate(r) if summed else r) for r in returns] for _, returns in tasks]
    every = [p.mean for lines in curves for line in lines for p in line]
    word = unit_word(evaluation)
    charts = []
    for (name, _), lines in zip(tasks, curves, strict=True):
        series = [Series(run, line, style, band=False) for (run, style), line in zip(styles, lines, strict=True)]
        last = ", ".join(decimal(Interval(line[-1].mean), [Interval(v) for v in every]) for line in lines)
        heading = tag("h4", tag("span", shorten(name, 48)), tag("span", f"last {last}", class_="now"))
        chart = small(series, title=f"Return in task {name}", x=f"{word}s", hits=4, extent=every)
        charts.append(tag("div", heading, chart))
    said = f"{'Return so far' if summed else f'Return per {word}' if word != 'gradient step' else 'Return after each step'}, "
    said += f"{which}all to the same scale. Single tasks prove nothing: they show how they differ."
    keys = legend([Series(run, (), style) for run, style in styles]) if len(styles) > 1 else None
    return join([tag("p", said, class_="note"), keys, tag("div", *charts, class_="multiples")])


def of_run(evaluation: Evaluation) -> Markup | None:
    """Of one run: some tasks, evenly from the one that gained least to the one that gained most."""
    found = sorted(evaluation.per_task, key=lambda t: t.returns[-1] - t.returns[0])
    if len(found) < 2 or len(found[0].returns) < 2:
        return None
    count = min(_SHOWN, len(found))
    chosen = [found[round(i * (len(found) - 1) / (count - 1))] for i in range(count)]
    return multiples([(t.params or t.task, [t.returns]) for t in chosen], [("this run", "s0")], evaluation, _WHICH)


def points(values) -> tuple[Point, ...]:
    """Values against their number, at most so many; the last is kept."""
    found = [Point(float(i), v) for i, v in enumerate(values)]
    stride = math.ceil(len(found) / _POINTS)
    return tuple(found[::-1][::stride][::-1])
