"""The report: run folders in, one self-contained HTML page out.

Not an evaluation: it draws what `innerloop evaluate` found, and reads run folders only, never live objects. The page loads
nothing and runs no script; its policy forbids both, so that no name in a run folder can do otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from innerloop.evaluate.page.chart import Series, figure
from innerloop.evaluate.page.findings import adaptation, contenders, lead, oracle_series, regret_text, tasks
from innerloop.evaluate.page.markup import Markup, join, table, tag, text
from innerloop.evaluate.page.measures import measures
from innerloop.evaluate.page.numerals import decimal
from innerloop.evaluate.page.provenance import learning, recipe, reproduction
from innerloop.evaluate.page.record import Record, pooled, read
from innerloop.evaluate.page.summary import outcome, regret, unit_word
from innerloop.evaluate.page.task_map import task_map
from innerloop.evaluate.page.trials import trials
from innerloop.version import __version__


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write one HTML page about `runs`.

    Args:
        runs: run folders, or folders of `seed-N` run folders.
        out: the page's file, or a folder, where it is called report.html.

    Returns:
        The file written.

    Raises:
        ValueError: no run is given.
        FileNotFoundError: a folder holds nothing of a run. Parts that are missing are named on the page instead.
    """
    if not runs:
        raise ValueError("no run given: a report needs at least one run folder, for example `innerloop report runs/rl2`")
    page = render([read(Path(run)) for run in runs])
    out = Path(out)
    if out.is_dir():
        out = out / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    written = out.with_name(f".{out.name}.{os.getpid()}")
    written.write_text(page, encoding="utf-8")
    written.replace(out)
    return out


def render(records: Sequence[Record]) -> str:
    """The page. The same folders give the same bytes."""
    here = files("innerloop.evaluate.page")
    style = here.joinpath("report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    if len(records) == 1:
        (record,) = records
        title = f"{record.name} on {record.family}" if record.family else record.name
        body = tag("main", tag("header", *_heading(record, "h1")), *_run(record, "h2"))
    else:
        title = f"{len(records)} runs: " + ", ".join(dict.fromkeys(r.name for r in records))
        articles = [tag("article", *_heading(r, "h2"), *_run(r, "h3"), class_=f"s{i % 8}") for i, r in enumerate(records)]
        heading = tag("header", tag("p", "innerloop report", class_="over"), tag("h1", f"{len(records)} runs side by side"))
        body = tag("main", heading, *_comparisons(records), tag("div", *articles, class_="runs"))
    footer = tag("footer", f"innerloop {__version__} · read from run folders only · this page loads nothing and runs no script")
    template = Template(here.joinpath("report.html").read_text("utf-8"))
    kind = "one" if len(records) == 1 else "several"
    return template.substitute(digest=f"sha256-{digest}", title=text(title), style=style, kind=kind, body=body + footer)


def _heading(record: Record, level: str) -> list[Markup]:
    on = join([tag("span", " on ", class_="on"), record.family]) if record.family else None
    over = tag("p", "innerloop report · ", tag("code", record.folder), class_="over")
    return [over, tag(level, record.name, *([on] if on else []), class_="run")]


def _run(record: Record, level: str) -> list[Markup]:
    """Everything about one run; `level` is the heading its parts have."""
    evaluation = pooled(record)
    parts = [
        ("", lead(record, evaluation)),
        ("Adaptation curve", adaptation(record, evaluation)),
        ("Against the baselines", contenders(evaluation) if evaluation else None),
        ("Beside the return", measures(evaluation) if evaluation else None),
        ("Trials step by step", trials(evaluation) if evaluation else None),
        ("A map between tasks", task_map(record.map)),
        ("Learning curves", learning(record)),
        ("Task by task", tasks(evaluation) if evaluation else None),
        ("Recipe", recipe(record)),
        ("How to reproduce it", reproduction(record)),
    ]
    return [tag("section", tag(level, name, class_="part"), content) if name else content for name, content in parts if content]


def _comparisons(records: Sequence[Record]) -> list[Markup]:
    """For each family and unit, the runs' curves in one chart and their outcomes in one table."""
    groups: dict[tuple[str, str], list[tuple[int, Record]]] = {}
    for i, record in enumerate(records):
        evaluation = pooled(record)
        if evaluation:
            groups.setdefault((record.family, evaluation.unit), []).append((i, record))
    return [_comparison(family, members) for (family, _), members in groups.items() if len(members) > 1]


def _comparison(family: str, members: list[tuple[int, Record]]) -> Markup:
    found = [(i, r, e) for i, r in members if (e := pooled(r))]
    once = len({r.name for _, r, _ in found}) == len(found)
    names = [r.name if once else f"{r.name} ({r.folder})" for _, r, _ in found]
    first = found[0][2]
    lines = [Series(name, e.run.curve, f"s{i % 8} run") for name, (i, _, e) in zip(names, found, strict=True)]
    oracle = next((o for _, _, e in found if (o := oracle_series(e))), None)
    word = unit_word(first)
    chart = figure(
        [*lines, *([oracle] if oracle else [])],
        x=f"experience ({word}s)",
        count=f"{word}s",
        y=f"Mean return {'after that many steps' if word == 'gradient step' else f'per {word}'}",
        title=f"Adaptation curves of {len(found)} runs on {family}",
        whole=True,
    )
    totals = [outcome(e.run, e) for _, _, e in found]
    like = [t for t in totals if t]
    rows = [
        (name, decimal(e.run.curve[0], e.run.curve), decimal(e.run.curve[-1], e.run.curve),
         decimal(total, like, reach=True) if total else "–", regret_text(regret(e.run, e)))
        for name, (_, _, e), total in zip(names, found, totals, strict=True)
    ]  # fmt: skip
    heads = ("run", "first", "last", "last point" if word == "gradient step" else "total", "normalised regret")
    return tag("section", tag("h2", f"On {family or 'the same tasks'}"), chart, table(heads, rows, numbers=range(1, 5)))
