"""What is in the zoo: every entry with its card, as a table or one by one.

Not the shelf that entries are put on (`shelf.py`). Reads cards only, so that it answers at once.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from innerloop.loading import locate, zoo
from innerloop.run.folder import FolderError, read_json

if TYPE_CHECKING:
    from rich.console import Console


def cards() -> list[dict[str, Any]]:
    """Every card in the zoo, by name."""
    return [read_json(path) for path in sorted(zoo().glob("*/card.json"))]


def card(name: str) -> dict[str, Any]:
    """The card of one entry, NAME or zoo:NAME; FolderError says which there are."""
    name = name.removeprefix("zoo:")
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise FolderError(
            f"{name!r} is no entry's name; `innerloop zoo` lists them. To put a run on the shelf, give --name too."
        )
    return read_json(locate(f"zoo:{name}") / "card.json")


def figure(value: float) -> str:
    """Two decimals, or what shows three digits of a small number."""
    return f"{value:,.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def reach(value: dict[str, float]) -> str:
    """A mean with its interval."""
    return f"{figure(value['mean'])} [{figure(value['lo'])}, {figure(value['hi'])}]"


def cost(found: dict[str, Any]) -> str:
    """Environment steps and CPU minutes of training, per seed; of stages one after the other, summed."""
    stages = [*found.get("before", []), found]
    steps = sum(s["env_steps"] for s in stages)
    seconds = [s for s in found["cpu_seconds"] if s is not None]
    spent = [s["cpu_seconds"] for s in found.get("before", []) if s["cpu_seconds"] is not None]
    spent += [sum(seconds) / len(seconds)] if seconds else []
    devices = sorted({s["device"] for s in stages if s.get("device", "cpu") != "cpu"})
    said = f"{steps / 1e6:.3g}M steps" if steps else "not trained"
    said += f", {sum(spent) / 60:.0f} min" if spent else ""
    return said + (f" ({', '.join(devices)})" if devices else "")


def listed(found: list[dict[str, Any]], console: Console | None = None) -> None:
    """Print one row an entry. Where the output is no terminal, rows are as wide as they need to be."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=240, file=console.file)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("zoo:", overflow="fold")
    for head in ("method", "family", "result [95 % interval]", "oracle", "seeds", "cost of a seed"):
        table.add_column(head, overflow="fold", justify="right" if head in ("oracle", "seeds") else "left")
    for one in found:
        result = one["result"]
        oracle = result.get("oracle")
        row = [one["name"], one["recipe"], one["family"], reach(result["total"]), figure(oracle["total"]) if oracle else "–"]
        table.add_row(*row, str(len(one["seeds"])), cost(one))
    console.print(table)
    console.print(
        f"\n{len(found)} entries. Result: return summed over a trial, or after the last gradient step, on held-out tasks. "
        "The weights are the first seed's.\nOne of them: innerloop zoo NAME; adapt it: innerloop adapt zoo:NAME",
        markup=False,
    )


def show(found: dict[str, Any], console: Console | None = None) -> None:
    """Print a card."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in told(found):
        table.add_row(name, value)
    console.print(table, markup=False)
    console.print(f"\nnext: innerloop adapt zoo:{found['name']}; innerloop report zoo:{found['name']}", markup=False)


def told(found: dict[str, Any]) -> list[tuple[str, str]]:
    """A card as names and sentences."""
    result = found["result"]
    curve, unit = result["curve"], result["unit"]
    several = f"{reach(curve[0])} → {reach(curve[-1])}, {unit}s {curve[0]['experience']} to {curve[-1]['experience']}"
    rows = [
        ("entry", f"zoo:{found['name']}"),
        ("method", found["recipe"]),
        ("family", found["family"]),
        ("first → last", several if len(curve) > 1 else "–"),
        ("after the last step" if unit == "gradient step" else "total of a trial", reach(result["total"])),
    ]
    if result.get("oracle"):
        rows.append(("oracle", f"{figure(result['oracle']['total'])} ({result['oracle']['name']})"))
    for name, measure in result.get("measures", {}).items():
        rows.append((f"{name}, {measure['unit']}" if measure["unit"] else name, reach(measure["trial"])))
    if result.get("deterministic"):
        rows.append(("by the mode", reach(result["deterministic"]["total"])))
    if result.get("score"):
        rows.append(("score of the choice", f"{reach(result['score'])}; 0: single best member, 1: best member of each task"))
    policy, split = result.get("policy", "stochastic"), result.get("split", "test")
    rows.append(("measured on", f"{result['tasks']:,} {split} tasks, {policy} policy; intervals over {result['interval']}"))
    if result.get("incomplete"):
        rows.append(("left out", f"{result['incomplete']} tasks without every unit's return"))
    rows.append(("seeds", ", ".join(map(str, found["seeds"])) + "; the weights are the first one's"))
    rows.append(("cost of a seed", cost(found)))
    for stage in found.get("before", []):
        rows.append(("began with", shlex.join(map(str, stage["command"]))))
    rows.append(("trained by", shlex.join(map(str, found["command"]))))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())))
    rows.append(("digest", found["training_digest"]))
    return rows
