"""What every method of the zoo earns in every family, in one page: `python docs/worlds_table.py` writes docs/worlds.md.

Not a measurement: the figures are those of `zoo/*/evaluation.json`, which `innerloop evaluate` wrote. A family has a table
for each unit of experience; rows are the methods, what stands beside them in their reports, and the known optimum.
`--check` changes nothing and fails where the page is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "worlds.md"
COLUMNS = 6  # units of experience that are shown at most
ABOUT = """# Every family, every method

Returns in tasks that were held out, by how much of the task has been lived: final checkpoints of the [zoo](../zoo),
tasks of the test split, actions as the policy draws them. ± is half of the 95 % interval, over seeds where there are
several, else over tasks. *No adaptation* is the method's own net that keeps nothing between units, *from scratch*
learns in the test task alone with the same experience, *random* draws its actions evenly; what else stands there is
known optima and the method's own rivals. [The protocol](evaluation.md).

Written from `zoo/*/evaluation.json` by `python docs/worlds_table.py`.
"""


def figure(value: float) -> str:
    """Two digits, of large numbers none."""
    return (f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}").replace("-", "−")


def shown(length: int) -> list[int]:
    """Which points of a curve: the first, the last, and some between."""
    count = min(length, COLUMNS)
    return sorted({round(i * (length - 1) / max(count - 1, 1)) for i in range(count)})


def cells(name: str, who: dict[str, Any], at: list[int]) -> list[str]:
    """One row of a table."""
    curve, total = who.get("curve") or [], who.get("total")
    points = [figure(curve[i]["mean"]) if i < len(curve) else "–" for i in at]
    if isinstance(total, dict):
        whole = f"{figure(total['mean'])} ± {figure((total['hi'] - total['lo']) / 2)}"
    else:
        whole = figure(total) if total is not None else "–"
    return [name, *points, whole]


def table(unit: str, found: list[dict[str, Any]]) -> str:
    """The Markdown of one family and unit."""
    at = shown(len(found[0]["curve"]))
    experience = [str(found[0]["curve"][i]["experience"]) for i in at]
    sums = "after the last" if unit == "gradient step" else "whole trial"
    rows = [[f"after {unit}s" if unit == "gradient step" else unit, *experience, sums]]
    rows.append(["---", *["---:"] * (len(at) + 1)])
    several = len(found) > 1
    for one in found:
        rows.append(cells(f"**{one['recipe']}** ({one['tasks']:,} tasks, seeds: {len(one['seeds'])})", one, at))
        for name, who in one["baselines"].items():
            rows.append(cells(f"{name} ({one['recipe']})" if several else name, who, at))
        if one.get("oracle") and one["oracle"]["name"] not in one["baselines"]:
            rows.append(cells(one["oracle"]["name"], one["oracle"], at))
    unique = list(dict.fromkeys(map(tuple, rows)))
    return "\n".join("| " + " | ".join(row) + " |" for row in unique) + "\n"


def page(shelf: Path) -> str:
    """All of it."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(shelf.glob("*/evaluation.json"))]
    found.sort(key=lambda one: (one["family"], one["unit"], one["recipe"]))
    parts = [ABOUT]
    for family, ofthis in groupby(found, lambda one: one["family"]):
        parts.append(f"## {family}\n")
        parts += [table(unit, list(some)) for unit, some in groupby(ofthis, lambda one: one["unit"])]
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(prog="python docs/worlds_table.py", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where the page is not what the zoo says")
    check = parser.parse_args(arguments).check
    text = page(ROOT / "zoo")
    if PAGE.is_file() and PAGE.read_text("utf-8") == text:
        return 0
    if check:
        print("docs/worlds.md is stale: python docs/worlds_table.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, "utf-8")
    print("written: docs/worlds.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
