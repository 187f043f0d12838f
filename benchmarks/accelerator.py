"""On a GPU: steps per second of worlds and of whole updates, wall time, compile time apart, and the largest batch that fits.

    python benchmarks/accelerator.py [NAME ...] [--within SECONDS]      writes benchmarks/results/accelerator.json

"world": lives of a random policy; "update": an update of the recipe's preset with the batch and minibatches given here, and
what of it is living; "largest batch": the largest power of two whose update runs to its end, in minibatches of 1,024 tasks.
Nothing is begun after SECONDS.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from innerloop.inner.indifferent import Indifferent
from innerloop.requests import resolve
from innerloop.run.config import Recipe
from innerloop.run.facts import facts
from innerloop.run.trainer import Trainer
from innerloop.tasks.family import Family
from innerloop.worlds.device import DeviceWorld

CASES = {  # family: (batch, minibatches, settings, the batch that `largest` begins with)
    "tabular-mdp-n10": (4096, 32, {}, 2**22),
    "bandit-k10-n100": (2048, 16, {"inner.memory": "gdn"}, 2**22),
    "dark-room": (2048, 16, {}, 2**19),
    "grid-navi": (4096, 32, {"inner.memory": "gdn"}, 2**20),
}
WORLDS = (4096, 65536)  # lives side by side
RESULTS = Path(__file__).parent / "results" / "accelerator.json"


def timed(work: Callable[[], Any], seconds: float = 2.0) -> tuple[float, float]:
    """Of the first call, and the mean of later ones that fill `seconds`."""
    clock = time.perf_counter()
    jax.block_until_ready(work())
    first, calls, clock = time.perf_counter() - clock, 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - clock < seconds:
        jax.block_until_ready(work())
        calls += 1
    return first, (time.perf_counter() - clock) / calls


def batched(recipe: Recipe, batch: int, minibatches: int) -> Recipe:
    return replace(recipe, meta_batch=batch, outer=replace(recipe.outer, minibatches=minibatches))


def world(family: Family, recipe: Recipe, lives: int) -> dict[str, Any]:
    idle, device = Indifferent(recipe.inner.plan, family.spaces), DeviceWorld(family)
    drawn = family.sample(jax.random.key(0), lives)

    @jax.jit
    def run(key: Any) -> Any:
        chunks = device.live(idle, (), drawn, key, learn_last=False)[0].chunks
        return chunks.reward.sum(), chunks.terminated.sum(), jax.tree.map(lambda x: x.sum(), chunks.step.obs)

    first, each = timed(lambda: run(jax.random.key(1)))
    return {"steps_per_second": round(lives * recipe.inner.plan.steps / each), "compile_seconds": round(first - each, 1)}


def update(family: Family, recipe: Recipe) -> dict[str, Any]:
    trainer = Trainer(recipe, family, DeviceWorld(family))
    carried = trainer.first(0)
    drawn, meta = family.sample(jax.random.key(0), recipe.meta_batch), recipe.outer.meta(carried.outer)
    lived = jax.jit(lambda meta: trainer.world.live(recipe.inner, meta, drawn, jax.random.key(1), learn_last=False)[0])
    first, each = timed(lambda: trainer.iterate(carried)[0])
    return {
        "batch": recipe.meta_batch,
        "minibatches": recipe.outer.minibatches,
        "steps_per_second": round(recipe.interactions / each),
        "seconds": round(each, 4),
        "seconds_of_living": round(timed(lambda: lived(meta))[1], 4),
        "compile_seconds": round(first - each, 1),
    }


def largest(family: Family, recipe: Recipe, batch: int) -> dict[str, Any]:
    """The first of `batch`, its half, its quarter … whose update runs to its end."""
    tried: dict[str, str] = {}
    while batch >= 1024:
        big = batched(recipe, batch, batch // 1024)
        trainer = Trainer(big, family, DeviceWorld(family))
        try:
            jax.block_until_ready(trainer.iterate(trainer.first(0))[0])
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            tried[f"{batch}"] = "does not fit"
            batch //= 2
        else:
            tried[f"{batch}"] = "fits"
            return {"batch": batch, "steps": big.interactions, "tried": tried}
    return {"batch": None, "tried": tried}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--within", type=float, default=600.0, help="begin nothing after so many seconds (default: 600)")
    given = parser.parse_args()
    if unknown := set(given.names) - set(CASES):
        parser.error(f"{', '.join(sorted(unknown))}: accepted are {', '.join(CASES)}.")
    until, found = time.perf_counter() + given.within, {}
    for name in given.names or CASES:
        batch, minibatches, settings, most = CASES[name]
        recipe, family = resolve({"recipe": "rl2", "tasks": name, "steps": None, "settings": settings})
        rows = found.setdefault(name, {})
        work = {f"world, {lives} lives": partial(world, family, recipe, lives) for lives in WORLDS}
        work["update"] = partial(update, family, batched(recipe, batch, minibatches))
        work["largest batch"] = partial(largest, family, recipe, most)
        for what, run in work.items():
            if time.perf_counter() > until:
                print(f"{name}, {what}: left out, {given.within:g} s are over", flush=True)
                continue
            rows[what] = run()
            print(f"{name}, {what}: {json.dumps(rows[what])}", flush=True)
            RESULTS.write_text(
                json.dumps({"command": "python benchmarks/accelerator.py", "machine": facts(), "cases": found}, indent=1) + "\n"
            )


if __name__ == "__main__":
    main()
