"""Meta-World: CPU time of a step and of a reset in every class, of reach beside the package's own, and of a whole training.

    python benchmarks/manipulation.py [--steps 200] [--updates 1]      writes benchmarks/results/manipulation.json

Needs `innerloop[metaworld]`, in an environment of its own. The package is stepped alone, as Gymnasium's plain vector
environment, and by our environments, under random actions; then whole updates of RL² on ML10 by its preset, in lives of 10
episodes of 500 steps, from which CPU-hours for the field's numbers of steps follow. CPU-seconds of this process: other work on
the machine costs all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np

from innerloop.requests import resolve
from innerloop.run.folder import versions
from innerloop.run.trainer import Trainer
from innerloop.tasks import sawyer_env
from innerloop.tasks.names import family
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "manipulation.json"
ROUNDS, TOGETHER = 3, 8
TRAININGS = {"20 M": 20e6, "60 M": 60e6, "400 M": 400e6}  # environment steps


def cost(work: Callable[[], Any], count: int, rounds: int = ROUNDS) -> float:
    """CPU-microseconds of each of `count` things that `work` does; the best round."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return round(1e6 * best / count, 1)


def walk(env: Any, actions: np.ndarray) -> None:
    for action in actions:
        env.step(action)


def alone(kinds: tuple[str, ...], kind: int, place: np.ndarray, actions: np.ndarray) -> dict[str, float]:
    """One of our environments, of one class."""
    env = sawyer_env.SawyerEnv(kinds, 2, 10**9)
    env.put(kind, place)
    env.reset()
    return {"step": cost(lambda: walk(env, actions), len(actions)), "reset": cost(env.reset, 1)}


def packages(actions: np.ndarray) -> dict[str, Any]:
    """The package's reach, alone and as a plain vector environment."""
    place = family("ml1-reach").goals.place[0]
    arm = sawyer_env.Arm("reach-v3", 2)
    arm.reset(place)

    def made() -> Any:
        one = sawyer_env.Arm("reach-v3", 2)
        one.reset(place)
        return one.env

    many = gymnasium.vector.SyncVectorEnv([made] * TOGETHER)
    many.reset()
    each = np.repeat(actions[: len(actions) // TOGETHER, None], TOGETHER, axis=1)
    return {
        "the package's reach": {
            "step": cost(lambda: walk(arm, actions), len(actions)),
            "reset": cost(lambda: arm.reset(place), 1),
        },
        f"the same, {TOGETHER} in a SyncVectorEnv": {"step": cost(lambda: walk(many, each), each.shape[0] * TOGETHER)},
    }


def training(updates: int) -> dict[str, Any]:
    """Whole updates of RL² on ML10, after one that compiles."""
    recipe, tasks = resolve({"recipe": "rl2", "tasks": "ml10", "steps": None})
    world = world_of(tasks.split("train"), workers=0)
    spent = {"living": 0.0, "learning": 0.0}
    try:
        trainer = Trainer(recipe, tasks, world)
        carried = trainer.first(0)

        class Phase:
            def __init__(self, *numbers: int):
                self.name = {2: "living", 3: "learning"}.get(numbers[0])

            def __enter__(self) -> None:
                self.begun = time.process_time()

            def __exit__(self, *_: Any) -> None:
                if self.name:
                    spent[self.name] += time.process_time() - self.begun

        for update in range(1 + updates):
            spent = dict.fromkeys(spent, 0.0) if update == 1 else spent
            carried, _ = trainer.iterate(carried, Phase)
            jax.block_until_ready(carried)
    finally:
        world.close()
    steps = updates * recipe.interactions
    each = sum(spent.values()) / steps
    return {
        "steps": steps,
        "cpu_us_per_step": {name: round(1e6 * seconds / steps, 1) for name, seconds in spent.items()},
        "cpu_hours": {name: round(count * each / 3600, 1) for name, count in TRAININGS.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200, help="of every measurement")
    parser.add_argument("--updates", type=int, default=1, help="of RL² on ML10 that are measured; 0: none")
    args = parser.parse_args()
    actions = np.random.default_rng(0).uniform(-1, 1, (args.steps, sawyer_env.MOTORS)).astype(np.float32)
    goals = family("ml10").goals
    rows: dict[str, Any] = packages(actions)
    of_class = partial(alone, goals.kinds)
    for kind, name in enumerate(goals.kinds):
        rows[name] = of_class(kind, goals.place[np.flatnonzero(goals.kind == kind)[0]], actions)
        print(f"{name:28} {rows[name]['step']:8} µs a step {rows[name]['reset']:10} µs a reset", flush=True)
    found = {
        "command": "python benchmarks/manipulation.py",
        "versions": versions(),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "cpu_us": rows,
        "rl2 on ml10": training(args.updates) if args.updates else None,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["rl2 on ml10"], indent=1))


if __name__ == "__main__":
    main()
