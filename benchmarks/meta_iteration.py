"""One whole meta-iteration of MAML with TRPO: CPU-seconds, compile time apart, and peak memory; beside a peer's figures.

    python benchmarks/meta_iteration.py [--threads 1] [--beside FILE]      writes benchmarks/results/meta_iteration.json

The work is the peers' usual: 64-64 tanh, exact second order, 10 conjugate-gradient steps, episodes of 100 steps before and
after adaptation, living included. `fisher=0.25` measures curvature in a quarter of the tasks: less work, and a row of its own.
Each case runs in a process of its own with `--threads` threads of XLA (0: one per processor; several spin while they wait);
all its threads count, and the best repetition stands. `FILE` holds one JSON object a line with `case`, `env_steps` and
`cpu_seconds`, measured of another implementation on the same machine in the same hour; the ratio is to that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "meta_iteration.json"
PEERS = {"inner.hidden": [64, 64], "inner.activation": "tanh", "inner.lr": 0.1}
NAVIGATION = ("point-goal", {}, {**PEERS, "meta_batch": 20})
CHEETAH = ("half-cheetah-dir-promp", {"scale": 1.0}, {**PEERS, "meta_batch": 40})  # the peer's actions: ±1 are the limits
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # family, its fields, and settings of recipe maml
    "2d-navigation, 20 × 20 × 100 × 2": NAVIGATION,
    "2d-navigation, fisher=0.25": (*NAVIGATION[:2], {**NAVIGATION[2], "outer.fisher": 0.25}),
    "half-cheetah-dir, 40 × 20 × 100 × 2": CHEETAH,
    "half-cheetah-dir, fisher=0.25": (*CHEETAH[:2], {**CHEETAH[2], "outer.fisher": 0.25}),
    "memory: half-cheetah-dir, 100-100, 40 × 20 × 200 × 2": ("half-cheetah-dir", {}, {"meta_batch": 40}),
    "memory: ant-dir, 100-100, 40 × 20 × 200 × 2": ("ant-dir", {}, {"meta_batch": 40, "inner.plan.streams": 20}),
}
BESIDE = {"nav2d": "2d-navigation, 20 × 20 × 100 × 2", "cheetah_dir": "half-cheetah-dir, 40 × 20 × 100 × 2"}


def measure(name: str, repeats: int) -> dict[str, Any]:
    """In this process."""
    import jax

    from innerloop.registry import maker
    from innerloop.run.config import assign
    from innerloop.run.trainer import Trainer
    from innerloop.tasks.names import family as find
    from innerloop.worlds import world_of

    tasks, fields, settings = CASES[name]
    family = find(tasks, **fields)
    recipe = maker("maml")(family)
    for setting, value in ({"inner.normalise_obs": False, "outer.fisher": 1.0} | settings).items():
        recipe = assign(recipe, setting, value)
    recipe = recipe.settled()
    world = world_of(family, workers=0)
    trainer = Trainer(recipe, family, world)
    carried = trainer.first(0)
    drawn = family.sample(jax.random.key(0), recipe.meta_batch)

    def live() -> Any:
        meta = recipe.outer.meta(carried.outer)
        return world.live(recipe.inner, meta, drawn, jax.random.key(1), learn_last=False)[0].chunks.reward

    lived = jax.jit(live) if world.jittable else live
    first, whole = cost(lambda: trainer.iterate(carried)[1], repeats)
    _, living = cost(lived, repeats)
    world.close()
    return {
        "env_steps": recipe.interactions,
        "cpu_seconds": round(whole, 3),
        "of_which_living": round(living, 3),
        "env_steps_per_cpu_second": round(recipe.interactions / whole),
        "compile_cpu_seconds": round(first - whole, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def cost(work: Any, repeats: int) -> tuple[float, float]:
    """CPU-seconds of the first call, and the least of the later ones."""
    import jax

    took = []
    for _ in range(1 + repeats):
        begun = time.process_time()
        jax.block_until_ready(work())
        took.append(time.process_time() - begun)
    return took[0], min(took[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of cases' names; default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args.case, args.repeats)))
        return
    from innerloop.run.folder import versions

    env = {**os.environ, **({"NPROC": str(args.threads)} if args.threads else {})}
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": args.threads}
    about = {"command": "python benchmarks/meta_iteration.py", "versions": versions(), "machine": machine}
    lines = args.beside.read_text().splitlines() if args.beside else []
    peers = {BESIDE[peer["case"]]: peer for peer in map(json.loads, lines)}
    cases = json.loads(RESULTS.read_text())["cases"] if RESULTS.is_file() else {}
    for name in CASES:
        if args.names and not any(part in name for part in args.names):
            continue
        words = [sys.executable, __file__, "--case", name, "--repeats", str(args.repeats)]
        done = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True)
        cases[name] = json.loads(done.stdout.splitlines()[-1])
        if peer := peers.get(name):  # per step, since episodes that end at the goal differ a little in length
            times = cases[name]["env_steps_per_cpu_second"] / (peer["env_steps"] / peer["cpu_seconds"])
            cases[name]["beside"] = {**peer, "times_as_fast": round(times, 2)}
        print(name, cases[name], flush=True)
        RESULTS.write_text(json.dumps({**about, "cases": cases}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
