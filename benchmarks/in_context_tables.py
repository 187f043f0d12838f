"""The RL² tables: published figures, classical strategies computed here, and ours: `python benchmarks/in_context_tables.py`.

Not a measurement: ours is what the zoo's cards say, the strategies what `innerloop.evaluate.oracles` ships, the published rows
what `in_context_published.json` quotes. Prints and writes in-context.md and in-context.json to `benchmarks/results`.

A published figure can stand above the optimum: it has one decimal and comes from finitely many trials. With 50 arms and 10
pulls the optimum is 6.714, and RL² is printed as 6.8.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from innerloop.evaluate import oracles

HERE = Path(__file__).resolve().parent
TABLES = {  # family: title, our strategies (column: key in the reference)
    "bandit": (
        "Bernoulli bandits",
        {"random": "random", "Thompson": "thompson", "UCB1": "ucb1", "tuned UCB1": "ucb1-tuned", "Gittins": "gittins"},
    ),
    "tabular-mdp": ("Tabular MDPs", {"random": "random", "PSRL": "psrl", "known MDP": "known MDP"}),
}


def cards(shelf: Path) -> dict[str, list[dict[str, Any]]]:
    """Cards on the shelf, by family."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(shelf.glob("*/card.json")):
        card = json.loads(path.read_text("utf-8"))
        found.setdefault(card["family"], []).append(card)
    return found


def rows(kind: str, published: dict[str, Any], shelf: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each cell of a published table; figures as plain numbers, None where there is none."""
    out = []
    for family, printed in published[kind]["rows"].items():
        said = dict(zip(published[kind]["columns"], printed, strict=True))
        known = oracles.load(family) if family in oracles.SHIPPED else None
        totals = {name: value["total"] for name, value in known["baselines"].items()} if known else {}
        ours = [
            {"name": card["name"], "recipe": card["recipe"], "seeds": len(card["seeds"]), "tasks": card["result"]["tasks"]}
            | {name: card["result"]["total"][name] for name in ("mean", "lo", "hi")}
            for card in shelf.get(family, [])
        ]
        out.append(
            {
                "family": family,
                "strategies": {column: totals.get(key) for column, key in TABLES[kind][1].items()},
                "bound": known.get("bound") if known else None,
                "published": {"RL²": said["rl2"], "SNAIL": said["snail"]},
                "ours": ours,
            }
        )
    return out


def markdown(kind: str, table: list[dict[str, Any]]) -> str:
    """The table, a line for each cell."""
    title, strategies = TABLES[kind]
    head = ["family", *strategies, "no policy exceeds", "RL² (published)", "SNAIL (published)", "ours [95 % interval]"]
    lines = [f"## {title}: total reward of a trial", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in table:
        cells = [f"`{row['family']}`"]
        cells += [_figure(value["mean"]) if value else "–" for value in row["strategies"].values()]
        cells.append(f"{_figure(row['bound']['total'])} ({row['bound']['name']})" if row["bound"] else "–")
        cells += [str(value) for value in row["published"].values()]
        cells.append("; ".join(_ours(card) for card in row["ours"]) or "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:.1f}"


def _ours(card: dict[str, Any]) -> str:
    mean, lo, hi = (_figure(card[name]) for name in ("mean", "lo", "hi"))
    seeds = f"{card['seeds']} seed{'s' if card['seeds'] > 1 else ''}"
    return f"**{mean}** [{lo}, {hi}] ({card['recipe']}, {seeds}, {card['tasks']:,} tasks)"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--zoo", type=Path, default=HERE.parent / "zoo", help="shelf of trained entries")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args(arguments)
    published = json.loads((HERE / "in_context_published.json").read_text("utf-8"))
    shelf = cards(given.zoo)
    tables = {kind: rows(kind, published, shelf) for kind in TABLES}
    note = (
        "Strategies and bounds are computed by `python -m innerloop.evaluate.oracles`; ours are final checkpoints on held-out "
        f"tasks, from the zoo's cards. Published: {published['source']}. A published figure above the bound is rounding or "
        "noise of its finite trials: with 50 arms and 10 pulls the optimum is 6.714. UCB1 is as Auer et al. 2002 have it; the "
        "papers' is a tuned one, whose figures are those of tuned UCB1 here."
    )
    text = "\n\n".join(["# RL² tables", *(markdown(kind, table) for kind, table in tables.items()), note]) + "\n"
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "in-context.md").write_text(text, "utf-8")
    (given.out / "in-context.json").write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
