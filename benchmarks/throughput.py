"""Environment steps per CPU-second: of each family alone, of `live`, and of a whole meta-iteration; compile time apart.

    python benchmarks/throughput.py [NAME ...] [--alone]      writes benchmarks/results/throughput.json

CPU-seconds (all threads and child processes), best of several repetitions of half a second or more: wall time says little on a
shared machine, and the CPU time of threads is not exact to the millisecond. `--alone`: the families alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from innerloop.core import Task, select
from innerloop.core.spaces import encode
from innerloop.inner.indifferent import Indifferent
from innerloop.requests import resolve
from innerloop.run.folder import versions
from innerloop.run.train import Trainer
from innerloop.tasks.family import Family
from innerloop.worlds import world_of

CASES = {  # family: recipe of its meta-iteration
    "bandit-k5-n10": "rl2",
    "bandit-k5-n100": "rl2",
    "tabular-mdp-n10": "rl2",
    "grid-navi": "rl2",
    "point-goal": "maml",
    "semi-circle-dense": "rl2",
    "semi-circle-pearl": "rl2",
    "semi-circle-varibad": "rl2",
    "half-cheetah-dir": "maml",
}
RESULTS = Path(__file__).parent / "results" / "throughput.json"


def cpu() -> float:
    return time.process_time() + sum(os.times()[2:4])  # its own to the nanosecond; children's come in hundredths


def measured(work: Callable[[], Any], steps: int, repeats: int) -> dict[str, float]:
    """Compile (first call, less a later one) and run cost of `work`, which does `steps` environment steps."""
    begun = cpu()
    jax.block_until_ready(work())
    first, best, wall = cpu() - begun, float("inf"), float("inf")
    clock = time.perf_counter()
    jax.block_until_ready(work())
    calls = max(1, round(0.5 / (time.perf_counter() - clock)))
    for _ in range(repeats):
        begun, clock = cpu(), time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(work())
        best, wall = min(best, (cpu() - begun) / calls), min(wall, (time.perf_counter() - clock) / calls)
    return {
        "steps": steps,
        "steps_per_cpu_second": round(steps / best),
        "cpu_us_per_step": round(1e6 * best / steps, 4),
        "steps_per_second": round(steps / wall),
        "compile_cpu_seconds": round(max(first - best, 0.0), 2),
    }


def family_alone(family: Family, tasks: int, steps: int) -> Callable[[], Any]:
    """Steps of all tasks under actions drawn beforehand, and resets where episodes end: no policy. Observations and rewards
    are added up, so that none of them is optimised away."""
    key = jax.random.key(0)
    drawn = family.sample(key, tasks)
    space = family.spaces.action
    shape = (steps, tasks, *getattr(space, "shape", ()))
    if hasattr(space, "n"):
        actions = jax.random.randint(key, shape, 0, space.n)
    else:
        actions = jax.random.uniform(key, shape, minval=space.low, maxval=space.high)

    @jax.jit
    def run(drawn: Task, actions: Any) -> Any:
        state, _ = jax.vmap(family.reset)(drawn, jax.random.split(key, tasks))

        def step(state: Any, xs: Any) -> Any:
            action, k = xs
            key_step, key_reset = jax.random.split(k)
            state, obs, reward, ended, cut = jax.vmap(family.step)(drawn, state, action, jax.random.split(key_step, tasks))
            fresh = jax.vmap(family.reset)(drawn, jax.random.split(key_reset, tasks))
            state, obs = select(ended | cut, fresh, (state, obs))
            return state, (jnp.sum(encode(family.spaces.obs, obs), 0), jnp.sum(reward))

        return jax.lax.scan(step, state, (actions, jax.random.split(key, steps)))[1]

    return lambda: run(drawn, actions)


def case(name: str, alone: bool) -> dict[str, Any]:
    recipe, family = resolve({"recipe": CASES[name], "tasks": name, "steps": None, "settings": {}})
    world = world_of(family, **({} if family.on_device else {"workers": 0}))
    plan, repeats = recipe.inner.plan, 5 if family.on_device else 2
    out: dict[str, Any] = {"recipe": recipe.name, "meta_batch": recipe.meta_batch, "plan": plan._asdict()}
    if family.on_device:
        out["family alone"] = measured(family_alone(family, 1024, 1000), 1024 * 1000, repeats)
    else:
        idle = Indifferent(plan, family.spaces)
        drawn = family.sample(jax.random.key(0), recipe.meta_batch)
        out["family with random actions"] = measured(
            lambda: world.live(idle, (), drawn, jax.random.key(1), learn_last=False), recipe.interactions, repeats
        )
    if alone:
        return out
    trainer = Trainer(recipe, family, world)
    carried = trainer.first(0)
    drawn = family.sample(jax.random.key(0), recipe.meta_batch)

    def live(meta: Any) -> Any:
        return world.live(recipe.inner, meta, drawn, jax.random.key(1), learn_last=False)[0].chunks.reward

    lived = jax.jit(live) if world.jittable else live
    meta = recipe.outer.meta(carried.outer)
    out["live"] = measured(lambda: lived(meta), recipe.interactions, repeats)
    out["meta-iteration"] = measured(lambda: trainer.iterate(carried), recipe.interactions, repeats)
    world.close()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--alone", action="store_true", help="the families alone")
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text())["cases"] if RESULTS.is_file() else {}
    for name in given.names or CASES:
        found[name] = found.get(name, {}) | case(name, given.alone)
        print(name, json.dumps(found[name]), flush=True)
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        RESULTS.parent.mkdir(exist_ok=True)
        about = {"command": "python benchmarks/throughput.py", "versions": versions(), "machine": machine}
        RESULTS.write_text(json.dumps({**about, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
