"""What a run came from: its learning curves, its recipe, and the commands that make it again.

Not what the evaluation found (`findings.py`).
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from typing import Any

from innerloop.evaluate.page.chart import Series, figure, small
from innerloop.evaluate.page.markup import Markup, join, tag
from innerloop.evaluate.page.numerals import decimal, plain, shorten
from innerloop.evaluate.page.record import Entry, Interval, Point, Record
from innerloop.evaluate.page.summary import many

_POINTS = 160  # of a learning curve
_METRICS = 36  # small charts


def learning(record: Record) -> Markup | None:
    """Held-out return and every logged metric against environment steps."""
    logs = _logs(record)
    if not logs:
        return tag("p", "No training log was found: the learning curves come from log.jsonl.", class_="note")
    heldout = _heldout(logs)
    parts: list[Markup | None] = []
    ends = [log[-1] for log in logs.values()]
    size = f"{many(ends[0].iteration, 'update')}, {plain(ends[0].env_steps)} environment steps"
    parts.append(tag("p", f"Training: {size}{_duration(ends)}{' per seed' if len(logs) > 1 else ''}.", class_="note"))
    if heldout:
        parts.append(
            figure(
                _over_seeds("held-out return", heldout),
                x="environment steps",
                y="Held-out return during training",
                title="Held-out return against environment steps of training",
            )
        )
    names = list(dict.fromkeys(name for log in logs.values() for entry in log for name in entry.metrics))
    charts = [chart for name in names[:_METRICS] if (chart := _metric(name, logs))]
    parts.append(tag("div", *charts, class_="multiples") if charts else None)
    if len(names) > _METRICS:
        parts.append(tag("p", f"{_METRICS} of {len(names)} metrics are shown; log.jsonl holds them all.", class_="note"))
    if any(len(log) > _POINTS for log in logs.values()):
        said = "Long logs are averaged over stretches of iterations; the band is from the least to the greatest value in each."
        parts.append(tag("p", said, class_="note"))
    return join(parts)


def heldout(record: Record) -> tuple[Point, ...]:
    """Held-out return against environment steps of training: one seed's, with its interval over tasks; or the mean over seeds,
    from the least of them to the greatest. Empty where no log says."""
    curves = list(_heldout(_logs(record)).values())
    if len(curves) < 2:
        return curves[0] if curves else ()
    held = [{p.x: p.mean for p in points} for points in curves]
    at = {x: [h[x] for h in held] for x in sorted(set(held[0]).intersection(*held[1:]))}
    return tuple(Point(x, math.fsum(means) / len(means), min(means), max(means)) for x, means in at.items())


def recipe(record: Record) -> Markup | None:
    """The recipe's fields: nested groups become blocks with dotted headings."""
    if not record.recipe:
        return tag("p", "No recipe was found: recipe.json is missing or holds nothing.", class_="note")
    blocks: dict[str, list[tuple[str, str]]] = {}
    _flatten("", record.recipe, blocks, 0)
    shown = [
        tag(
            "div",
            tag("h3", name or "recipe"),
            tag("dl", *(tag("div", tag("dt", key), tag("dd", shorten(value, 200))) for key, value in fields)),
        )
        for name, fields in blocks.items()
    ]
    return tag("div", *shown, class_="recipe")


def reproduction(record: Record) -> Markup:
    """The commands that make the run, its evaluation and this page, and the versions that made it."""
    lines = commands(record)
    parts = [tag("pre", tag("code", "\n".join(lines)))]
    if len(lines) < 3:
        parts.insert(0, tag("p", "The training command is not recorded (run.json).", class_="note"))
    versions = record.about.get("versions")
    made = {"innerloop": record.about.get("innerloop"), **(versions if isinstance(versions, dict) else {})}
    said = " · ".join(f"{name} {version}" for name, version in made.items() if version)
    parts.append(tag("p", f"Trained with {said}.", class_="note") if said else tag("p", "Versions unknown.", class_="note"))
    return join(parts)


