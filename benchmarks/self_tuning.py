"""Settings that tune themselves beside the best of a grid.

    python benchmarks/self_tuning.py [FAMILY ...]     writes benchmarks/results/self_tuning.json

Actor-critics of random parameters live in 16 streams of a task each, and their discount and the weight of their entropy are
either fixed, at each point of a grid, or begin in the grid's middle and are improved by meta-gradients while they live, by
groups of 16 agents with settings in common. What counts is all that a life is paid, the exploration and the tuning included.
The grid's best point is chosen on the validation split; the figures are of the test split, the same tasks for all.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Plan
from innerloop.evaluate.statistics import over_tasks
from innerloop.inner.self_tuned import SelfTuned
from innerloop.outer.meta_gradient import MetaGradient
from innerloop.run.folder import versions
from innerloop.tasks.names import family
from innerloop.worlds import world_of
from innerloop.worlds.example import example_life

RESULTS = Path(__file__).parent / "results" / "self_tuning.json"
AGENTS: dict[str, dict[str, Any]] = {  # family: its agents, the updates of a life, and how many lives
    "grid-world": {"updates": 600, "hidden": (), "lr": 0.1, "seeds": 64},
    "grid-navi": {"updates": 600, "hidden": (32,), "lr": 0.01, "seeds": 32},
    "market-making": {"updates": 600, "hidden": (32,), "lr": 0.01, "seeds": 32},
    "dark-room": {"updates": 600, "hidden": (32,), "lr": 0.01, "seeds": 32},
    "two-colours": {"updates": 2000, "hidden": (64,), "lr": 0.01, "seeds": 16},
}
DISCOUNTS, ENTROPIES = (0.8, 0.9, 0.95, 0.98, 0.995), (0.001, 0.003, 0.01, 0.03, 0.1)
BEGINS = (0.95, 0.01)
TUNES = ("discount", "entropy_weight")
STREAMS, STEPS, GROUP = 16, 16, 16
FIRST = 100  # seed of the lives that count; all that is chosen was chosen on those below
VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {  # updates of the agent to one of its settings; and how these are improved
    "return": (3, {"lr": 0.03, "entropy_weight": 0.0}),
    "return, outer discount 0.8": (3, {"lr": 0.03, "entropy_weight": 0.0, "discount": 0.8}),
    "bootstrap": (5, {"lr": 0.03, "objective": "bootstrap", "bootstrap": 3}),
}


def agent(tasks: Any, chunks: int, **settings: Any) -> SelfTuned:
    plan = Plan(chunks, STEPS, STREAMS)
    given = AGENTS[tasks.name] | {"tunes": TUNES, "discount": BEGINS[0], "entropy_weight": BEGINS[1]} | settings
    del given["updates"], given["seeds"]
    return SelfTuned(plan, tasks.spaces, **given)


def all_keys(count: int, first: int) -> Any:
    return jax.vmap(jax.random.key)(jnp.arange(first, first + count))


def one(tasks: Any, key: Any) -> Any:
    """The task of a life."""
    return jax.tree.map(lambda x: x[0], tasks.sample(jax.random.fold_in(key, 0), 1))


def fixed(tasks: Any, points: list[tuple[float, float]], seeds: int, first: int) -> np.ndarray:
    """What each life is paid, mean over streams: [points, seeds]."""
    inner, world = agent(tasks, AGENTS[tasks.name]["updates"]), world_of(tasks)
    metas = [replace(inner, discount=discount, entropy_weight=entropy).init(jax.random.key(0)) for discount, entropy in points]
    stacked = jax.tree.map(lambda *x: jnp.repeat(jnp.stack(x), seeds, 0), *metas)
    keys = all_keys(seeds, first)

    @jax.jit
    def paid(metas: Any, keys: Any) -> Any:
        lives, _ = world.live(inner, metas, jax.vmap(lambda key: one(tasks, key))(keys), keys, metas=0)
        return jnp.sum(lives.chunks.reward, (1, 2, 3)) / STREAMS

    return np.asarray(paid(stacked, jnp.tile(keys, len(points)))).reshape(len(points), seeds)


def tuned(tasks: Any, variant: str, groups: int, first: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The same of agents whose settings are improved while they live, one set for each group of them: [groups, agents], and
    what the settings came to: [groups, updates] each."""
    segment, settings = VARIANTS[variant]
    inner, world, outer = agent(tasks, segment), world_of(tasks), MetaGradient(lifetime=0, **settings)
    outer.check(inner)

    def life(keys: Any) -> tuple[Any, dict[str, Any]]:
        key_init, key_segments = jax.random.split(jax.random.fold_in(keys[0], 1))
        meta = inner.init(key_init)
        state = outer.init(inner, meta, tasks, example_life(inner, meta, tasks, GROUP), key_init)
        state = state._replace(task=jax.vmap(lambda key: one(tasks, key))(keys))

        def update(state: Any, key: Any) -> tuple[Any, Any]:
            key_live, key_update = jax.random.split(key)
            meta, task = outer.propose(state, state.task, key_update)
            cursor, fresh = outer.goes_on(state)
            lives, end = world.live(inner, meta, task, key_live, cursor, fresh)
            after, _ = outer.update(inner, state, lives, key_update)
            return outer.lived(after, end), (jnp.sum(lives.chunks.reward, (1, 2, 3)) / STREAMS, inner.readings(meta))

        keys = jax.random.split(key_segments, AGENTS[tasks.name]["updates"] // segment)
        _, (paid, readings) = jax.lax.scan(update, state, keys)
        return jnp.sum(paid, 0), readings

    run = jax.jit(life)
    found = [run(all_keys(GROUP, first + number * GROUP)) for number in range(groups)]
    paid, readings = jax.tree.map(lambda *x: np.stack(x), *found)
    return paid, readings


def measured(name: str) -> dict[str, Any]:
    tasks, seeds = family(name), AGENTS[name]["seeds"]
    points = list(product(DISCOUNTS, ENTROPIES))
    grid = fixed(tasks.split("validation"), points, seeds, 0)
    best = points[int(np.argmax(grid.mean(1)))]
    test = tasks.split("test")
    reference, begun = fixed(test, [best, BEGINS], seeds, FIRST)
    found: dict[str, Any] = {
        "grid": [{"discount": d, "entropy_weight": e, "paid": float(x.mean())} for (d, e), x in zip(points, grid, strict=True)],
        "best of the grid": {"discount": best[0], "entropy_weight": best[1], "paid": over_tasks(reference).point()},
        "where tuning begins": over_tasks(begun).point(),
        "lives": seeds,
    }
    for variant in VARIANTS:
        paid, readings = tuned(test, variant, seeds // GROUP, FIRST)
        paid, every = paid.ravel(), max(readings["discount"].shape[1] // 10, 1)
        found[variant] = {
            "paid": over_tasks(paid).point(),
            "above the best of the grid": over_tasks(paid - reference).point(),
            "above where it began": over_tasks(paid - begun).point(),
            "settings": {k: [float(x) for x in v.mean(0)[::every]] for k, v in readings.items()},
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", help=f"of {', '.join(AGENTS)}; default: all")
    found = json.loads(RESULTS.read_text())["families"] if RESULTS.is_file() else {}
    for name in parser.parse_args().families or AGENTS:
        found[name] = measured(name)
        print(name, json.dumps({k: v for k, v in found[name].items() if k != "grid"}), flush=True)
        about = {"variants": VARIANTS, "versions": versions()}
        about["machine"] = {"processor": platform.processor() or platform.machine()}
        RESULTS.write_text(json.dumps(about | {"families": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
