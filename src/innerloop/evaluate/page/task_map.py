"""The map between tasks as a section of the report: adapted agents as points, and their returns in each other's tasks.

Not the measuring (`evaluate/task_map.py`); what is malformed in a run folder is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from innerloop.evaluate.page.markup import Markup, join, tag
from innerloop.evaluate.page.numerals import plain
from innerloop.evaluate.page.record import number

_WIDE, _SIDE, _MARGIN = 340, 260, 12  # px
_SHADES = 10  # classes of the style sheet


def task_map(found: dict[str, object]) -> Markup | None:
    """Of what `innerloop map` wrote; None where it holds no points."""
    points, params = _rows(found.get("places"), 2), _rows(found.get("params"))
    if len(points) < 3 or len(params) != len(points):
        return None
    drawn = [tag("figure", _scatter(points, [row[0] if row else 0.0 for row in params]), tag("figcaption", "Adapted agents"))]
    transfer = found.get("transfer")
    matrix = _rows(transfer.get("returns")) if isinstance(transfer, dict) else []
    if len(matrix) > 1 and all(len(row) == len(matrix) for row in matrix):
        low, high = (plain(round(f(x for row in matrix for x in row), 2)) for f in (min, max))
        caption = f"Row: adapted in; column: acts in. Shade: return, from {low} (faint) to {high} (strong)"
        drawn.append(tag("figure", _heat(matrix), tag("figcaption", caption)))
    return join([tag("p", said(found), class_="note"), tag("div", *drawn, class_="strip wide")])


def said(found: dict[str, object]) -> str:
    """The figures, in words."""
    share = _numbers(found.get("variance"))
    text = (
        "Each point is what the agent holds after a life in one held-out task, along the two axes in which agents differ most"
    )
    text += f" ({sum(share):.0%} of their variance)." if len(share) == 2 else "."
    text += " Shade: the task's first parameter."
    structure, transfer = found.get("structure"), found.get("transfer")
    if isinstance(structure, dict):
        rank, nearest, other, best = (number(structure.get(k)) for k in ("rank_correlation", "nearest", "any", "best"))
        if None not in (rank, nearest, other, best):
            text += (
                f" Distances between agents and between tasks have a rank correlation of {rank:.2f}; the nearest agent's task "
            )
            text += f"is {plain(round(nearest or 0, 3))} away, any other {plain(round(other or 0, 3))}, and the nearest task "
            text += f"{plain(round(best or 0, 3))}."
    if isinstance(transfer, dict):
        own, others, none = (number(transfer.get(k)) for k in ("own", "others", "unadapted"))
        if None not in (own, others, none):
            text += f" In an episode of its own task an adapted agent earns {plain(round(own or 0, 2))}, in another's "
            text += f"{plain(round(others or 0, 2))}, and one that has not adapted {plain(round(none or 0, 2))}."
    return text + _learned(found.get("learned"))


def _learned(found: object) -> str:
    names = ("foretold", "nearest", "same_experience", "adapted", "unadapted")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), dict) for name in names):
        return ""
    values = [number(found[name].get("mean")) for name in names]
    if None in values:
        return ""
    told, near, same, full, none = (plain(round(v or 0, 2)) for v in values)
    return (
        f" A map learned on {found.get('trained_on')} training tasks foretells the agent for a held-out task from another's "
        f"and {found.get('steps')} steps of experience: it earns {told}; the agent of the training task whose experience is "
        f"most alike {near}, one that adapted to those steps alone {same}, to a whole life {full}, to nothing {none}."
    )


def _scatter(points: Sequence[Sequence[float]], shade: Sequence[float]) -> Markup:
    def span(values: Sequence[float], start: float, end: float) -> list[float]:
        low, high = min(values), max(values)
        return [round(start + (v - low) / ((high - low) or 1.0) * (end - start), 1) for v in values]

    xs = span([p[0] for p in points], _MARGIN, _WIDE - _MARGIN)
    ys = span([p[1] for p in points], _SIDE - _MARGIN, _MARGIN)
    tones = [round(t) for t in span(shade, 1, _SHADES)]
    dots = [tag("circle", cx=x, cy=y, r=4, class_=f"place still b{t}") for x, y, t in zip(xs, ys, tones, strict=True)]
    return tag("svg", *dots, viewBox=f"0 0 {_WIDE} {_SIDE}", role="img", aria_label="adapted agents by principal axes")


def _heat(matrix: Sequence[Sequence[float]]) -> Markup:
    every = [x for row in matrix for x in row]
    low, high, size = min(every), max(every), _SIDE / len(matrix)
    cells = []
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            tone = round(_SHADES * (value - low) / ((high - low) or 1.0))
            where = {
                "x": round(j * size, 1),
                "y": round(i * size, 1),
                "width": round(size - 1, 1),
                "height": round(size - 1, 1),
            }
            cells.append(tag("rect", tag("title", plain(round(value, 2))), **where, class_=f"place b{tone}"))
    return tag("svg", *cells, viewBox=f"0 0 {_SIDE} {_SIDE}", role="img", aria_label="returns of agents in each other's tasks")


def _rows(value: object, width: int | None = None) -> list[list[float]]:
    rows = [_numbers(row) for row in value] if isinstance(value, list) else []
    return rows if all(row and (width is None or len(row) == width) for row in rows) else []


def _numbers(value: object) -> list[float]:
    found = [number(x) for x in value] if isinstance(value, list) else []
    return [x for x in found if x is not None] if None not in found else []
