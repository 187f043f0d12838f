"""VariBAD in frames per CPU-second, and PEARL in gradient and environment steps per CPU-second with what bounds it.

    python benchmarks/task_inference.py [NAME ...]      writes benchmarks/results/task_inference.json

`varibad-published` has the settings of the original's GridNavi: 16 tasks of 60 steps an update, PPO with 2 epochs of 4
minibatches, 3 steps of the belief on 25 trials with every belief and every transition. `varibad` is the recipe's own preset. Of
PEARL, one update is measured whole, its lives alone, and one gradient step by the difference of two numbers of them.
CPU-seconds of all threads, compile time apart; NPROC=1 OMP_NUM_THREADS=1 says more on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from throughput import measured

from innerloop.requests import resolve
from innerloop.run.folder import versions
from innerloop.run.train import Trainer
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "task_inference.json"
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


def pearl(tasks: str) -> dict[str, Any]:
    recipe, family = resolve({"recipe": "pearl", "tasks": tasks, "steps": None, "settings": {}})
    world = world_of(family, **({} if family.on_device else {"workers": 0}))
    few, many = 10, 30
    cost = {}
    for replays in (few, many):
        trainer = Trainer(replace(recipe, outer=replace(recipe.outer, replays=replays)), family, world)
        carried = trainer.first(0)
        for _ in range(-(-recipe.outer.pool // recipe.meta_batch)):
            carried, _ = trainer.iterate(carried)
        cost[replays] = measured(lambda t=trainer, c=carried: t.iterate(c), recipe.interactions, 2)["cpu_us_per_step"]
    step = (cost[many] - cost[few]) / (many - few) * recipe.interactions / 1e6
    drawn = family.sample(jax.random.key(0), recipe.meta_batch)
    meta = recipe.outer.meta(carried.outer)

    def live(meta: Any) -> Any:
        return world.live(recipe.inner, meta, drawn, jax.random.key(1), learn_last=False)[0].chunks.reward

    lived = jax.jit(live) if world.jittable else live
    acting = measured(lambda: lived(meta), recipe.interactions, 2)["cpu_us_per_step"] * recipe.interactions / 1e6
    whole = cost[few] * recipe.interactions / 1e6 + (recipe.outer.replays - few) * step
    world.close()
    return {
        "gradient_steps_per_cpu_second": round(1 / step, 1),
        "environment_steps_per_cpu_second": round(recipe.interactions / whole),
        "rows_per_gradient_step": recipe.outer.batch * recipe.outer.rows,
        "share_of_gradient_steps": round(recipe.outer.replays * step / whole, 3),
        "share_of_acting": round(acting / whole, 3),
    }


CASES = {
    "varibad-published": lambda: varibad(PUBLISHED),
    "varibad": lambda: varibad({}),
    "pearl-semi-circle-pearl": lambda: pearl("semi-circle-pearl"),
    "pearl-half-cheetah-vel-u3": lambda: pearl("half-cheetah-vel-u3"),
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
