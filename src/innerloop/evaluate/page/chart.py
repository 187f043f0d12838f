"""Line charts as inline SVG: bands, legends and read-outs under the pointer, with no script and no inline style.

Not a plotting library: it draws what the report needs. Colours and strokes are classes of `report.css`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from innerloop.evaluate.page.markup import Markup, join, tag
from innerloop.evaluate.page.numerals import decimal, plain, shorten, ticks_text
from innerloop.evaluate.page.record import Interval, Point

_HITS = 100  # columns that answer the pointer, at most
_CHARACTER = 6.6  # px, the width a character of a 12 px label takes at most, on average


@dataclass(frozen=True)
class Series:
    """One line. `style` is a class of the style sheet; `quiet` lines stand in no legend and no read-out."""

    name: str
    points: tuple[Point, ...]
    style: str
    band: bool = True
    quiet: bool = False


@dataclass(frozen=True)
class Axis:
    """The span of one axis and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float, start: float, end: float) -> float:
        """The pixel of `value`, `low` lying at `start`."""
        return start + (value - self.low) / (self.high - self.low) * (end - start)


def figure(
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    title: str,
    count: str | None = None,
    whole: bool = False,
    ends: bool = True,
) -> Markup:
    """A chart at two widths, of which the style sheet shows the one that fits, with its legend.

    Args:
        x, y: what the axes count.
        title: what the chart shows, for those who hear it.
        count: what a read-out calls x, where that is shorter.
        whole: whether x has ticks at whole numbers only.
        ends: whether lines are named at their right ends, where there is room; else in a legend only.
    """
    shown = [s for s in series if s.points]
    if not shown:
        return Markup("")
    wide = draw(shown, 760, 340, title=title, x=x, count=count, whole=whole, labels=ends)
    narrow = draw(shown, 380, 300, title=title, x=x, count=count, whole=whole, kind="narrow", hits=36)
    return tag("div", tag("p", y, class_="axis-name"), legend(shown), wide, narrow, class_="plot" if ends else "plot keys")


def small(series: Sequence[Series], *, title: str, x: str, hits: int = 24, extent: Sequence[float] = ()) -> Markup:
    """A small chart of one quantity, to stand among others; `extent`: values that its vertical axis must hold too."""
    return draw(series, 340, 150, title=title, x=x, kind="small", hits=hits, extent=extent)


def legend(series: Sequence[Series]) -> Markup:
    """The lines' names beside samples of them."""
    return tag("ul", *(tag("li", swatch(s.style), s.name) for s in series if not s.quiet), class_="legend")


def swatch(style: str) -> Markup:
    """A sample of a line's colour and dash."""
    line = tag("line", x1=0, x2=26, y1=5, y2=5, class_=f"line {style}")
    return tag("svg", line, width=26, height=10, aria_hidden="true", class_="swatch")


