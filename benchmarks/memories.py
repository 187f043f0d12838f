"""Every memory on the same work: what it costs, what it holds, and what it learns on this project's own tasks.

    python benchmarks/memories.py [act|cost|long|probes|learn …]      writes benchmarks/results/memories.json

`act`: microseconds of a step of acting, eight agents side by side, when the memory is empty and when it is as full as it gets
(a transformer's ring of so many steps). `cost`: one PPO update of RL² on bandits of 100 and 512 pulls, CPU-seconds per million
environment steps, living apart. `long`: trials of 4,096 pulls, sixteen at a time in minibatches of four, with activations
recomputed every 256 steps; and peak memory. `probes`: the recipe's own preset on each probe; score as a share of the exact
optimum. `learn`: the same budget of environment steps on four families; mean total with its 95 % interval over 10,000 test
tasks, seed 0, and CPU-seconds.
Each case is a process of its own with one XLA thread; memories have 64 units and one layer (32 units on probes).
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

RESULTS = Path(__file__).parent / "results" / "memories.json"
MEMORIES = ("gru", "lstm", "mingru", "s5", "gdn", "transformer")
PROBES = ("probe-reward", "probe-observation", "probe-cost", "probe-across", "probe-alike")
LEARN = {"bandit-k5-n10": 4_000_000, "grid-navi": 4_000_000, "bandit-k5-n100": 6_000_000, "tabular-mdp-n10": 4_000_000}
CONTEXTS = (128, 512, 2048)
KINDS = ("act", "cost", "long", "probes", "learn")


def act(memory: str, context: int) -> dict[str, Any]:
    """Microseconds a step and agent, least of five repetitions."""
    import jax
    import jax.numpy as jnp

    from innerloop.core import Box, Discrete, Plan, Spaces, birth
    from innerloop.inner.recurrent import Recurrent

    agents, steps = 8, 64
    spaces = Spaces(Box((2,), -1.0, 1.0), Discrete(5))
    inner = Recurrent(Plan(1, context, agents), spaces, memory=memory, context=context)
    meta = inner.init(jax.random.key(0))
    step = birth(spaces, jnp.zeros((agents, 2)), agents)
    later = step._replace(born=jnp.zeros(agents, bool), first=jnp.zeros(agents, bool))

    def one(fast: Any, _: None) -> tuple[Any, Any]:
        fast = inner.observe(meta, fast, later)
        return fast, inner.decide(meta, fast, later.obs).dist.logits

    empty = inner.begin(meta, jax.random.key(0))
    full = jax.jit(lambda fast: jax.lax.scan(one, fast, None, context)[0])(empty)
    run = jax.jit(lambda fast: jax.lax.scan(one, fast, None, steps)[1])
    found = {}
    for name, fast in (("empty", empty), ("full", full)):
        _, least = _least(lambda fast=fast: [run(fast) for _ in range(20)], 5)
        found[f"{name}_microseconds"] = round(least / (20 * steps * agents) * 1e6, 2)
    return found


def cost(memory: str, tasks: str, repeats: int = 2, **settings: Any) -> dict[str, Any]:
    """CPU-seconds of an update, least of the repetitions, compile time apart."""
    import jax

    trainer = _trainer(memory, tasks, None, settings)
    carried = trainer.first(0)
    recipe = trainer.recipe
    drawn = trainer.family.sample(jax.random.key(0), recipe.meta_batch)
    live = jax.jit(lambda meta, key: trainer.world.live(recipe.inner, meta, drawn, key, learn_last=False)[0].chunks.reward)
    first, whole = _least(lambda: trainer.iterate(carried)[1], repeats)
    _, living = _least(lambda: live(recipe.outer.meta(carried.outer), jax.random.key(1)), repeats)
    million = 1e6 / recipe.interactions
    return {
        "cpu_seconds_per_million": round(whole * million, 1),
        "of_which_living": round(living * million, 1),
        "compile_cpu_seconds": round(first - whole, 1),
        "env_steps": recipe.interactions,
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def learn(memory: str, tasks: str, steps: int | None, held_out: int) -> dict[str, Any]:
    """Train by the recipe's preset, and the total on fresh test tasks."""
    import jax

    from innerloop.evaluate.adaptation import Evaluator, totals
    from innerloop.evaluate.statistics import over_tasks

    trainer = _trainer(memory, tasks, steps, {})
    carried, recipe = trainer.first(0), trainer.recipe
    begun = time.process_time()
    for _ in range(recipe.updates):
        carried, _ = trainer.iterate(carried)
    jax.block_until_ready(carried)
    took = time.process_time() - begun
    inner = recipe.inner.with_plan(recipe.evaluation)
    evaluator = Evaluator(inner, trainer.family.split("test"), trainer.world, recipe.unit, slice=2048)
    returns, _ = evaluator(recipe.outer.meta(carried.outer), held_out, jax.random.key(1))
    point = over_tasks(totals(returns, recipe.unit)).point()
    found = {"total": {k: round(v, 4) for k, v in point.items()}, "env_steps": recipe.updates * recipe.interactions}
    if hasattr(trainer.family, "optimum"):
        found["of_optimum"] = round(point["mean"] / trainer.family.optimum, 4)
    return found | {"cpu_seconds": round(took, 1)}


