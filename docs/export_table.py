"""The table of docs/export.md, from benchmarks/results/export.json.

python docs/export_table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "export.md", ROOT / "benchmarks" / "results" / "export.json"
HEAD = (
    "| agent | agents × streams in a call | trials | decisions | greedy actions that differ | adapted state | after one step "
    "of learning | the original beside itself |\n|---|---|--:|--:|--:|--:|--:|--:|"
)


def number(x: float) -> str:
    """ "1.2e-06"; 0 as it is."""
    return f"{x:.1e}" if x else "0"


def row(name: str, found: dict[str, Any]) -> str:
    """One agent's line of the table."""
    if "refused" in found:
        return f"| {name} | refused: {found['refused']} | | | | | | |"
    differs = f"{found['different']:,}" + (f" (by {number(found['margin'])})" if found["margin"] else "")
    if found["action"]:
        differs = f"by {number(found['action'])} at most"
    step = number(found["step"]) if found["step"] else ""
    if found.get("apart"):
        step += f"; above 1e-5 in {found['apart']:,} of {found['steps']:,}"
    cells = [
        name, f"{found['agents']} × {found['streams']}", f"{found['trials']:,}", f"{found['decisions']:,}", differs,
        number(found["relative"]), step, number(found["itself"]["relative"]),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def filled(text: str, results: dict[str, Any]) -> str:
    """The page with both tables anew."""
    for format in ("onnx", "savedmodel"):
        rows = [row(name, found) for name, found in results.get(format, {}).items()]
        table = "\n".join([HEAD, *rows]) if rows else "Not measured."
        text = re.sub(rf"(<!-- {format} -->\n).*?(<!-- /{format} -->)", rf"\g<1>{table}\n\g<2>", text, flags=re.DOTALL)
    return text


def main(argv: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where the page is not current")
    check = parser.parse_args(argv).check
    text = PAGE.read_text("utf-8")
    new = filled(text, json.loads(RESULTS.read_text("utf-8")))
    if not check:
        PAGE.write_text(new, "utf-8")
    return int(check and new != text)


if __name__ == "__main__":
    sys.exit(main())
