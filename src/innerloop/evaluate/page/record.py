"""A run folder as a reader sees it: the recipe, the log and the evaluation, read leniently.

Not the writer of a run folder, and not its checkpoints. What is missing or malformed becomes a sentence in `problems`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

FILES = ("recipe.json", "run.json", "log.jsonl", "evaluation.json")


class Interval(NamedTuple):
    """A mean and its 95 % interval, where one was given."""

    mean: float
    lo: float | None = None
    hi: float | None = None


class Point(NamedTuple):
    """One point of a curve: an interval at x, the amount of experience or of training."""

    x: float
    mean: float
    lo: float | None = None
    hi: float | None = None


class Contender(NamedTuple):
    """Anything measured on the same tasks: the run, a baseline, or the oracle."""

    name: str
    curve: tuple[Point, ...]
    total: Interval | None


class TaskResult(NamedTuple):
    """What one task returned along its adaptation curve."""

    task: str
    params: str
    returns: tuple[float, ...]


class Entry(NamedTuple):
    """One line of the training log."""

    iteration: int
    env_steps: float
    seconds: float | None
    metrics: dict[str, float]  # NaN where the log held no finite number
    heldout: Interval | None


@dataclass(frozen=True)
class Evaluation:
    """`evaluation.json`, with every number checked."""

    unit: str  # of experience: "step", "episode", "gradient step" or "update"
    run: Contender
    mode: Contender | None  # the same agents by the mode of their actions, where both were measured
    baselines: tuple[Contender, ...]
    oracle: Contender | None
    gain: Interval | None
    per_task: tuple[TaskResult, ...]
    seeds: int  # seeds the interval is over; 0 where it is over tasks
    tiny: bool  # all tasks stand in every split
    facts: dict[str, Any]  # the other fields, as they stand


@dataclass(frozen=True)
class Record:
    """A run folder, or a folder of `seed-N` run folders."""

    path: Path
    recipe: dict[str, Any]
    about: dict[str, Any]  # run.json
    log: tuple[Entry, ...]
    evaluation: Evaluation | None
    seeds: tuple[Record, ...]
    problems: tuple[str, ...]
    map: dict[str, Any] = field(default_factory=dict)  # map.json

    @property
    def name(self) -> str:
        """The recipe's name, or the folder's."""
        return self._named("recipe", "name") or self.folder

    @property
    def family(self) -> str:
        """The task family's name, or an empty string."""
        return self._named("family", "family")

    @property
    def folder(self) -> str:
        """The folder's own name."""
        return self.path.name or self.path.resolve().name

    @property
    def status(self) -> str:
        """What run.json says of the run; of several seeds, how many say what."""
        said = Counter(str(seed.about.get("status") or "unknown") for seed in self.seeds)
        if len(said) > 1:
            return ", ".join(f"{status} ({count})" for status, count in said.items())
        return next(iter(said), str(self.about.get("status") or ""))

    def _named(self, fact: str, field: str) -> str:
        found = self.evaluation.facts.get(fact) if self.evaluation else None
        found = self.recipe.get(field) or found
        found = found.get("name") if isinstance(found, dict) else found
        return found if isinstance(found, str) else ""


def read(path: Path) -> Record:
    """Read the run folder at `path`, or the seeds below it.

    Raises:
        FileNotFoundError: nothing of a run lies there.
    """
    path = Path(path)
    seeds = sorted((p for p in path.glob("seed-*") if p.is_dir() and re.fullmatch(r"seed-\d+", p.name)), key=_seed_number)
    if not seeds and not any((path / name).is_file() for name in FILES):
        raise FileNotFoundError(
            f"no run at {str(path)!r}: a run folder holds {', '.join(FILES)}, or folders seed-N that do; "
            "`innerloop train` makes one (--out says where)"
        )
    problems: list[str] = []
    records = tuple(read_one(p, (), problems=[]) for p in seeds)
    return read_one(path, records, problems)


def read_one(path: Path, seeds: tuple[Record, ...], problems: list[str]) -> Record:
    """One folder; with `seeds`, the recipe and run.json may be those of the first seed."""
    recipe = _object(path / "recipe.json", problems, quiet=bool(seeds))
    about = _object(path / "run.json", problems, quiet=bool(seeds))
    unlogged = bool(seeds) or (path / "weights").is_dir()  # the zoo ships no logs
    log = () if unlogged and not (path / "log.jsonl").exists() else _log(path / "log.jsonl", problems)
    found = _object(path / "evaluation.json", problems, quiet=True)
    evaluation = _evaluation(found, problems) if found else None
    if seeds:
        recipe = recipe or seeds[0].recipe
        about = about or seeds[0].about
        problems += [f"{seed.folder}: {problem}" for seed in seeds for problem in seed.problems]
    drawn = _object(path / "map.json", problems, quiet=True)
    return Record(path, recipe, about, log, evaluation, seeds, tuple(problems), drawn)


def pooled(record: Record) -> Evaluation | None:
    """The folder's own evaluation, or else the mean of its seeds', without an interval."""
    found = [seed.evaluation for seed in record.seeds if seed.evaluation]
    if record.evaluation or not found:
        return record.evaluation
    first = found[0]
    alike = [e for e in found if e.unit == first.unit]
    if len(alike) == 1:
        return first
    names = [b.name for b in first.baselines if all(any(b.name == o.name for o in e.baselines) for e in alike)]
    baselines = tuple(_mean([next(b for b in e.baselines if b.name == name) for e in alike]) for name in names)
    kept = [s for e in alike if isinstance(scores := e.facts.get("scores"), list) for s in scores]
    facts = first.facts | {"scores": kept}
    run = _mean([e.run for e in alike])
    return replace(first, run=run, mode=None, baselines=baselines, gain=None, per_task=(), facts=facts)


