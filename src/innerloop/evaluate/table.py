"""The evaluation as a table on the terminal. Not the page: that is `report.py`."""

from __future__ import annotations

import math
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NAME = 24  # columns of the terminal for names at most; longer ones take two lines
COLUMNS = 5  # points of the curve shown at most, so that the table fits 80 columns


def _pick(length: int) -> list[int]:
    """Which points of the curve to show."""
    if length <= COLUMNS:
        return list(range(length))
    return sorted({round(i * (length - 1) / (COLUMNS - 1)) for i in range(COLUMNS)})


def _decimals(values: list[float]) -> int:
    """Decimals that give the largest of them three digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return min(3, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 0


def _measures(contenders: dict[str, Any]) -> Table | None:
    """What the family is judged by beside the return, a column each."""
    told = {name: c["measures"] for name, c in contenders.items() if c.get("measures")}
    if not told:
        return None
    first = next(iter(told.values()))
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", max_width=NAME)
    for name, measure in first.items():
        table.add_column(f"{name}, {measure['unit']}" if measure["unit"] else name, justify="right")
    for number, (name, measures) in enumerate(told.items()):
        cells = []
        for column, measure in first.items():
            point = measures[column]["trial"]
            digits = min(2, _decimals([measure["trial"]["mean"]]))
            cells.append(f"{point['mean']:.{digits}f} ± {(point['hi'] - point['lo']) / 2:.{digits}f}")
        table.add_row(name, *cells, style="" if number else "bold")
    return table


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print what `innerloop evaluate` found, within 80 columns."""
    console = console or Console(highlight=False)
    unit, curve, oracle = result["unit"], result["curve"], result["oracle"]
    shown = _pick(len(curve))
    modes = {f"{result['recipe']}, by its mode": result["deterministic"]} if "deterministic" in result else {}
    contenders = {result["recipe"]: result} | modes | result["baselines"]
    curves = {name: [c["curve"][i]["mean"] for i in shown if i < len(c.get("curve") or ())] for name, c in contenders.items()}
    fine, whole = _decimals(curves[result["recipe"]]), _decimals([result["total"]["mean"]]) + 1
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(unit, max_width=NAME)
    for i in shown:
        table.add_column(str(curve[i]["experience"]), justify="right", no_wrap=True)
    table.add_column("last" if unit == "gradient step" else "total", justify="right", no_wrap=True)
    for number, (name, contender) in enumerate(contenders.items()):
        cells = [f"{value:.{fine}f}" for value in curves[name]]
        cells += [""] * (len(shown) - len(cells))
        total = contender.get("total")
        end = f"{total['mean']:.{whole}f} ± {(total['hi'] - total['lo']) / 2:.{whole}f}" if total else ""
        table.add_row(name, *cells, end, style="" if number else "bold")
    if oracle:
        table.add_row(f"oracle: {oracle['name']}", *[""] * len(shown), f"{oracle['total']:.{whole}f}   " + " " * (whole + 2))
    if result["gap"]:
        closed = [f"{result['gap'][i]['mean']:.0%}" for i in shown]
        table.add_row("gap to the oracle closed", *closed, "")
    measures = _measures(contenders)
    seeds = f", {len(result['seeds'])} seeds" if len(result["seeds"]) > 1 else ""
    gain = result["gain"]
    console.print(f"[bold]{result['recipe']} on {result['family']}[/bold]: return at each {unit} in new tasks\n")
    console.print(table)
    if measures:
        last = "after the last step" if unit == "gradient step" else "mean over the trial"
        console.print(f"\nBeside the return, {last}\n")
        console.print(measures)
    console.print(
        f"\n{result['tasks']:,} {result['split']} tasks{seeds}, {result['policy']} policy; ± is half of the 95 % interval over "
        f"{result['interval']}.\nGain from first to last {unit}: {gain['mean']:.3g} [{gain['lo']:.3g}, {gain['hi']:.3g}].",
        markup=False,
    )
    if "protocol" in result:
        told = ", ".join(f"{name} {value}" for name, value in result["protocol"].items())
        console.print(f"Protocol: {told}.", markup=False)
    if "score" in result:
        value, agreement = result["score"], result["agreement"]
        console.print(
            f"Score, 0 at the single best member and 1 at the best in each task: {value['mean']:.2f} [{value['lo']:.2f}, "
            f"{value['hi']:.2f}].\nPredictions at the trial's end: rank correlation {agreement['rank_correlation']:.2f}, best "
            f"member foretold in {agreement['best_foretold']:.0%},\n90 % intervals hold the truth in "
            f"{agreement['coverage_of_90']:.0%}."
        )
    if unit == "gradient step":
        console.print(f"Each gradient step uses {result['interaction']:,} environment steps of its task.")
    if result["tiny"]:
        console.print("This family has a handful of tasks: all of them stand in every split.")
    if result["incomplete"]:
        console.print(f"{result['incomplete']} tasks had no whole unit somewhere (discarded episodes) and do not count.")
