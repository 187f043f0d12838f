"""Environment steps per CPU-second: of each family alone, of `live`, and of a whole meta-iteration; compile time apart.

    python benchmarks/throughput.py [NAME ...] [--alone]      writes benchmarks/results/throughput.json
    python benchmarks/throughput.py --families                every family by itself, beside Gymnasium's vector environments;
                                                              writes the table of docs/tasks.md too

CPU-seconds (all threads and child processes), best of several repetitions of half a second or more: wall time says little on a
shared machine, and the CPU time of threads is not exact to the millisecond. `--alone`: the families alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp

from innerloop.core import Plan, Task, select
from innerloop.core.spaces import encode
from innerloop.inner.indifferent import Indifferent
from innerloop.requests import resolve
from innerloop.run.folder import versions
from innerloop.run.train import Trainer
from innerloop.tasks.family import Family
from innerloop.tasks.names import examples, family as find
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
PAGE = Path(__file__).parents[1] / "docs" / "tasks.md"
SIDE_BY_SIDE = 1024  # tasks, of families on the device
PLAIN = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1")  # of Gymnasium, in its vector environment of 64


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


def by_itself(name: str) -> dict[str, Any]:
    """A family under random actions: on the device many tasks at once, else through the world that steps it in this process."""
    family = find(name)
    if family.on_device:
        steps = max(100, min(1000, 20 * family.horizon))
        return measured(family_alone(family, SIDE_BY_SIDE, steps), SIDE_BY_SIDE * steps, 3)
    world, tasks = world_of(family, workers=0), 8
    idle = Indifferent(Plan(1, min(family.horizon, 100), 1), family.spaces)
    drawn = family.sample(jax.random.key(0), tasks)
    try:
        return measured(lambda: world.live(idle, (), drawn, jax.random.key(1), learn_last=False), tasks * idle.plan.steps, 2)
    finally:
        world.close()


def plain(name: str) -> dict[str, Any]:
    """Gymnasium's own vector environment under random actions drawn beforehand, 64 side by side in this process."""
    envs = gymnasium.make_vec(name, num_envs=64, vectorization_mode="sync")
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(200)]
    envs.reset(seed=0)

    def run() -> Any:
        for action in actions:
            out = envs.step(action)
        return out[1]

    return measured(run, 64 * len(actions), 3)


def families(found: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Rows of `--families`; those of families whose package is missing here stay as they are. With `names` these alone are
    measured, and each row says with which versions: a package may need an environment of its own."""
    if not names:
        found |= {f"gymnasium:{name}": plain(name) for name in PLAIN}
    every = [n for n in examples() if not n.endswith(("-beyond", "-below"))]  # those are the same environments
    for name in names or every:
        try:
            found[name] = by_itself(name) | {"on": "device" if find(name).on_device else "host"}
            found[name] |= {"apart": versions()} if names else {}
        except ValueError as error:
            print(f"{name}: {error}", flush=True)
            continue
        print(name, json.dumps(found[name]), flush=True)
    order = [f"gymnasium:{name}" for name in PLAIN] + every
    return {name: found[name] for name in order if name in found}


def tabled(rows: dict[str, Any]) -> str:
    lines = ["| family | runs on | steps per CPU-second |", "|---|---|---:|"]
    for name, row in rows.items():
        place = row.get("on", "Gymnasium, 64 side by side") + (", in a run of its own" if "apart" in row else "")
        lines.append(f"| `{name}` | {place} | {row['steps_per_cpu_second']:,} |")
    return "\n".join(lines)


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
    parser.add_argument("--families", action="store_true", help="every family by itself, and nothing else")
    given = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if given.families:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        rows = families(kept.get("families", {}).get("rows", {}), given.names)
        about = {"command": "python benchmarks/throughput.py --families", "versions": versions(), "machine": machine}
        kept["families"] = about | (kept.get("families", {}) if given.names else {}) | {"rows": rows}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        marked = re.compile(r"(<!-- throughput -->\n).*?(\n<!-- /throughput -->)", re.DOTALL)
        PAGE.write_text(marked.sub(lambda m: m[1] + tabled(rows) + m[2], PAGE.read_text("utf-8")), "utf-8")
        return
    found = kept.get("cases", {})
    for name in given.names or CASES:
        found[name] = found.get(name, {}) | case(name, given.alone)
        print(name, json.dumps(found[name]), flush=True)
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        RESULTS.parent.mkdir(exist_ok=True)
        about = {"command": "python benchmarks/throughput.py", "versions": versions(), "machine": machine}
        RESULTS.write_text(json.dumps(kept | about | {"cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
