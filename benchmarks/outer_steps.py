"""What an outer step costs where learning rules are learned: LPG's meta-step beside GROOVE's, and generations of evolution.

    python benchmarks/outer_steps.py [NAME ...]      writes benchmarks/results/outer_steps.json

CPU-seconds of all threads, compile time apart; NPROC=1 OMP_NUM_THREADS=1 says more on a shared machine. GROOVE's figure is of
its own code (github.com/EmptyJackson/groove) with the same 32 agents, 16 workers, K = 5, T = 20 and 64 units, in its grid
worlds (`all_shortlife`), by the difference between runs of 6 and of 2 meta-steps on the machine of these results, one thread;
it takes JAX 0.4.30 and one changed line (flax's GRUCell wants its size). All of evolution's population lives side by side on
the device.
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

RESULTS = Path(__file__).parent / "results" / "outer_steps.json"
GROOVE = 2.16  # CPU-seconds

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # name: recipe, family, settings
    "lpg": ("lpg", "grid-world", {}),
    "lpg-es": ("lpg-es", "grid-world", {}),
    "es-maml": ("es-maml", "point-goal", {}),
    "lpo": ("lpo", "grid-world", {}),
}


def step(recipe: str, tasks: str, settings: dict[str, Any]) -> dict[str, Any]:
    made, family = resolve({"recipe": recipe, "tasks": tasks, "steps": None, "settings": settings})
    trainer = Trainer(made, family, world_of(family))
    carried = trainer.first(0)
    plan = made.inner.plan
    size = {"tasks": made.meta_batch, "lives of a task": made.outer.lives(made.inner)}
    size |= {"streams": plan.streams, "chunks": plan.chunks, "steps": plan.steps}
    found = measured(lambda: trainer.iterate(carried), made.interactions, 3)
    cost = found["cpu_us_per_step"] * found["steps"] / 1e6
    return {"size": size, "cpu_seconds": round(cost, 3), "per_cpu_second": round(1 / cost, 3)} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    found = json.loads(RESULTS.read_text())["cases"] if RESULTS.is_file() else {}
    for name in parser.parse_args().names or CASES:
        found[name] = step(*CASES[name])
        if name == "lpg":
            found[name]["times as fast as GROOVE"] = round(GROOVE / found[name]["cpu_seconds"], 2)
        print(name, json.dumps(found[name]), flush=True)
        machine = {"processor": platform.processor() or platform.machine()}
        whole = {"groove_cpu_seconds": GROOVE, "machine": machine, "versions": versions(), "cases": found}
        RESULTS.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
