"""A figure for a paper, as SVG or PDF: adaptation and learning curves, scores and profiles of one run or several.

Not the page's charts (`page/chart.py`), though of the same data. The only place that imports Matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from innerloop.evaluate.page.chart import Series
from innerloop.evaluate.page.comparison import Group, groups, summaries
from innerloop.evaluate.page.findings import oracle_series
from innerloop.evaluate.page.numerals import shorten
from innerloop.evaluate.page.provenance import heldout
from innerloop.evaluate.page.record import Point, Record
from innerloop.evaluate.page.summary import outcome, unit_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 6.75  # inches: the text of a page in two columns
PANEL = 2.3  # inches: the height of a row
_COLOURS = ("#0060a8", "#c2540a", "#00805d", "#a3497f", "#8a6d00", "#2478b0", "#6b5bb5", "#6b7078")  # as in report.css
_DASHES = ((1, 0), (5, 2), (1, 1.5), (5, 1.5, 1, 1.5), (8, 2), (3, 1.5), (1, 3), (6, 1, 1, 1, 1, 1))
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<")
_STYLE = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "innerloop",  # the same folders give the same bytes
    "pdf.fonttype": 42,  # TrueType, as journals ask for
    "text.usetex": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
}

Panel = Callable[["Axes"], None]


class NoMatplotlib(ImportError):
    """The extra is not installed."""


def drawn(records: Sequence[Record], kind: str) -> bytes:
    """The figure as "svg" or "pdf"; the same folders give the same bytes.

    Raises:
        NoMatplotlib: the extra is missing. ValueError: no run has been evaluated.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise NoMatplotlib("figures need Matplotlib: pip install 'innerloop[figure]'.") from None
    found = panels(records)
    if not found:
        raise ValueError("there is nothing to draw: none of the runs has been evaluated. `innerloop evaluate RUN` does it.")
    rows = -(-len(found) // 2)
    metadata = {"Date": None} if kind == "svg" else {"CreationDate": None, "ModDate": None}
    title = "; ".join(dict.fromkeys(f"{r.name} on {r.family}" if r.family else r.name for r in records))
    with rc_context(_STYLE):
        width = WIDTH if len(found) > 1 else WIDTH / 2
        figure = Figure(figsize=(width, PANEL * rows), layout="constrained")
        axes = figure.subplots(rows, min(2, len(found)), squeeze=False).ravel()
        for i, (panel, ax) in enumerate(zip(found, axes, strict=False)):
            panel(ax)
            if len(found) > 1:
                ax.set_title(f"({chr(97 + i % 26)})", loc="left", fontweight="bold")
        for ax in axes[len(found) :]:
            ax.set_axis_off()
        held = io.BytesIO()
        figure.savefig(held, format=kind, metadata=metadata | {"Title": title})
    return held.getvalue()


def panels(records: Sequence[Record]) -> list[Panel]:
    """What is drawn: of runs that can be compared, their curves, scores and profiles together; of others, one panel each."""
    found = groups(records)
    made: list[Panel] = []
    for group in found:
        alone = len(group.members) == 1
        made.append(lambda ax, g=group: _adaptation(ax, g))
        learned = [(m.number, m.name, heldout(m.record)) for m in group.members]
        if any(points for _, _, points in learned) and (len(records) == 1 or not alone):
            made.append(lambda ax, name=group.name, lines=learned: _learning(ax, name, lines))
        if not alone:
            made += _scores(group)
    scaled = [g for g in found if g.scale]
    return [*made, lambda ax: _across(ax, scaled)] if len(scaled) > 1 else made


def _adaptation(ax: Axes, group: Group) -> None:
    word = unit_word(group.first)
    if len(group.members) == 1:
        (member,) = group.members
        lines = [Series(shorten(member.name, 24), member.evaluation.run.curve, "s0")]
        known = [b for b in member.evaluation.baselines if b.curve]
        lines += [Series(shorten(b.name, 24), b.curve, f"s{1 + i % 7}") for i, b in enumerate(known)]
    else:
        lines = [Series(shorten(m.name, 24), m.evaluation.run.curve, f"s{m.number % 8}") for m in group.members]
    for i, line in enumerate(lines):  # the first is what the figure is about, and lies on top
        _line(ax, line.name, line.points, int(line.style[1:]), marked=True, over=len(lines) - i)
    oracle = oracle_series(group.best)
    if oracle:
        style = {"color": "black", "linestyle": (0, (4, 3)), "linewidth": 0.9, "label": shorten(oracle.name, 24)}
        ax.plot([p.x for p in oracle.points], [p.mean for p in oracle.points], **style)
    ax.set_xlabel(f"experience ({word}s)")
    ax.set_ylabel("return after that many steps" if word == "gradient step" else f"return per {word}")
    ax.set_title(shorten(group.name, 40))
    if len(lines[0].points) < 12:
        ax.set_xticks([p.x for p in lines[0].points])
    _legend(ax)


def _learning(ax: Axes, family: str, lines: Sequence[tuple[int, str, Sequence[Point]]]) -> None:
    from matplotlib.ticker import EngFormatter

    for number, name, points in lines:
        if points:
            _line(ax, shorten(name, 24), points, number)
    ax.set_xlabel("environment steps of training")
    ax.set_ylabel("held-out return")
    ax.set_title(f"training on {shorten(family, 36)}")
    ax.locator_params(axis="x", nbins=5)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # 200k, 10M
    if len(lines) > 1:
        _legend(ax)


def _scores(group: Group) -> list[Panel]:
    known = [(m, s) for m, s in zip(group.members, summaries(group), strict=True) if s]
    if not known:
        return []
    what = "score (random 0, oracle 1)" if group.scale else "return"

    def middles(ax: Axes) -> None:
        _dots(ax, [(m.number, m.name, s.iqm) for m, s in known])
        alone = any(s.trainings == 1 for _, s in known)
        ax.set_xlabel(f"IQM of the {what}" + ("\n(of one training: interval over its tasks)" if alone else ""))
        ax.set_title(shorten(group.name, 40))

    def profiles(ax: Axes) -> None:
        for m, s in known:
            _line(ax, shorten(m.name, 24), s.profile, m.number)
        ax.set_xlabel(what)
        ax.set_ylabel("share of returns above" if group.scale is None else "share of scores above")
        ax.set_title(shorten(group.name, 40))
        _legend(ax)

    return [middles, profiles]


def _across(ax: Axes, scaled: Sequence[Group]) -> None:
    rows: list[tuple[int, str, Any]] = []
    for group in scaled:
        for m in group.members:
            total = outcome(m.evaluation.run, m.evaluation)
            if group.scale and total:
                rows.append((m.number, f"{m.name}\n{group.name}", group.scale.score(total)))
    _dots(ax, rows)
    ax.axvline(1.0, color="black", linewidth=0.6, linestyle=(0, (1, 2)))
    ax.set_xlabel("score (random 0, oracle 1)")


def _line(ax: Axes, name: str, points: Sequence[Point], number: int, marked: bool = False, over: float = 0.0) -> None:
    colour, xs = _COLOURS[number % 8], [p.x for p in points]
    mark = _MARKS[number % 8] if marked and len(points) < 12 else None
    ax.plot(
        xs,
        [p.mean for p in points],
        color=colour,
        linestyle=(0, _DASHES[number % 8]),
        marker=mark,
        label=name,
        zorder=2 + over / 100,
    )
    held = [(p.x, p.lo, p.hi) for p in points if p.lo is not None and p.hi is not None]
    if held:
        ax.fill_between(*zip(*held, strict=True), color=colour, alpha=0.15, linewidth=0)


def _dots(ax: Axes, rows: Sequence[tuple[int, str, Any]]) -> None:
    for at, (number, _, value) in enumerate(reversed(rows)):
        style = {"color": _COLOURS[number % 8], "marker": _MARKS[number % 8]}
        if value.lo is not None and value.hi is not None:
            ax.plot([value.lo, value.hi], [at, at], color=style["color"])
        ax.plot([value.mean], [at], **style)
    ax.set_yticks(range(len(rows)), [name for _, name, _ in reversed(rows)])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.locator_params(axis="x", nbins=5)
    ax.grid(axis="x", linewidth=0.3, color="0.85")


def _legend(ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    if len(names) > 1:
        ax.legend(handles, names)