def draw(
    series: Sequence[Series],
    width: int,
    height: int,
    *,
    title: str,
    x: str,
    count: str | None = None,
    whole: bool = False,
    labels: bool = False,
    kind: str = "wide",
    hits: int = _HITS,
    extent: Sequence[float] = (),
) -> Markup:
    """One SVG of `width` × `height` px; `labels` names the lines at their right ends, `extent` are values to hold besides."""
    named = [s for s in series if not s.quiet]
    reach = [p.x for s in series for p in s.points]
    # An axis that begins just right of nought begins at nought.
    x_axis = span([0.0, *reach] if 0 < min(reach) < 0.1 * max(reach) else reach, width // 90, whole=whole)
    y_axis = span([*_extent(series), *extent], height // 55, pad=0.06)
    marks = ticks_text(y_axis.ticks)
    left = 12 + _CHARACTER * max(map(len, marks), default=0)
    right = width - (18 + _CHARACTER * min(26, max((len(s.name) for s in named), default=0)) if labels else 14)
    top, bottom = 10, height - 42

    def px(value: float) -> float:
        return round(x_axis.at(value, left, right), 1)

    def py(value: float) -> float:
        return round(min(max(y_axis.at(value, bottom, top), -9e3), 9e3), 1)

    grid = [tag("line", x1=left, x2=right, y1=py(t), y2=py(t), class_="grid") for t in y_axis.ticks]
    grid += [tag("text", mark, x=left - 8, y=py(t) + 4, class_="tick end") for t, mark in zip(y_axis.ticks, marks, strict=True)]
    grid += [
        tag("text", mark, x=px(t), y=bottom + 18, class_="tick middle")
        for t, mark in zip(x_axis.ticks, ticks_text(x_axis.ticks), strict=True)
    ]
    grid.append(tag("text", x, x=(left + right) / 2, y=height - 6, class_="axis middle"))
    # The first series is what the chart is about: it is drawn last, on top.
    bands = [_band(s, px, py) for s in reversed(series) if s.band]
    lines = [_line(s, px, py) for s in reversed(series)]
    ends = _end_labels(named, py, right + 8, top, bottom) if labels else Markup("")
    columns = _columns(named, px, py, (left, right, top, bottom), count or x, hits, compact=kind != "wide")
    return tag(
        "svg",
        tag("title", title),
        tag("g", *grid),
        *bands,
        *lines,
        ends,
        columns,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
        class_=f"chart {kind}",
    )


def spark(values: Sequence[float], low: float, high: float) -> Markup:
    """A line the size of a word; `low` and `high` are common to the column."""
    width, height = 96, 22
    reach = (high - low) or 1.0
    step = (width - 6) / max(len(values) - 1, 1)
    dots = [(round(3 + i * step, 1), round(height - 3 - (v - low) / reach * (height - 6), 1)) for i, v in enumerate(values)]
    return tag(
        "svg",
        tag("path", d="M" + "L".join(f"{a},{b}" for a, b in dots), class_="line s0 thin"),
        tag("circle", cx=dots[-1][0], cy=dots[-1][1], r=2.5, class_="dot s0"),
        width=width,
        height=height,
        aria_hidden="true",
    )


def whisker(value: Interval, low: float, high: float, style: str, mark: float | None = None) -> Markup:
    """A dot with its interval on a scale common to the column; `mark` is drawn as a line across."""
    width, height = 180, 20
    axis = Axis(low, high if high > low else low + 1.0, ())

    def px(v: float) -> float:
        return round(axis.at(v, 8, width - 8), 1)

    across = tag("line", x1=px(mark), x2=px(mark), y1=0, y2=height, class_="mark") if mark is not None else None
    reach = None
    if value.lo is not None and value.hi is not None:
        reach = tag("line", x1=px(value.lo), x2=px(value.hi), y1=10, y2=10, class_=f"line {style} solid")
    parts = [part for part in (across, reach) if part is not None]
    dot = tag("circle", cx=px(value.mean), cy=10, r=4.5, class_=f"dot {style}")
    return tag("svg", *parts, dot, viewBox=f"0 0 {width} {height}", aria_hidden="true", class_="whisker")


def span(values: Sequence[float], count: int, *, pad: float = 0.0, whole: bool = False) -> Axis:
    """An axis over `values` with about `count` ticks at 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-100):
        # Room enough that neighbouring ticks still differ in float64.
        room = 0.5 if whole or low == 0 else abs(low) * 0.05
        low, high = low - room, high + room
    reach = high - low
    low, high = low - pad * reach, high + pad * reach
    ticks: tuple[float, ...] = ()
    for wanted in range(max(count, 1), max(count, 1) + 8):
        ticks = _ticks(low, high, wanted, whole)
        if len(ticks) > 1:
            break
    return Axis(low, high, ticks)


def _ticks(low: float, high: float, count: int, whole: bool) -> tuple[float, ...]:
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= 0.75 * rough)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(i * step for i in range(first, last + 1))


def _extent(series: Sequence[Series]) -> list[float]:
    """What the vertical axis must hold: every line, and the bands."""
    values = [p.mean for s in series for p in s.points]
    return values + [v for s in series if s.band for p in s.points for v in (p.lo, p.hi) if v is not None]


def _line(s: Series, px, py) -> Markup:
    line = tag("path", d="M" + "L".join(f"{px(p.x)},{py(p.mean)}" for p in s.points), class_=f"line {s.style}")
    level = len({p.mean for p in s.points}) == 1 and not s.band  # an oracle's average: a line to compare with
    if len(s.points) > 12 or s.quiet or level:
        return line
    dots = [tag("circle", cx=px(p.x), cy=py(p.mean), r=3.5, class_=f"dot {s.style}") for p in s.points]
    return join([line, *dots])


def _band(s: Series, px, py) -> Markup:
    held = [p for p in s.points if p.lo is not None and p.hi is not None]
    if not held:
        return Markup("")
    if len(held) == 1:
        (p,) = held
        return tag("line", x1=px(p.x), x2=px(p.x), y1=py(p.lo), y2=py(p.hi), class_=f"line {s.style} solid")
    there = [f"{px(p.x)},{py(p.hi)}" for p in held]
    back = [f"{px(p.x)},{py(p.lo)}" for p in reversed(held)]
    return tag("path", d="M" + "L".join(there + back) + "Z", class_=f"band {s.style}")


def _end_labels(series: Sequence[Series], py, x: float, top: float, bottom: float) -> Markup:
    """Names at the lines' ends, pushed apart where they would overlap."""
    gap = 15.0
    wanted = sorted((py(s.points[-1].mean), i) for i, s in enumerate(series))
    placed: list[float] = []
    for y, _ in wanted:
        placed.append(max(y, placed[-1] + gap) if placed else max(y, top))
    limit = bottom
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    labels = []
    for (_, i), y in zip(wanted, placed, strict=True):
        labels.append(tag("text", shorten(series[i].name, 26), x=x, y=round(y + 4, 1), class_=f"name {series[i].style}"))
    return tag("g", *labels, aria_hidden="true")


def _columns(series: Sequence[Series], px, py, frame, x_name: str, hits: int, compact: bool) -> Markup:
    """Invisible columns, each of which shows a line and the values at its x while the pointer is over it."""
    left, right, top, bottom = frame
    grid = sorted({p.x for s in series for p in s.points})
    stride = math.ceil(len(grid) / hits)
    chosen = grid[::-1][::stride][::-1]
    if not chosen:
        return Markup("")
    tables = [{p.x: p for p in s.points} for s in series]
    every = [p for s in series for p in s.points]
    edges = [left, *((px(a) + px(b)) / 2 for a, b in itertools.pairwise(chosen)), right]
    columns = []
    for x, (start, end) in zip(chosen, itertools.pairwise(edges), strict=True):
        found = [(s, table[x]) for s, table in zip(series, tables, strict=True) if x in table]
        rows = [(s, decimal(p, every) if compact else decimal(p, every, reach=True)) for s, p in found]
        at = px(x)
        dots = [tag("circle", cx=at, cy=py(p.mean), r=4, class_=f"dot {s.style}") for s, p in found]
        columns.append(
            tag(
                "g",
                tag("rect", x=round(start, 1), y=top, width=round(end - start, 1), height=round(bottom - top, 1)),
                tag(
                    "g",
                    tag("line", x1=at, x2=at, y1=top, y2=bottom, class_="cursor"),
                    *dots,
                    _tip(f"{x_name}: {plain(x)}", rows, at, right, top, compact),
                    class_="shown",
                ),
                class_="hit",
            )
        )
    return tag("g", *columns, aria_hidden="true")


def _tip(head: str, rows: Sequence[tuple[Series, str]], at: float, right: float, top: float, compact: bool) -> Markup:
    limit = 16 if compact else 26
    names = [shorten(s.name, limit) for s, _ in rows]
    widest = max((len(n) + len(v) for n, (_, v) in zip(names, rows, strict=True)), default=0)
    width = round(max(widest * _CHARACTER + 50, len(head) * _CHARACTER + 20), 1)
    start = at + 12 if at + 12 + width <= right else max(at - 12 - width, 2)
    start = round(start, 1)
    parts = [
        tag("rect", x=start, y=top, width=width, height=26 + 17 * len(rows), rx=5, class_="tip"),
        tag("text", head, x=start + 10, y=top + 18, class_="head"),
    ]
    for i, (name, (s, value)) in enumerate(zip(names, rows, strict=True)):
        y = top + 35 + 17 * i
        parts.append(tag("line", x1=start + 10, x2=start + 24, y1=y - 4, y2=y - 4, class_=f"line {s.style}"))
        parts.append(tag("text", name, x=start + 30, y=y))
        parts.append(tag("text", value, x=round(start + width - 10, 1), y=y, class_="end"))
    return join(parts)
