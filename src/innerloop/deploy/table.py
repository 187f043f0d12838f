"""What `innerloop adapt` found, on the terminal within 80 columns. Not the file: that is adaptation.json."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

ROWS = 20  # at most; more episodes share a row


def blocks(learned: list[int], learns: bool) -> list[tuple[int, int]]:
    """Which episodes share a row, as [begin, end): those lived with the same weights, or each; never more than ROWS."""
    count = len(learned)
    if learns and len(set(learned)) > 1:
        edges = [0, *(i for i in range(1, count) if learned[i] != learned[i - 1]), count]
    else:
        edges = list(range(count + 1))
    size = -(-(len(edges) - 1) // ROWS)
    edges = [*edges[:-1:size], count]
    return list(zip(edges, edges[1:], strict=False))


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print returns by episode beside the unadapted policy's."""
    console = console or Console(highlight=False)
    learned, returns, beside = (result[name] for name in ("learned", "returns", "unadapted"))
    task = f", task {result['task']}" if result["task"] else ""
    console.print(f"[bold]{result['run']}[/bold] in {result['environment']}{task}: return of an episode\n")
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    learns = max(learned, default=0) > 0
    for name in ("episode", *(["steps of learning"] if learns else []), result["recipe"], "no adaptation"):
        table.add_column(name, justify="left" if name == "episode" else "right")
    decimals = 1 if max(map(abs, (*returns, *beside)), default=0.0) >= 100 else 2
    for begin, end in blocks(learned, learns):
        first, last = (result["behind"] + i + 1 for i in (begin, end - 1))
        cells = [str(first) if first == last else f"{first} – {last}"]
        cells += [str(learned[begin])] if learns else []
        cells += [f"{np.mean(x[begin:end]):.{decimals}f}" for x in (returns, beside) if x[begin:end]]
        table.add_row(*cells)
    console.print(table)
    after = result["after"]
    if after:
        over = "the last episode" if after["episodes"] == 1 else f"the last {after['episodes']} episodes, on average"
        console.print(f"\n{over}: {after['adapted']:.{decimals}f}, and {after['unadapted']:.{decimals}f} without adaptation.")
    for name, file in (result["video"] or {}).items():
        console.print(f"{name}: {file}", markup=False)
    console.print(f"agent: {result['agent']}", markup=False)
