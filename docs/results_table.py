"""The tables of results in README and docs, written from the zoo's cards: `python docs/results_table.py`.

Not a measurement: a card says what `innerloop evaluate` found. Between `<!-- zoo WORDS -->` and `<!-- /zoo -->` everything
is replaced; WORDS may name a recipe (`rl2`) and a language (`zh`). Between `<!-- steps WORDS -->` and `<!-- /steps -->` stand
the returns after each gradient step, between `<!-- cards -->` and `<!-- /cards -->` every card, and between
`<!-- memories -->` and `<!-- /memories -->` what `benchmarks/memories.py` measured. Between `<!-- measures FAMILY -->` and
`<!-- /measures -->` stands what a family is judged by beside the return. `--check` changes nothing and fails where a page is
stale.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from innerloop.catalogue import figure as plain, told

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"(<!-- zoo ?([a-z0-9 -]*?) ?-->\n).*?(<!-- /zoo -->)", re.DOTALL)
_STEPS = re.compile(r"(<!-- steps ?([a-z0-9 -]*?) ?-->\n).*?(<!-- /steps -->)", re.DOTALL)
_CARDS = re.compile(r"(<!-- cards -->\n).*?(<!-- /cards -->)", re.DOTALL)
_MEMORIES = re.compile(r"(<!-- memories -->\n).*?(<!-- /memories -->)", re.DOTALL)
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_MEASURES = re.compile(r"(<!-- measures ([a-z0-9-]+) -->\n).*?(<!-- /measures -->)", re.DOTALL)
_MEASURED = ROOT / "benchmarks" / "results" / "memories.json"
_HEADS = {
    "en": ("zoo entry", "first → last", "result [95 % interval]", "oracle", "test tasks", "seeds", "train steps", "CPU min"),
    "zh": ("条目", "首次 → 末次", "结果 [95 % 区间]", "参照", "测试任务", "种子", "训练步数", "CPU 分钟"),
}
_SCORE = {"en": "; score", "zh": "；得分"}
_NONE = {"en": "*No trained entry is in the zoo yet.*", "zh": "*模型库尚无条目。*"}
_NOTE = {
    "en": "Written from `zoo/*/card.json` by `python docs/results_table.py`. First → last: mean return in the first and the "
    "last unit of experience in a new task; result: the return summed over the trial, or after the last gradient step. "
    "Steps and CPU minutes: of training, per seed; a sum where one run went on from another, and the GPU where one was used.",
    "zh": "由 `python docs/results_table.py` 根据 `zoo/*/card.json` 生成。"
    "首次 → 末次：新任务中第一个与最后一个经验单位的平均回报；结果：整个试验的累计回报，"
    "对梯度类方法则为最后一次梯度步之后的回报。步数与 CPU 分钟为每个种子的训练用量；"
    "若一次训练接续另一次，则以加号分列；用到 GPU 时注明其型号。",
}


def cards(shelf: Path) -> list[dict[str, Any]]:
    """Every card on the shelf, by name."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(shelf.glob("*/card.json"))]


def _figure(value: float) -> str:
    return f"{value:,.2f}".replace("-", "−")


def row(card: dict[str, Any], tongue: str = "en") -> list[str]:
    """The cells of one card."""
    result = card["result"]
    curve, total, oracle = result["curve"], result["total"], result["oracle"]
    seconds = [s for s in card["cpu_seconds"] if s is not None]
    before = card.get("before", [])
    stages, minutes = [*before, card], [s["cpu_seconds"] / 60 for s in before if s["cpu_seconds"] is not None]
    minutes += [sum(seconds) / len(seconds) / 60] if seconds else []
    devices = {s["device"] for s in stages if s.get("device", "cpu") != "cpu"}
    score = result.get("score")
    several = f"{_figure(curve[0]['mean'])} → {_figure(curve[-1]['mean'])} ({result['unit']}s 0 to {curve[-1]['experience']})"
    return [
        f"`zoo:{card['name']}`",
        several if len(curve) > 1 else "–",
        f"**{_figure(total['mean'])}** [{_figure(total['lo'])}, {_figure(total['hi'])}]"
        + (f"{_SCORE[tongue]} {_figure(score['mean'])} [{_figure(score['lo'])}, {_figure(score['hi'])}]" if score else ""),
        f"{_figure(oracle['total'])} ({oracle['name']})" if oracle else "–",
        f"{result['tasks']:,}",
        str(len(card["seeds"])),
        " + ".join(f"{s['env_steps']:,}" for s in stages),
        (" + ".join(f"{m:.0f}" for m in minutes) or "–") + (f" ({', '.join(sorted(devices))})" if devices else ""),
    ]


