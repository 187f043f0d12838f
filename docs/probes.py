"""The figure and the tables of docs/metamodel.md and its Chinese page, from benchmarks/results/metamodel.json.

    python docs/probes.py [--check]

Not a measurement: that is `python benchmarks/metamodel.py`. `--check` changes nothing and fails where a file is stale.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "results" / "metamodel.json"
PAGES = {"en": ROOT / "docs" / "metamodel.md", "zh": ROOT / "docs" / "zh" / "metamodel.md"}
DRAWN = {"en": ROOT / "docs" / "figures" / "metamodel-probes.svg", "zh": ROOT / "docs" / "figures" / "metamodel-probes.zh.svg"}
WORDS = {
    "en": {
        "states, 5 steps by the single best": "states only, 5 steps by the single best",
        "1 step by the single best": "1 step by the single best",
        "5 steps by the single best": "5 steps by the single best",
        "1 step, learned": "1 step, learned probe",
        "5 steps, learned": "5 steps, learned probe",
        "preset": "2 steps, learned probe; chooses at every step",
        "axis": "score: 0 single best, 1 best member in each task",
        "heads": (
            "meta-model",
            "score [95 % interval]",
            "return",
            "best of population",
            "rank correlation",
            "best foretold",
            "seeds",
        ),
        "rivals": ("what else, with the same members", "return [95 % interval]"),
        "uses": ("use of the predictions", "return [95 % interval]"),
        "elsewhere": ("goals on the other half circle", "return [95 % interval]"),
        "MetaModel": "MetaModel",
        "note": "{tasks:,} test tasks for each seed; written from `benchmarks/results/metamodel.json` by "
        "`python docs/probes.py`, measured by `python benchmarks/metamodel.py`.",
    },
    "zh": {
        "states, 5 steps by the single best": "只读状态，由最佳单模型探测 5 步",
        "1 step by the single best": "由最佳单模型探测 1 步",
        "5 steps by the single best": "由最佳单模型探测 5 步",
        "1 step, learned": "学得的探测 1 步",
        "5 steps, learned": "学得的探测 5 步",
        "preset": "学得的探测 2 步；此后每步重选",
        "axis": "得分：0 为最佳单模型，1 为各任务中的最佳成员",
        "heads": ("元模型", "得分 [95 % 区间]", "回报", "群体中最佳", "秩相关", "猜中最佳", "种子"),
        "rivals": ("同一群成员的其他用法", "回报 [95 % 区间]"),
        "uses": ("预测的用法", "回报 [95 % 区间]"),
        "elsewhere": ("目标在另一半圆上", "回报 [95 % 区间]"),
        "MetaModel": "元模型",
        "note": "每个种子 {tasks:,} 个测试任务；由 `python docs/probes.py` 根据 "
        "`benchmarks/results/metamodel.json` 生成，由 `python benchmarks/metamodel.py` 测得。",
    },
}
STYLE = """text{font:13px system-ui,sans-serif;fill:#222}.tick{font-size:12px;fill:#666}line{stroke:#ccc}
.reach{stroke:#3465a4;stroke-width:2}circle{fill:#3465a4}
@media(prefers-color-scheme:dark){text{fill:#ddd}.tick{fill:#999}line{stroke:#444}.reach{stroke:#8fb6e8}circle{fill:#8fb6e8}}"""


def drawn(variants: dict[str, Any], tongue: str) -> str:
    """The figure: a dot and its interval for each variant."""
    left, right, row, top = 330, 700, 30, 16
    low, high = -0.1, 1.0
    at = lambda score: round(left + (score - low) / (high - low) * (right - left), 1)  # noqa: E731
    bottom = top + row * len(variants)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line x1="{at(tick)}" x2="{at(tick)}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{at(tick)}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for number, (name, found) in enumerate(variants.items()):
        y, score = top + row * number + row / 2, found["score"]
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{WORDS[tongue][name]}</text>')
        lo, hi = (max(min(score[end], high), low) for end in ("lo", "hi"))
        parts.append(f'<line class="reach" x1="{at(lo)}" x2="{at(hi)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle cx="{at(score["mean"])}" cy="{y}" r="5"/>')
    axis = f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 36}" text-anchor="middle">{WORDS[tongue]["axis"]}</text>'
    size = f'width="720" height="{bottom + 46}" viewBox="0 0 720 {bottom + 46}"'
    body = "\n".join([*parts, axis])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{STYLE}</style>\n{body}\n</svg>\n'


def _figure(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _interval(found: dict[str, float]) -> str:
    return f"{_figure(found['mean'])} [{_figure(found['lo'])}, {_figure(found['hi'])}]"


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [heads, ("---", *["---:"] * (len(heads) - 1)), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def probes(variants: dict[str, Any], tongue: str) -> str:
    """Scores of the variants, then what else can be done with the preset's members, and its other uses."""
    words, rows = WORDS[tongue], []
    for name, found in variants.items():
        agreement = found["agreement"]
        figures = (found["total"]["mean"], found["best of population"], agreement["rank_correlation"])
        rows.append(
            [
                words[name],
                _interval(found["score"]),
                *map(_figure, figures),
                f"{agreement['best_foretold']:.0%}",
                str(len(found["seeds"])),
            ]
        )
    text = _table(words["heads"], rows)
    preset = variants.get("preset")
    if preset:
        text += "\n" + _table(words["rivals"], _rivals(preset, words))
        text += "\n" + _table(words["uses"], [[f"`{name}`", _interval(found)] for name, found in preset["uses"].items()])
    about = next(iter(variants.values()))
    return text + f"\n<sub>{words['note'].format(tasks=about['tasks'])}</sub>\n"


def _rivals(found: dict[str, Any], words: dict[str, Any]) -> list[list[str]]:
    named = [name for name in found["rivals"] if name not in ("no adaptation", "from scratch")]
    rows = [[f"`{name}`", _interval(found["rivals"][name])] for name in named]
    return [[f"**{words['MetaModel']}**", _interval(found["total"])], *rows]


def elsewhere(variants: dict[str, Any], tongue: str) -> str:
    """The preset's agents where training never was."""
    found = variants.get("preset", {}).get("elsewhere")
    return _table(WORDS[tongue]["elsewhere"], _rivals(found, WORDS[tongue])) if found else ""


def main(arguments: list[str] | None = None) -> int:
    """Write figures and tables, or check them."""
    parser = argparse.ArgumentParser(prog="python docs/probes.py", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is stale")
    check = parser.parse_args(arguments).check
    measured = json.loads(MEASURED.read_text("utf-8"))["variants"]
    variants = {name: measured[name] for name in WORDS["en"] if name in measured}
    stale = []
    for tongue, page in PAGES.items():
        text = page.read_text("utf-8")
        new = text
        for name, made in (("probes", probes(variants, tongue)), ("elsewhere", elsewhere(variants, tongue))):
            new = re.sub(
                rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, made=made: m[1] + made + m[2], new, flags=re.DOTALL
            )
        for path, old, made in ((page, text, new), (DRAWN[tongue], _old(DRAWN[tongue]), drawn(variants, tongue))):
            if old != made:
                stale.append(str(path.relative_to(ROOT)))
                if not check:
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(made, "utf-8")
    if stale:
        print(("stale: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


def _old(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