def _mean(contenders: list[Contender]) -> Contender:
    tables = [{p.x: p.mean for p in c.curve} for c in contenders]
    shared = sorted(set(tables[0]).intersection(*tables[1:]))
    curve = tuple(Point(x, math.fsum(t[x] for t in tables) / len(tables)) for x in shared)
    totals = [c.total.mean for c in contenders if c.total]
    total = Interval(math.fsum(totals) / len(totals)) if len(totals) == len(contenders) else None
    return Contender(contenders[0].name, curve, total)


def number(value: object) -> float | None:
    """A finite float, or None for anything else; what is beyond 1e100 is not a figure to draw either."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if abs(value) < 1e100 else None


def interval(value: object) -> Interval | None:
    """{"mean", "lo", "hi"} or a bare number; None where there is no mean."""
    if not isinstance(value, dict):
        value = {"mean": value}
    mean, lo, hi = (number(value.get(key)) for key in Interval._fields)
    if mean is None:
        return None
    return Interval(mean, lo, hi) if lo is not None and hi is not None else Interval(mean)


def _seed_number(path: Path) -> int:
    return int(path.name.removeprefix("seed-"))


def _object(path: Path, problems: list[str], quiet: bool = False) -> dict[str, Any]:
    """A JSON object, or {} and a problem. `quiet` passes over a missing file, never over a broken one."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if not quiet:
            problems.append(f"{path.name} is missing.")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} could not be read ({type(error).__name__}: {error}).")
        return {}
    if not isinstance(found, dict):
        problems.append(f"{path.name} holds {type(found).__name__}, not an object.")
        return {}
    return found


def _log(path: Path, problems: list[str]) -> tuple[Entry, ...]:
    """The log by iteration; where a resumed run wrote an iteration again, the later line counts."""
    entries: dict[int, Entry] = {}
    broken = 0
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in filter(str.strip, lines):
                entry = _entry(line)
                if entry is None:
                    broken += 1
                else:
                    entries[entry.iteration] = entry
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        problems.append(f"{path.name} is missing." if missing else f"{path.name} could not be read ({error}).")
    if broken:
        problems.append(f"{path.name}: {broken} line{'s' if broken > 1 else ''} could not be read and did not count.")
    return tuple(entries[i] for i in sorted(entries))


def _entry(line: str) -> Entry | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    iteration, steps = number(found.get("iteration")), number(found.get("env_steps"))
    if iteration is None:
        return None
    metrics = found.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    values = {name: value for name, v in metrics.items() if (value := _metric(v)) is not None}
    return Entry(
        int(iteration),
        iteration if steps is None else steps,
        number(found.get("seconds")),
        values,
        interval(found.get("heldout")),
    )


def _metric(value: object) -> float | None:
    """A number, or NaN in place of one that is not finite (null or a string such as "nan" included)."""
    if value is None or isinstance(value, float) or (isinstance(value, str) and value.lower() in {"nan", "inf", "-inf"}):
        finite = number(value)
        return math.nan if finite is None else finite
    return number(value)


def _evaluation(found: dict[str, Any], problems: list[str]) -> Evaluation | None:
    curve = tuple(_curve(found.get("curve")))
    if not curve:
        problems.append("evaluation.json holds no adaptation curve.")
        return None
    given = found.get("curve")
    if len(curve) < len(given if isinstance(given, list) else ()):
        problems.append("evaluation.json: points of the adaptation curve that are not finite numbers were left out.")
    baselines = found.get("baselines")
    oracle = found.get("oracle")
    seeds = found.get("seeds")
    unit = found.get("unit")
    return Evaluation(
        unit=unit if isinstance(unit, str) and unit else "step",
        run=Contender("this run", curve, interval(found.get("total"))),
        mode=_contender("this run, by its mode", mode) if isinstance(mode := found.get("deterministic"), dict) else None,
        baselines=tuple(
            _contender(name, value) for name, value in (baselines.items() if isinstance(baselines, dict) else ()) if value
        ),
        oracle=_contender(str(oracle.get("name") or "oracle"), oracle) if isinstance(oracle, dict) else None,
        gain=interval(found.get("gain")),
        per_task=tuple(_per_task(found.get("per_task"))),
        seeds=len(seeds) if isinstance(seeds, list) else 0,
        tiny=found.get("tiny") is True,
        facts=found,
    )


def _contender(name: str, value: object) -> Contender:
    value = value if isinstance(value, dict) else {"total": value}
    return Contender(name, tuple(_curve(value.get("curve"))), interval(value.get("total")))


def _curve(value: object) -> Iterator[Point]:
    points = []
    for position, item in enumerate(value if isinstance(value, list) else ()):
        found = interval(item)
        if found is None:
            continue
        x = number(item.get("experience")) if isinstance(item, dict) else None
        points.append(Point(float(position) if x is None else x, *found))
    yield from sorted(points, key=lambda point: point.x)


def _per_task(value: object) -> Iterator[TaskResult]:
    for position, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, dict) or not isinstance(item.get("returns"), list):
            continue
        returns = tuple(r for r in map(number, item["returns"]) if r is not None)
        if returns and len(returns) == len(item["returns"]):  # a task that did not give every unit's return is not drawn
            params = item.get("params")
            yield TaskResult(str(item.get("task", position)), "" if params is None else str(params), returns)
