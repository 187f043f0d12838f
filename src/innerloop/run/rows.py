"""The rows of a run's log.jsonl, read back: whole ones only, cut at a checkpoint, as scalars.

Not who writes them (`log.py`). A row is `{"iteration", "env_steps", "seconds", "metrics": {name: number}, "heldout": {"mean",
"lo", "hi"}}`, the last where there was an evaluation; null stands for what is not finite. Imports the standard library only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from innerloop.run.folder import write_atomically

HELD_OUT = "heldout/"  # before the names of held-out scalars


def whole(line: bytes) -> dict[str, Any] | None:
    """The row of a line; None where it is torn, or no row."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and type(row.get("iteration")) is int else None


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a log.jsonl; torn lines and an absent file give none."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [row for row in map(whole, lines) if row is not None]


def rewind(path: str | os.PathLike[str], iteration: int) -> dict[str, Any] | None:
    """Drop the rows after `iteration`, and what is no whole row, from a log.jsonl; the last row kept, or None."""
    path = Path(path)
    if not path.exists():
        return None
    content = path.read_bytes()
    rows = [
        (line, row) for line in content.splitlines(keepends=True) if line.endswith(b"\n") and (row := whole(line)) is not None
    ]
    kept = [(line, row) for line, row in rows if row["iteration"] <= iteration]
    remaining = b"".join(line for line, _ in kept)
    if remaining != content:
        write_atomically(path, remaining)
    return kept[-1][1] if kept else None


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """What a row holds that is a number, by name; held-out returns under HELD_OUT."""
    named = [*row["metrics"].items(), *((HELD_OUT + name, value) for name, value in row.get("heldout", {}).items())]
    return {name: float(value) for name, value in named if isinstance(value, (int, float))}