def _trainer(memory: str, tasks: str, steps: int | None, settings: dict[str, Any]) -> Any:
    from innerloop.registry import maker
    from innerloop.run.config import assign
    from innerloop.run.trainer import Trainer
    from innerloop.tasks.names import family as find
    from innerloop.worlds import world_of

    family = find(tasks)
    recipe = maker("rl2")(family, steps)
    for name, value in {"inner.memory": memory, **settings}.items():
        recipe = assign(recipe, name, value)
    return Trainer(recipe.settled(), family, world_of(family))


def _least(work: Any, repeats: int) -> tuple[float, float]:
    import jax

    took = []
    for _ in range(1 + repeats):
        begun = time.process_time()
        jax.block_until_ready(work())
        took.append(time.process_time() - begun)
    return took[0], min(took[1:])


def cases(kind: str, memory: str) -> dict[str, dict[str, Any]]:
    """{name: arguments} of the measurements of one kind."""
    if kind == "act":
        return {f"context {c}": {"context": c} for c in (CONTEXTS if memory == "transformer" else CONTEXTS[:1])}
    if kind == "cost":
        batches = {"meta_batch": 256, "outer.minibatches": 4}
        return {f"bandit-k5-n{n}": {"tasks": f"bandit-k5-n{n}", **batches} for n in (100, 512)}
    if kind == "long":
        few = {"meta_batch": 16, "outer.minibatches": 4, "inner.segment": 256, "repeats": 1}
        return {"bandit-k5-n4096": {"tasks": "bandit-k5-n4096", **few}}
    if kind == "probes":
        return {probe: {"tasks": probe, "steps": None, "held_out": 4096} for probe in PROBES}
    return {tasks: {"tasks": tasks, "steps": steps, "held_out": 10_000} for tasks, steps in LEARN.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--memories", nargs="+", choices=MEMORIES, default=MEMORIES)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        kind, memory, name = args.case
        measure = {"act": act, "cost": cost, "long": cost}.get(kind, learn)
        print(json.dumps(measure(memory, **cases(kind, memory)[name])))
        return
    from innerloop.run.folder import versions

    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1}
    if unknown := set(args.kinds) - set(KINDS):
        parser.error(f"unknown: {', '.join(unknown)}; accepted: {', '.join(KINDS)}")
    for kind in args.kinds or KINDS:
        for memory in args.memories:
            for name in cases(kind, memory):
                words = [sys.executable, __file__, "--case", kind, memory, name]
                done = subprocess.run(words, env={**os.environ, "NPROC": "1"}, stdout=subprocess.PIPE, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                print(kind, memory, name, found, flush=True)
                kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
                kept |= {"command": "python benchmarks/memories.py", "versions": versions(), "machine": machine}
                kept.setdefault(kind, {}).setdefault(name, {})[memory] = found
                RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
