"""VariBAD on GridNavi, in frames per CPU-second, beside the original's.

    python benchmarks/varibad.py [NAME ...]      writes benchmarks/results/varibad.json

`published` has the original's settings: 16 tasks of 60 steps an update, PPO with 2 epochs of 4 minibatches, 3 steps of the
belief on 25 trials with every belief and every transition. `preset` is the recipe's own. CPU-seconds of all threads, compile
time apart; NPROC=1 OMP_NUM_THREADS=1 says more on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from throughput import measured

from innerloop.requests import resolve
from innerloop.run.folder import versions
from innerloop.run.train import Trainer
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "varibad.json"
ORIGINAL = 1000  # frames per CPU-second of the original's main process on GridNavi, as measured for this project

PUBLISHED = {
    "meta_batch": 16,
    "outer": {
        "policy": {"epochs": 2, "minibatches": 4},
        "batch": 25,
        "replays": 3,
        "terms": 0,
        "decodes": 0,
        "weighting": "published",
    },
    "inner": {"width": 64, "latent": 5},
}


def varibad(settings: dict[str, Any]) -> dict[str, Any]:
    recipe, family = resolve({"recipe": "varibad", "tasks": "grid-navi", "steps": None, "settings": settings})
    trainer = Trainer(recipe, family, world_of(family))
    carried = trainer.first(0)
    found = measured(lambda: trainer.iterate(carried), recipe.interactions, 5)
    return found | {"times_the_original": round(found["steps_per_cpu_second"] / ORIGINAL, 1)}


CASES = {
    "published": lambda: varibad(PUBLISHED),
    "preset": lambda: varibad({}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    found = json.loads(RESULTS.read_text())["cases"] if RESULTS.is_file() else {}
    for name in parser.parse_args().names or CASES:
        found[name] = CASES[name]()
        print(name, json.dumps(found[name]), flush=True)
        machine = {"processor": platform.processor() or platform.machine()}
        RESULTS.write_text(json.dumps({"machine": machine, "versions": versions(), "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
