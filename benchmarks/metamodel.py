"""What a probe is worth to the MetaModel, on `semi-circle-dense`: trained variants, their rivals and scores.

    python benchmarks/metamodel.py [NAME ...] [--seeds 0:5] [--runs DIR]     writes benchmarks/results/metamodel.json

Variants choose once (and have no generalist beside them), after a probe of so many steps: by the member that is best on average
("single") or by a learned policy. `states` is the founding article's form, which reads states and no rewards. `preset` is the
recipe as it is, which chooses again at every step; its runs are lived with other uses too, and in `semi-circle-dense-below`,
goals that training never had. Runs lie in DIR and are taken from there if they are finished.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

import innerloop
from innerloop.evaluate.adaptation import Evaluator, totals
from innerloop.evaluate.statistics import over_seeds
from innerloop.loading import load
from innerloop.run.folder import members, read_json, versions
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "metamodel.json"
FAMILY, ELSEWHERE, TASKS = "semi-circle-dense", "semi-circle-dense-below", 2000
STEPS = 400 * 64 * 9 * 20  # as many updates as the preset makes, which has a generalist as well


def once(probe: int, explores: str, **inner: Any) -> dict[str, Any]:
    chosen = {"switch": "once", "generalist": False, "probe": probe, "explores": explores, **inner}
    return {f"inner.{name}": value for name, value in chosen.items()}


VARIANTS: dict[str, dict[str, Any]] = {
    "states, 5 steps by the single best": once(5, "single", reads="states"),
    "1 step by the single best": once(1, "single"),
    "5 steps by the single best": once(5, "single"),
    "1 step, learned": once(1, "learned"),
    "5 steps, learned": once(5, "learned"),
    "preset": {},
}
USES = ("select", "mix", "thompson", "ucb")


def used(runs: list[Path]) -> dict[str, Any]:
    """Total of the same runs by each use of the predictions, over seeds."""
    found = {}
    for use in USES:
        each = []
        for number, run in enumerate(runs):
            recipe, family, meta, _ = load(run)
            family = family.split("test")
            inner = replace(recipe.inner.with_plan(recipe.evaluation), use=use)
            key = jax.random.fold_in(jax.random.key(0), number)
            each.append(totals(Evaluator(inner, family, world_of(family), recipe.unit)(meta, TASKS, key)[0], recipe.unit))
        found[use] = over_seeds(np.stack(each)).point()
    return found


def row(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "total": found["total"],
        "best of population": found["oracle"]["total"],
        "score": found["score"],
        "agreement": found["agreement"],
        "rivals": {name: other["total"] for name, other in found["baselines"].items()},
        "seeds": found["seeds"],
        "tasks": found["tasks"],
    }


def variant(name: str, seeds: range, runs: Path) -> dict[str, Any]:
    folder = runs / name.replace(", ", "-").replace(" ", "-")
    if not finished(folder, seeds):
        steps = STEPS if VARIANTS[name] else None
        innerloop.train(
            "metamodel", tasks=FAMILY, seed=list(seeds), steps=steps, out=folder, settings=VARIANTS[name], quiet=True
        )
    found = row(innerloop.evaluate(folder, tasks=TASKS)) | {"settings": VARIANTS[name]}
    if name == "preset":
        found["uses"] = used([run.path for run in members(folder)])
        found["elsewhere"] = row(innerloop.evaluate(folder, tasks=TASKS, on=ELSEWHERE))
    return found


def finished(folder: Path, seeds: range) -> bool:
    if not folder.is_dir():
        return False
    states = {read_json(run.path / "run.json")["seed"]: read_json(run.path / "run.json")["status"] for run in members(folder)}
    return all(states.get(seed) == "finished" for seed in seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(VARIANTS)}; default: all")
    parser.add_argument("--seeds", default="0:5")
    parser.add_argument("--runs", type=Path, default=Path("runs/metamodel-probes"))
    chosen = parser.parse_args()
    seeds = range(*map(int, chosen.seeds.split(":")))
    found = json.loads(RESULTS.read_text())["variants"] if RESULTS.is_file() else {}
    for name in chosen.names or VARIANTS:
        found[name] = variant(name, seeds, chosen.runs)
        print(name, json.dumps(found[name]["score"]), flush=True)
        machine = {"processor": platform.processor() or platform.machine()}
        whole = {"family": FAMILY, "machine": machine, "versions": versions(), "variants": found}
        RESULTS.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