def table(found: list[dict[str, Any]], words: list[str]) -> str:
    """The Markdown between two markers."""
    tongue = "zh" if "zh" in words else "en"
    recipes = [w for w in words if w not in _HEADS]
    rows = [row(card, tongue) for card in found if not recipes or card["recipe"] in recipes]
    if not rows:
        return _NONE[tongue] + "\n"
    lines = [_HEADS[tongue], ["---", *["---:"] * 7], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + f"\n\n<sub>{_NOTE[tongue]}</sub>\n"


def steps(found: list[dict[str, Any]], words: list[str]) -> str:
    """The Markdown of returns after each gradient step: sampled actions, and the mode's where the card has them."""
    rows = []
    for card in found:
        result = card["result"]
        if result["unit"] == "gradient step" and (not words or card["recipe"] in words):
            judged = {"sampled": result["curve"], "mode": result.get("deterministic", {}).get("curve")}
            for policy, curve in judged.items():
                if curve:
                    cells = [f"{_figure(p['mean'])} ± {_figure((p['hi'] - p['lo']) / 2)}" for p in curve]
                    rows.append([f"`{card['family']}`", policy, *cells])
    if not rows:
        return _NONE["en"] + "\n"
    lines = [["family", "actions", *map(str, range(len(rows[0]) - 2))], ["---", "---", *["---:"] * (len(rows[0]) - 2)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def beside(entry: Path) -> str:
    """What the baselines came to, by their names."""
    path = entry / "evaluation.json"
    found = json.loads(path.read_text("utf-8")).get("baselines", {}) if path.is_file() else {}
    return ", ".join(f"{name} {plain(b['total']['mean'])}" for name, b in found.items() if b.get("total"))


def sections(found: list[dict[str, Any]], shelf: Path) -> str:
    """The Markdown of every card: a heading and a list."""
    parts = []
    for card in found:
        page = ROOT / "docs" / "recipes" / f"{card['recipe']}.md"
        method = f"[`{card['recipe']}`](recipes/{page.name})" if page.is_file() else f"`{card['recipe']}`"
        lines = [f"### {card['name']}", "", f"{method} on `{card['family']}`: `innerloop adapt zoo:{card['name']}`", ""]
        for name, value in told(card)[3:]:
            code = name in ("trained by", "began with", "digest")
            lines.append(f"- {name}: `{value}`" if code else f"- {name}: {_MINUS.sub('−', value)}")
            if name == "measured on" and (known := beside(shelf / card["name"])):
                lines.append(f"- beside it: {_MINUS.sub('−', known)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts) or _NONE["en"] + "\n"


def memories(measured: dict[str, Any]) -> str:
    """The Markdown of what each memory costs and learns: a row for each measurement, a column for each memory."""

    def cell(kind: str, row: dict[str, Any]) -> str:
        if kind == "act":
            return f"{row['empty_microseconds']:.1f}, {row['full_microseconds']:.1f}"
        if kind == "probes":
            return f"{row['of_optimum']:.2f}"
        if kind == "learn":
            total = row["total"]
            return f"{_figure(total['mean'])} ± {_figure((total['hi'] - total['lo']) / 2)} ({row['cpu_seconds']:.0f})"
        whole = f"{row['cpu_seconds_per_million']:.0f}"
        return f"{whole} ({row['peak_gib']:.1f} GiB)" if kind == "long" else f"{whole} ({row['of_which_living']:.1f})"

    lines = []
    heads = {
        "act": "µs a step: empty, full",
        "cost": "CPU-s a million steps",
        "long": "the same",
        "probes": "share of the optimum",
        "learn": "total (CPU-s)",
    }
    for kind, head in heads.items():
        for name, found in measured.get(kind, {}).items():
            columns = list(dict.fromkeys(m for kind in heads for row in measured.get(kind, {}).values() for m in row))
            if not lines:
                lines += [["measured", "on", *columns], ["---", "---", *["---:"] * len(columns)]]
            lines.append([head, f"`{name}`", *(cell(kind, found[m]) if m in found else "–" for m in columns)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n" if lines else _NONE["en"] + "\n"


def measures(family: str) -> str:
    """The Markdown of a family's measures: a row for every method in the zoo, as it begins and ends in a new task, and for what
    stands beside them."""
    rows: dict[str, list[str]] = {}
    head: list[str] = []
    for path in sorted((ROOT / "zoo").glob("*/evaluation*.json")):
        found = json.loads(path.read_text("utf-8"))
        if found["family"] != family or not found.get("measures"):
            continue
        told = found["measures"]
        word = found["unit"]
        head = ["over a trial", "return of an episode" if word == "episode" else "return", *map(_named, told.items())]
        run = f"**{found['recipe']}**"
        units = len(found["curve"]) if word == "episode" else 1
        rows[run] = [_spread(_shared(found["total"], units)), *(_spread(m["trial"]) for m in told.values())]
        for end, i in ((f"{run}, first {word}", 0), (f"{run}, last {word}", -1)):
            rows[end] = [_spread(found["curve"][i]), *(_spread(m["curve"][i]) for m in told.values())]
        for name, beside in found["baselines"].items():
            if beside.get("measures"):
                known = name not in ("no adaptation", "from scratch", "random")
                row = [_spread(_shared(beside["total"], units)), *(_spread(beside["measures"][m]["trial"]) for m in told)]
                rows.setdefault(name if known else f"{name} ({found['recipe']})", row)
    if not rows:
        return _NONE["en"] + "\n"
    return _table([head, *([name, *cells] for name, cells in rows.items())])


def _named(measure: tuple[str, dict[str, Any]]) -> str:
    name, about = measure
    return f"{name}, {about['unit']}" if about["unit"] else name


def _shared(total: dict[str, float], units: int) -> dict[str, float]:
    return {name: value / units for name, value in total.items()}


def _spread(point: dict[str, float]) -> str:
    return f"{_figure(point['mean'])} ± {_figure((point['hi'] - point['lo']) / 2)}"


def _measured(name: str) -> dict[str, Any]:
    """What a benchmark wrote; empty where it has not been run."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _table(lines: list[list[str]]) -> str:
    head = [lines[0], ["---", *["---:"] * (len(lines[0]) - 1)], *lines[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in head) + "\n"


def _interval(x: dict[str, float]) -> str:
    return f"{_figure(x['mean'])} [{_figure(x['lo'])}, {_figure(x['hi'])}]"


def disco(measured: dict[str, Any]) -> str:
    """The Markdown of what `benchmarks/disco.py` measured."""
    if not measured:
        return "*Not measured yet.*\n"
    lines = [["return of an episode in the last fifth of life", measured["rule"], "PPO", "difference"]]
    for family, row in measured["families"].items():
        ends = (row["rule"]["at the end"], row["ppo"]["at the end"], row["difference at the end"])
        lines.append([f"`{family}`", *map(_interval, ends)])
    about = f"{measured['tasks']} test tasks, the same for both; lives of {measured['steps']:,} steps"
    return (
        _table(lines)
        + f"\n<sub>{about}; written from `benchmarks/results/disco.json` by `python docs/results_table.py`.</sub>\n"
    )


def serving(measured: dict[str, Any]) -> str:
    """The Markdown of what `benchmarks/serving.py` measured."""
    if not measured:
        return "*Not measured yet.*\n"
    lines = [
        [
            "run",
            "sessions",
            "steps a second",
            "p50 ms",
            "p99 ms",
            "server's CPU ms a step",
            "without a server: one, eight together",
        ]
    ]
    told = []
    for run, found in measured["runs"].items():
        bare = found["CPU ms per step without a server"]
        for size, row in ((size, row) for size, row in found.items() if size.isdigit()):
            cells = [f"{row[x]:,.2f}" for x in ("steps per second", "p50 ms", "p99 ms", "server's CPU ms per step")]
            lines.append([f"`{run}`", size, *cells, f"{bare['one agent']:.2f}, {bare['eight together']:.2f}"])
        if hostile := found.get("hostile"):
            answers = ", ".join(f"{count:,} × {status}" for status, count in hostile["answers"].items())
            kept = "unchanged" if hostile["good session unchanged"] else "CHANGED"
            told.append(
                f"\n`{run}`: {hostile['requests']:,} hostile requests, answered {answers}; the good session "
                f"beside them {kept}; the server's memory {hostile['MiB before']:.0f} MiB before and "
                f"{hostile['MiB after']:.0f} after.\n"
            )
    return _table(lines) + "".join(told)


def manipulation(measured: dict[str, Any]) -> str:
    """The Markdown of what `benchmarks/manipulation.py` measured."""
    if not measured:
        return "*Not measured yet.*\n"
    rows, whole = measured["cpu_us"], measured["rl2 on ml10"]
    cell = lambda x: "–" if x is None else f"{x:,.0f}"  # noqa: E731
    lines = [["CPU µs", "a step", "a reset"]]
    lines += [[name, cell(row["step"]), cell(row.get("reset"))] for name, row in rows.items()]
    told = f"\n<sub>metaworld {measured['versions']['metaworld']}, mujoco {measured['versions']['mujoco']}; "
    told += "written from `benchmarks/results/manipulation.json` by `python docs/results_table.py`.</sub>\n"
    if whole:
        living, learning = (whole["cpu_us_per_step"][name] for name in ("living", "learning"))
        hours = ", ".join(f"{value:,.0f} for {count}" for count, value in whole["cpu_hours"].items())
        told += (
            f"\nRL² on `ml10` by its preset: {living:,.0f} CPU µs a step to live and {learning:,.0f} to learn, which comes to "
            f"these CPU-hours for so many environment steps: {hours}.\n"
        )
    return _table(lines) + told


_FROM_BENCHMARKS = {
    "disco": disco,
    "serving": serving,
    "manipulation": manipulation,
}  # the word between the markers, and the name of the results


def filled(text: str, found: list[dict[str, Any]]) -> str:
    """The page with its tables as the cards have them."""
    measured = json.loads(_MEASURED.read_text("utf-8")) if _MEASURED.is_file() else {}
    text = _MEMORIES.sub(lambda m: m[1] + memories(measured) + m[2], text)
    text = _CARDS.sub(lambda m: m[1] + sections(found, ROOT / "zoo") + m[2], text)
    text = _MEASURES.sub(lambda m: m[1] + measures(m[2]) + m[3], text)
    for word, made in _FROM_BENCHMARKS.items():
        block = re.compile(rf"(<!-- {word} -->\n).*?(<!-- /{word} -->)", re.DOTALL)
        text = block.sub(lambda m, word=word, made=made: m[1] + made(_measured(word)) + m[2], text)
    text = _STEPS.sub(lambda m: m[1] + steps(found, m[2].split()) + m[3], text)
    return _BLOCK.sub(lambda m: m[1] + table(found, m[2].split()) + m[3], text)


def pages() -> list[Path]:
    """Where tables may stand."""
    return [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def main(arguments: list[str] | None = None) -> int:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(prog="python docs/results_table.py", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page is not what the cards say")
    check = parser.parse_args(arguments).check
    found, stale = cards(ROOT / "zoo"), []
    for path in pages():
        text = path.read_text("utf-8")
        new = filled(text, found)
        if new != text:
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(new, "utf-8")
    if stale:
        print(("stale: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