def commands(record: Record) -> list[str]:
    """What trained the run, where that is recorded, and what evaluates it and makes this report."""
    command = record.about.get("command")
    command = shlex.join(map(str, command)) if isinstance(command, list) else command
    trained = [command] if isinstance(command, str) and command else []
    return [*trained, evaluate_command(record), f"innerloop report {_path(record)}"]


def evaluate_command(record: Record) -> str:
    """The command that evaluates this folder."""
    return f"innerloop evaluate {_path(record)}"


def _logs(record: Record) -> dict[str, tuple[Entry, ...]]:
    return {seed.folder: seed.log for seed in record.seeds if seed.log} or ({"": record.log} if record.log else {})


def _heldout(logs: dict[str, tuple[Entry, ...]]) -> dict[str, tuple[Point, ...]]:
    found = {name: tuple(Point(e.env_steps, *e.heldout) for e in log if e.heldout) for name, log in logs.items()}
    return {name: thinned(points) for name, points in found.items() if points}


def _path(record: Record) -> str:
    return shlex.quote(str(record.path))


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most `_POINTS` points, each the mean of a stretch with its least and greatest value as the interval."""
    finite = [p for p in points if math.isfinite(p.mean)]
    if len(finite) <= _POINTS:
        return tuple(finite)
    stretch = math.ceil(len(finite) / _POINTS)
    groups = [finite[i : i + stretch] for i in range(0, len(finite), stretch)]
    return tuple(
        Point(g[-1].x, math.fsum(p.mean for p in g) / len(g), min(p.mean for p in g), max(p.mean for p in g)) for g in groups
    )


def _over_seeds(name: str, curves: dict[str, tuple[Point, ...]]) -> list[Series]:
    """One run's curve; or the mean over seeds with each seed behind it, where their grids agree."""
    if len(curves) == 1:
        return [Series(name, next(iter(curves.values())), "s0")]
    behind = [Series(seed, points, "s0 seed", band=False, quiet=True) for seed, points in curves.items()]
    held = [{p.x: p.mean for p in points} for points in curves.values()]
    shared = sorted(set(held[0]).intersection(*held[1:]))
    mean = tuple(Point(x, math.fsum(h[x] for h in held) / len(held)) for x in shared)
    return [Series(f"mean of {len(curves)} seeds", mean, "s0"), *behind] if mean else behind


def _metric(name: str, logs: dict[str, tuple[Entry, ...]]) -> Markup | None:
    curves = {seed: [Point(e.env_steps, e.metrics[name]) for e in log if name in e.metrics] for seed, log in logs.items()}
    lost = sum(not math.isfinite(p.mean) for points in curves.values() for p in points)
    shown = {seed: points for seed, raw in curves.items() if (points := thinned(raw))}
    if not shown:
        return tag("div", tag("h3", tag("span", name)), tag("p", f"{many(lost, 'value')}, none finite", class_="note"))
    series = _over_seeds(name, shown)
    lasts = [points[-1] for points in shown.values()]
    now = decimal(Interval(math.fsum(p.mean for p in lasts) / len(lasts)), [Interval(p.mean) for p in lasts])
    note = tag("p", f"{many(lost, 'value')} not finite, left out", class_="note") if lost else None
    heading = tag("h3", tag("span", name), tag("span", f"last {now}", class_="now"))
    return tag("div", heading, small(series, title=f"{name} during training", x="environment steps"), *([note] if note else []))


def _flatten(prefix: str, value: dict[str, Any], blocks: dict[str, list[tuple[str, str]]], depth: int) -> None:
    """Scalars of `value` into the block `prefix`, then its objects as blocks of their own."""
    nested = {k: v for k, v in value.items() if isinstance(v, dict) and v and depth < 6}
    scalars = [(str(k), _scalar(v)) for k, v in value.items() if k not in nested]
    if scalars:
        blocks[prefix] = scalars
    for key, inside in nested.items():
        _flatten(f"{prefix}.{key}" if prefix else str(key), inside, blocks, depth + 1)


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _duration(ends: Sequence[Entry]) -> str:
    """Time spent, and environment steps per second, of the first seed."""
    seconds = ends[0].seconds
    if not seconds or seconds <= 0:
        return ""
    spent = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
    return f" in {spent} ({plain(round(ends[0].env_steps / seconds))} steps per second)"
