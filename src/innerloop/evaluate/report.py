"""The report: run folders in, one self-contained HTML page out; or Markdown, or a figure for a paper.

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

from innerloop.evaluate.page.findings import adaptation, contenders, lead, tasks
from innerloop.evaluate.page.markup import Markup, join, tag, text
from innerloop.evaluate.page.measures import measures
from innerloop.evaluate.page.provenance import learning, recipe, reproduction
from innerloop.evaluate.page.record import Record, pooled, read
from innerloop.evaluate.page.task_map import task_map
from innerloop.evaluate.page.trials import trials
from innerloop.evaluate.page.versus import versus
from innerloop.evaluate.page.videos import films, videos
from innerloop.version import __version__

FORMATS = ("html", "md", "svg", "pdf")


def format_of(out: Path | None, given: str | None) -> str:
    """The format that was asked for: by its name, or else by the file's suffix; a web page by default.

    Raises:
        ValueError: it is none of FORMATS, or file and name disagree.
    """
    suffix = out.suffix.lower().lstrip(".") if out else ""
    of_file = {"htm": "html", "markdown": "md"}.get(suffix, suffix)
    if given is not None and given not in FORMATS:
        raise ValueError(f"format {given!r} is unknown; accepted: {', '.join(FORMATS)}.")
    if given and of_file in FORMATS and of_file != given:
        raise ValueError(f"--format {given} and --out {out} disagree; give one of them, or a file that ends in .{given}.")
    return given or (of_file if of_file in FORMATS else "html")


def write_report(runs: Sequence[Path], out: Path, format: str | None = None) -> Path:
    """Write one report about `runs`.

    Args:
        runs: run folders, or folders of `seed-N` run folders.
        out: the file, or a folder, where it is called report.html (or .md, .svg, .pdf).
        format: "html", "md", "svg" or "pdf"; None: as the file's suffix says. The last two are figures for a paper, and need
            the extra `innerloop[figure]`.

    Returns:
        The file written.

    Raises:
        ValueError: no run is given, or there is nothing to draw.
        ImportError: the extra is not installed.
        FileNotFoundError: a folder holds nothing of a run. Parts that are missing are named on the page instead.
    """
    out = Path(out)
    kind = format_of(None if out.is_dir() else out, format)
    if not runs:
        raise ValueError("no run given: a report needs at least one run folder, for example `innerloop report runs/rl2`")
    records = [read(Path(run)) for run in runs]
    if kind == "html":
        page = render(records).encode()
    elif kind == "md":
        from innerloop.evaluate.page.markdown import markdown

        page = markdown(records).encode()
    else:
        from innerloop.evaluate.figure import drawn

        page = drawn(records, kind)
    if out.is_dir():
        out = out / f"report.{kind}"
    out.parent.mkdir(parents=True, exist_ok=True)
    written = out.with_name(f".{out.name}.{os.getpid()}")
    written.write_bytes(page)
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
        body = tag("main", heading, *versus(records), tag("div", *articles, class_="runs"))
    footer = tag("footer", f"innerloop {__version__} · read from run folders only · this page loads nothing and runs no script")
    template = Template(here.joinpath("report.html").read_text("utf-8"))
    kind = "one" if len(records) == 1 else "several"
    images = " img-src data:;" if "<img " in body else ""  # names cannot hold one: text is escaped
    named = {"digest": f"sha256-{digest}", "images": images, "title": text(title), "style": style, "kind": kind}
    return template.substitute(named, body=body + footer)


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
        ("Videos", videos(films(record))),
        ("A map between tasks", task_map(record.map)),
        ("Learning curves", learning(record)),
        ("Task by task", tasks(evaluation) if evaluation else None),
        ("Recipe", recipe(record)),
        ("How to reproduce it", reproduction(record)),
    ]
    return [tag("section", tag(level, name, class_="part"), content) if name else content for name, content in parts if content]
