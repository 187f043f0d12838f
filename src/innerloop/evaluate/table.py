"""The evaluation as a table on the terminal. Not the page: that is `report.py`."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = 5  # points of the curve shown at most, so that the table fits 80 columns


def _pick(length: int) -> list[int]:
    """Which points of the curve to show."""
    if length <= COLUMNS:
        return list(range(length))
    return sorted({round(i * (length - 1) / (COLUMNS - 1)) for i in range(COLUMNS)})


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print what `innerloop evaluate` found."""
    console = console or Console()
    unit, curve = result["unit"], result["curve"]
    shown = _pick(len(curve))
    seeds = f", {len(result['seeds'])} seeds" if len(result["seeds"]) > 1 else ""
    table = Table(
        title=f"{result['recipe']} on {result['family']}: return at each {unit}",
        caption=f"{result['tasks']:,} {result['split']} tasks{seeds}, {result['policy']} policy; 95 % intervals over "
        f"{result['interval']}",
    )
    table.add_column("", no_wrap=True)
    for i in shown:
        table.add_column(
            f"{unit} {curve[i]['experience']}" if i == 0 else str(curve[i]["experience"]), justify="right", no_wrap=True
        )
    table.add_column("last" if unit == "gradient step" else "total", justify="right", no_wrap=True)

    def row(name: str, points: list[dict[str, float]], total: dict[str, float] | None, style: str = "") -> None:
        cells = [f"{points[i]['mean']:.3g}" if i < len(points) else "" for i in shown]
        end = f"{total['mean']:.4g} [{total['lo']:.4g}, {total['hi']:.4g}]" if total else ""
        table.add_row(name, *cells, end, style=style)

    row(result["recipe"], curve, result["total"], "bold")
    for name, baseline in result["baselines"].items():
        row(name, baseline.get("curve") or [], baseline.get("total"))
    if result["oracle"]:
        table.add_row(f"oracle: {result['oracle']['name']}", *[""] * len(shown), f"{result['oracle']['total']:.4g}")
    console.print(table)
    gain = result["gain"]
    console.print(f"gain from first to last {unit}: {gain['mean']:.3g} [{gain['lo']:.3g}, {gain['hi']:.3g}]")
    if result["tiny"]:
        console.print("This family has a handful of tasks: all of them stand in every split.")
    if result["incomplete"]:
        console.print(f"{result['incomplete']} tasks had no whole unit somewhere (discarded episodes) and do not count.")
