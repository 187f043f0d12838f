"""PEARL's speed: gradient steps and environment steps per CPU-second, and what an update's time is spent on.

    python benchmarks/pearl.py [--tasks semi-circle-pearl] [--set outer.replays=20 …]     writes benchmarks/results/pearl.json

Each part is timed alone, compile time apart, with one thread of XLA if NPROC=1 and OMP_NUM_THREADS=1 are set: living, one
update of few gradient steps and one of twice as many. Their difference is the gradient steps; the rest: memories and copies.
`overlap_saves_at_most`: the lesser of living's share and learning's, which two cores at once could save.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "pearl.json"


def measure(name: str, settings: dict[str, Any], repeats: int) -> dict[str, Any]:
    import jax

    from innerloop.registry import maker
    from innerloop.run.config import assign
    from innerloop.run.trainer import Trainer
    from innerloop.tasks.names import family as find
    from innerloop.worlds import world_of

    family = find(name)
    recipe = maker("pearl")(family)
    for setting, value in settings.items():
        recipe = assign(recipe, setting, value)
    recipe = recipe.settled()
    few = recipe.outer.replays
    world = world_of(family, workers=0)
    first = Trainer(recipe, family, world).first(0)
    metas, tasks = recipe.outer.propose(first.outer, family.sample(jax.random.key(0), recipe.meta_batch), jax.random.key(0))

    def live() -> Any:
        return world.live(recipe.inner, metas, tasks, jax.random.key(1), learn_last=False)[0]

    living, lived = cost(jax.jit(live) if world.jittable else live, repeats)
    lives = live()
    seconds, compiled = [], 0.0
    for count in (few, 2 * few):
        update = jax.jit(replace(recipe.outer, replays=count).update, static_argnums=0)
        one, compiled = cost(lambda update=update: update(recipe.inner, first.outer, lives, jax.random.key(2)), repeats)
        seconds.append(one)
    world.close()
    step = max((seconds[1] - seconds[0]) / few, 1e-9)
    whole = maker("pearl")(family).outer.replays if "outer.replays" in settings else few
    learning, rest = step * whole, max(seconds[0] - step * few, 0.0)
    total = living + learning + rest
    return {
        "tasks": name,
        "settings": settings,
        "gradient_steps_per_cpu_second": round(1 / step, 2),
        "env_steps_per_cpu_second": round(recipe.interactions / living),
        "update": {"gradient_steps": whole, "env_steps": recipe.interactions},
        "share": {
            "living": round(living / total, 4),
            "gradient steps": round(learning / total, 4),
            "rest": round(rest / total, 4),
        },
        "overlap_saves_at_most": round(min(living, learning + rest) / total, 4),
        "compile_cpu_seconds": round(compiled + lived, 1),
    }


def cost(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Least CPU-seconds of a later call, and those of the first beyond it."""
    import jax

    spent = []
    for _ in range(1 + repeats):
        begun = time.process_time()
        jax.block_until_ready(jax.tree.leaves(work()))
        spent.append(time.process_time() - begun)
    least = min(spent[1:])
    return least, spent[0] - least


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--tasks", default="semi-circle-pearl")
    parse.add_argument("--repeats", type=int, default=3)
    parse.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parse.parse_args()
    settings = {name: json.loads(value) for name, _, value in (item.partition("=") for item in args.set)}
    found = measure(args.tasks, settings, args.repeats)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {args.tasks: found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
