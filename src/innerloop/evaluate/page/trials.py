"""A few held-out trials as pictures: maps of what was possible and believed, and the belief against experience.

Not who lived them (`evaluate/trials.py`); what is malformed in a run folder is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from innerloop.evaluate.page.chart import Series, small
from innerloop.evaluate.page.markup import Markup, join, tag
from innerloop.evaluate.page.record import Evaluation, Point, number
from innerloop.evaluate.page.summary import many

_SIDE, _MARGIN = 150, 8  # px of a map
_SHADES = 10  # classes of the style sheet

XY = tuple[float, float]


class Panel(NamedTuple):
    """One map: the way, and per place whether the goal can still lie there and the reward expected there."""

    name: str
    path: list[XY]
    possible: list[float] | None
    believed: list[float] | None


def trials(evaluation: Evaluation) -> Markup | None:
    """One row of maps a task, then its belief; None where the evaluation told no trials."""
    told = evaluation.facts.get("trials")
    if not isinstance(told, dict):
        return None
    places, side = _points(told.get("places")), number(told.get("side")) or 0.0
    found = [t for t in told.get("tasks") or () if isinstance(t, dict)] if isinstance(told.get("tasks"), list) else []
    rows: list[Markup] = []
    shown: list[Panel] = []
    for position, task in enumerate(found):
        panels = _panels(task, len(places), evaluation.unit == "gradient step")
        belief = _belief(task.get("belief"))
        if panels or belief:
            goal = _points([task.get("goal")])
            maps = _maps(panels, places, side, goal)
            strip = tag("div", *maps, class_="strip") if maps else None
            rows.append(join([tag("h3", f"Task {position + 1}"), strip, belief]))
            shown += panels
    return join([tag("p", _key(shown), class_="note") if shown else None, *rows]) if rows else None


def _key(panels: list[Panel]) -> str:
    said = "Ring: the goal, hidden from the agent. Line: the way of an episode, from the small dot to the large one."
    still = "where the goal can still lie, by exact reckoning with all that the agent has met in the trial."
    if any(p.believed for p in panels):
        said += " Shade: the reward that the agent expects on arriving there, from a map's least (light) to its most (dark)."
        return f"{said} Outlined: {still}" if any(p.possible for p in panels) else said
    return f"{said} Shaded: {still}" if any(p.possible for p in panels) else said


def _panels(task: dict[str, Any], places: int, by_step: bool) -> list[Panel]:
    episodes = task.get("episodes") if places else None
    panels = []
    for e in episodes if isinstance(episodes, list) else ():
        path = _points(e.get("path")) if isinstance(e, dict) else []
        if path:
            count, steps = int(number(e.get("number")) or 0), int(number(e.get("steps")) or 0)
            name = many(count, "gradient step") if by_step else f"episode {count + 1}, {many(steps, 'step')}"
            panels.append(Panel(name, path, _numbers(e.get("possible"), places), _numbers(e.get("believed"), places)))
    return panels


def _maps(panels: list[Panel], places: list[XY], side: float, goal: list[XY]) -> list[Markup]:
    """All of one task to the same scale."""
    every = [*places, *goal, *(xy for p in panels for xy in p.path)]
    half = side / 2
    left, low = (min(xy[i] for xy in every) - half for i in range(2))
    right, high = (max(xy[i] for xy in every) + half for i in range(2))
    scale = (_SIDE - 2 * _MARGIN) / max(right - left, high - low, 1e-9)
    width, height = (round(reach * scale + 2 * _MARGIN, 1) for reach in (right - left, high - low))

    def at(xy: XY) -> XY:
        return round(_MARGIN + (xy[0] - left) * scale, 1), round(height - _MARGIN - (xy[1] - low) * scale, 1)

    marks = [tag("circle", cx=x, cy=y, r=6.5, class_="goal") for x, y in map(at, goal)]
    drawn = []
    for panel in panels:
        dots = [at(xy) for xy in panel.path]
        way = tag("path", d="M" + "L".join(f"{x},{y}" for x, y in dots), class_="way")
        ends = [tag("circle", cx=x, cy=y, r=r, class_="walker") for (x, y), r in ((dots[0], 2), (dots[-1], 3.5))]
        spots = _spots(panel, [at(xy) for xy in places], round(side * scale * 0.94, 1))
        view = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria_label": panel.name}
        drawn.append(tag("figure", tag("svg", *spots, way, *ends, *marks, **view), tag("figcaption", panel.name)))
    return drawn


def _spots(panel: Panel, places: list[XY], width: float) -> list[Markup]:
    """Places as squares of that width in px, or as points where it is 0."""
    shade, still = [0.0] * len(places), [False] * len(places)
    if panel.believed:
        least, most = min(panel.believed), max(panel.believed)
        shade = [(b - least) / (most - least) if most > least else 0.0 for b in panel.believed]
        still = [bool(p) for p in panel.possible] if panel.possible else still
    elif panel.possible:
        shade = [0.5 * bool(p) for p in panel.possible]
    spots = []
    for (x, y), dark, outlined in zip(places, shade, still, strict=True):
        style = f"place b{round(_SHADES * dark)}{' still' if outlined else ''}"
        if width:
            spots.append(
                tag("rect", x=round(x - width / 2, 1), y=round(y - width / 2, 1), width=width, height=width, class_=style)
            )
        else:
            spots.append(tag("circle", cx=x, cy=y, r=2.6, class_=style))
    return spots


def _belief(value: object) -> Markup | None:
    if not isinstance(value, dict):
        return None
    steps = value.get("step")
    steps = [number(s) for s in steps] if isinstance(steps, list) else []
    mean, std = value.get("mean"), value.get("std")
    if not isinstance(mean, list) or not isinstance(std, list) or not steps or None in steps:
        return None
    rows = [(_numbers(m), _numbers(s)) for m, s in zip(mean, std, strict=False)]
    if len(rows) != len(steps) or any(m is None or s is None or len(m) != len(s) for m, s in rows):
        return None
    size = min(len(m or ()) for m, _ in rows)
    if not size or any(len(m or ()) != size for m, _ in rows):
        return None
    lines = []
    for d in range(size):
        points = []
        for step, (m, s) in zip(steps, rows, strict=True):
            if step is not None and m is not None and s is not None:
                points.append(Point(step, m[d], m[d] - s[d], m[d] + s[d]))
        lines.append(Series(f"component {d + 1}", tuple(points), f"s{d % 8}"))
    chart = small(lines, title="Posterior of the task's latent against experience", x="steps in the task")
    said = f"The posterior over the {size} components of the latent: mean, and a band of one standard deviation."
    return tag("div", tag("div", chart, class_="posterior"), tag("p", said, class_="note"))


def _points(value: object) -> list[XY]:
    """Pairs of numbers, or nothing where one is not."""
    found = []
    for pair in value if isinstance(value, list) else ():
        xy = _numbers(pair, 2)
        if xy is None:
            return []
        found.append((xy[0], xy[1]))
    return found


def _numbers(value: object, count: int | None = None) -> list[float] | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or (count is not None and len(value) != count):
        return None
    found = [n for n in map(number, value) if n is not None]
    return found if len(found) == len(value) else None
