"""What an evaluation found, as sections of the page: the lead, the adaptation curve, the comparison, the tasks.

Not the wording of results (`summary.py`), and not what the run came from (`provenance.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from innerloop.evaluate.page.chart import Series, figure, spark, swatch, whisker
from innerloop.evaluate.page.markup import Markup, join, table, tag
from innerloop.evaluate.page.multiples import of_run
from innerloop.evaluate.page.numerals import decimal, plain, shorten
from innerloop.evaluate.page.provenance import evaluate_command
from innerloop.evaluate.page.record import Evaluation, Interval, Point, Record, interval, number
from innerloop.evaluate.page.summary import (
    cautions,
    comparison,
    headline,
    level,
    many,
    outcome,
    regret,
    unit_word,
    yardstick,
)

_TASKS = 100  # rows of the table of tasks


def lead(record: Record, evaluation: Evaluation | None) -> Markup:
    """Chips, the headline in words, what to beware of, and the figures that matter."""
    about = record.about
    seeds = [seed.folder.removeprefix("seed-") for seed in record.seeds]
    facts = evaluation.facts if evaluation else {}
    chips = [
        f"status: {record.status}" if record.status else None,
        f"seeds {', '.join(seeds)}" if seeds else f"seed {about['seed']}" if about.get("seed") is not None else None,
        f"started {about['started']}" if about.get("started") else None,
        f"{facts['policy']} policy" if facts.get("policy") else None,
        f"split: {facts['split']}" if facts.get("split") else None,
        f"evaluation seed {facts['seed']}" if facts.get("seed") is not None else None,
    ]
    parts: list[Markup | None] = [tag("ul", *(tag("li", shorten(c, 80)) for c in chips if c), class_="chips")]
    if evaluation is None:
        parts.append(tag("p", "This run has not been evaluated yet.", class_="lede"))
        parts.append(_notice(join(["This command makes its adaptation curve: ", tag("code", evaluate_command(record))])))
    else:
        parts.append(tag("p", headline(evaluation), class_="lede"))
        parts.append(tag("p", comparison(evaluation), class_="beside"))
        parts += [_notice(c) for c in cautions(evaluation)]
        if facts.get("note"):
            parts.append(_notice(str(facts["note"])))
        if record.seeds and record.evaluation is None:
            parts.append(_notice(_pooled_note(record)))
        parts.append(_figures(evaluation))
    if evaluation and any(word in record.status.lower() for word in ("running", "started", "interrupted", "failed")):
        parts.append(_notice(f"Training has not finished ({record.status}): the evaluation may be of an earlier checkpoint."))
    parts += [_notice(problem) for problem in record.problems[:12]]
    if len(record.problems) > 12:
        parts.append(_notice(f"And {len(record.problems) - 12} more problems of this kind."))
    return join(parts)


def adaptation(record: Record, evaluation: Evaluation | None) -> Markup | None:
    """The adaptation curve with its band, the baselines and the oracle, and the same as a table."""
    if evaluation is None:
        return None
    lines = [Series(f"{shorten(record.name, 20)} (this run)", evaluation.run.curve, "s0")]
    lines += [Series("by its mode", evaluation.mode.curve, "s0 seed", False)] if evaluation.mode else []
    lines += [
        Series(b.name, b.curve or _flat(outcome(b, evaluation), evaluation), f"s{1 + i % 7}")
        for i, b in enumerate(evaluation.baselines)
    ]
    oracle = oracle_series(evaluation)
    lines += [oracle] if oracle else []
    if record.evaluation is None:
        seeds = [seed for seed in record.seeds if seed.evaluation and len(record.seeds) > 1]
        lines += [Series(s.folder, s.evaluation.run.curve, "s0 seed", False, True) for s in seeds if s.evaluation]
    word, gradient = unit_word(evaluation), evaluation.unit == "gradient step"
    chart = figure(
        lines,
        x=f"experience in the new task ({word}s)",
        count=f"{word}s",
        y="Mean return of an episode after that many gradient steps" if gradient else f"Mean return per {word}",
        title=f"Adaptation curve of {record.name}: return against {word}s of experience",
        whole=True,
    )
    over = many(evaluation.seeds, "seed") if evaluation.seeds and evaluation.seeds > 1 else "tasks"
    notes = f"Bands are 95\u00a0% intervals over {over}." if any(p.lo is not None for p in evaluation.run.curve) else (
        "No interval is known for this curve."
    )  # fmt: skip
    notes += f" {said}" if (said := oracle_note(evaluation)) else ""
    steps = evaluation.facts.get("interaction")
    if gradient and isinstance(steps, int):
        notes += f" Each gradient step uses {steps:,} environment steps of its task."
    every = [p for s in lines for p in s.points]
    named = [s for s in lines if not s.quiet]
    tables = [{p.x: p for p in s.points} for s in named]
    rows = [
        [plain(p.x), *(decimal(t[p.x], every, reach=True) if p.x in t else "–" for t in tables)] for p in evaluation.run.curve
    ]
    numbers = table([f"{word}s", *(s.name for s in named)], rows, numbers=range(len(named) + 1))
    return join([chart, tag("p", notes, class_="note"), tag("details", tag("summary", "The curve in figures"), numbers)])


def contenders(evaluation: Evaluation) -> Markup | None:
    """Run, baselines and oracle in one table: outcome, interval, regret."""
    members = [(evaluation.run, "s0")] + ([(evaluation.mode, "s0 seed")] if evaluation.mode else [])
    members += [(b, f"s{1 + i % 7}") for i, b in enumerate(evaluation.baselines)]
    members += [(evaluation.oracle, "best")] if evaluation.oracle else []
    found = [(c, style, value) for c, style in members if (value := outcome(c, evaluation))]
    if len(found) < 2:
        return tag("p", "The evaluation holds no baselines.", class_="note")
    values = [value for _, _, value in found]
    low, high = min(_ends(values)), max(_ends(values))
    mark = evaluation.oracle.total.mean if evaluation.oracle and evaluation.oracle.total else None
    stick = yardstick(evaluation)
    known = any(value.lo is not None for value in values)
    rows = []
    for c, style, value in found:
        name = f"oracle: {c.name}" if c is evaluation.oracle else c.name
        keyed = tag("span", swatch(style), tag("span", name), class_="keyed")
        cells: list[object] = [keyed, decimal(value, values), *([_reach(value, values)] if known else [])]
        if stick and mark is not None:
            cells.append(regret_text(regret(c, evaluation)))
        rows.append([*cells, whisker(value, low, high, style, mark)])
    heads = ["", "last point" if evaluation.unit == "gradient step" else "total", *(["95\u00a0% interval"] if known else [])]
    heads += ["normalised regret"] if stick and mark is not None else []
    shown = table([*heads, ""], rows, numbers=range(1, len(heads)), strong=0)
    if not (stick and mark is not None and evaluation.oracle):
        return shown
    said = f"Normalised regret: 0 % at the oracle ({evaluation.oracle.name}), 100 % at “{stick.name}”, both taken as exact."
    if any((left := regret(b, evaluation)) and (left.mean if left.hi is None else left.hi) < 0 for b in evaluation.baselines):
        said += " A baseline below 0 % beats the oracle: it may know what the oracle must find out."
    return join([shown, tag("p", said, class_="note")])


def tasks(evaluation: Evaluation) -> Markup | None:
    """One row a task, those that gained least first."""
    found = evaluation.per_task
    if not found:
        return tag("p", "The evaluation holds no results task by task.", class_="note")
    gains = [t.returns[-1] - t.returns[0] for t in found]
    order = sorted(range(len(found)), key=lambda i: (gains[i], i))[:_TASKS]
    firsts = [Interval(r) for t in found for r in (t.returns[0], t.returns[-1])]
    every = [r for i in order for r in found[i].returns]
    low, high = min(every), max(every)
    rows = []
    for i in order:
        t = found[i]
        ends = (Interval(t.returns[0]), Interval(t.returns[-1]), Interval(gains[i]))
        cells = [shorten(t.task, 40), shorten(t.params, 80), *(decimal(end, firsts) for end in ends)]
        rows.append([*cells, spark(t.returns, low, high)])
    better = sum(g > 0 for g in gains)
    word = unit_word(evaluation)
    ends = "the first to the last point" if evaluation.unit == "gradient step" else f"the first to the last {word}"
    said = f"From {ends}, return rose in {better:,} of {len(found):,} tasks. Those that gained least stand first."
    said += " A single pull is mostly luck: read single tasks with care." if evaluation.unit == "step" else ""
    if len(found) > _TASKS:
        said += f" {_TASKS} of {len(found):,} are shown."
    shown = table(["task", "what it is", "first", "last", "change", "curve"], rows, numbers=range(2, 5))
    if len(rows) > 12:
        shown = tag("details", tag("summary", f"The table ({len(rows)} tasks)"), shown)
    return join([tag("p", said, class_="note"), of_run(evaluation), shown])


def regret_text(value: Interval | None) -> str:
    """A regret as a percentage, with its interval."""
    if value is None:
        return "–"
    digits = 1 if abs(value.mean) < 1 else 0

    def percent(share: float) -> str:
        return f"{100.0 * share:.{digits}f}".replace("-", "\u2212")

    if value.lo is None or value.hi is None:
        return f"{percent(value.mean)} %"
    return f"{percent(value.mean)} % ({percent(value.lo)} to {percent(value.hi)})"


def oracle_series(evaluation: Evaluation) -> Series | None:
    """The oracle as a line: its own curve, or its average per unit of experience."""
    oracle = evaluation.oracle
    if oracle is None:
        return None
    mean = level(oracle, evaluation)
    points = oracle.curve or (() if mean is None else tuple(Point(p.x, mean) for p in evaluation.run.curve))
    averaged = not oracle.curve and evaluation.unit != "gradient step"
    name = f"oracle: {oracle.name}"
    name = "oracle, on average" if averaged else name if len(name) <= 26 else "oracle"
    return Series(name, points, "best", band=False) if points else None


def oracle_note(evaluation: Evaluation) -> str:
    """How an oracle without a curve is drawn; empty where there is nothing to say."""
    if evaluation.oracle is None or evaluation.oracle.curve or evaluation.unit == "gradient step":
        return ""
    said = f"Of the oracle ({evaluation.oracle.name}) only the total is known: it is drawn at its average per "
    return said + f"{unit_word(evaluation)}, which a late point may exceed and a total may not."


def _figures(evaluation: Evaluation) -> Markup:
    curve, gradient = evaluation.run.curve, evaluation.unit == "gradient step"
    word = unit_word(evaluation)
    ours, gain, left = outcome(evaluation.run, evaluation), evaluation.gain, regret(evaluation.run, evaluation)
    cells: list[tuple[str, str, str]] = []
    cells.append(("before adaptation" if gradient else f"first {word}", decimal(curve[0], curve), _reach(curve[0], curve)))
    if len(curve) > 1:
        last = f"after {many(int(curve[-1].x), word)}" if gradient else f"last {word}"
        cells.append((last, decimal(curve[-1], curve), _reach(curve[-1], curve)))
    if gain and len(curve) > 1:
        shown = decimal(gain, [gain])
        cells.append(("gain", shown if gain.mean <= 0 else f"+{shown}", _reach(gain, [gain])))
    if ours and not gradient and len(curve) > 1:
        cells.append((f"total of {many(len(curve), word)}", decimal(ours, [ours]), _reach(ours, [ours])))
    if left:
        value, _, reach = regret_text(left).partition(" (")
        cells.append(("normalised regret to the oracle", value, reach.rstrip(")")))
    cells += _of_population(evaluation)
    shown_cells = [
        tag("div", tag("dt", name), tag("dd", tag("span", value, class_="value"), tag("span", reach, class_="reach")))
        for name, value, reach in cells
    ]
    return tag("dl", *shown_cells, class_="figures")


def _of_population(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Figures of a choice among members: its score, and how well it foretells them."""
    score, agreement = interval(evaluation.facts.get("score")), evaluation.facts.get("agreement")
    if score is None or not isinstance(agreement, dict):
        return []
    cells = [("score: 0 single best, 1 best in each task", decimal(score, [score]), _reach(score, [score]))]
    rank, top = number(agreement.get("rank_correlation")), number(agreement.get("best_foretold"))
    if rank is not None and top is not None:
        cells.append(("members' order foretold (rank correlation)", f"{rank:.2f}", f"the best in {top:.0%} of tasks"))
    return cells


def _flat(value: Interval | None, evaluation: Evaluation) -> tuple[Point, ...]:
    """A baseline without a curve, as a level line."""
    if value is None:
        return ()
    share = 1 if evaluation.unit == "gradient step" else len(evaluation.run.curve)
    return tuple(Point(p.x, value.mean / share) for p in evaluation.run.curve)


def _ends(values: Sequence[Interval]) -> list[float]:
    return [v for value in values for v in value if v is not None]


def _reach(value: Interval | Point, like: Sequence[Interval | Point]) -> str:
    if value.lo is None or value.hi is None:
        return ""
    lo, hi = (decimal(Interval(v), like) for v in (value.lo, value.hi))
    return f"{lo} to {hi}"


def _notice(content: object) -> Markup:
    return tag("p", content, class_="notice", role="note")


def _pooled_note(record: Record) -> Markup:
    done = [seed.folder for seed in record.seeds if seed.evaluation]
    said = f"Only {done[0]} has been evaluated." if len(done) == 1 else f"Mean of {len(done)} seeds, without an interval."
    return join([said, " This command evaluates all of them together: ", tag("code", evaluate_command(record))])
