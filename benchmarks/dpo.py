"""DPO beside PPO on classic control, each tuned over the same grid.

    python benchmarks/dpo.py [FAMILY ...] [--tasks 32]     writes benchmarks/results/dpo.json

One agent per task, from random parameters: `lpo`'s, with nothing learned, so that all that differs is what is taken off r A:
the drift behind PPO's clip, or the one that was discovered. Step sizes are chosen on the validation split, by what an episode
pays in the last fifth of life; the figures are those of as many tasks of the test split, the same for both.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Plan
from innerloop.evaluate.statistics import over_tasks
from innerloop.inner.drift_policy import DriftPolicy
from innerloop.run.folder import versions
from innerloop.tasks.names import family
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "dpo.json"
FAMILIES = ("projected-cartpole", "projected-acrobot", "projected-pendulum", "projected-mountain-car")
RATES = (1e-3, 3e-3, 1e-2)
LIFE = Plan(chunks=60, steps=256, streams=8)  # 122,880 steps


def lived(name: str, split: str, count: int, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """What an episode pays in each task, mean over all of life and over its last fifth: [tasks] each."""
    tasks = family(name).split(split)
    inner, world = DriftPolicy(LIFE, tasks.spaces, scale=0.0, slack=1e-9, width=1, **settings), world_of(tasks)

    @jax.jit
    def paid(key: Any) -> tuple[Any, Any]:
        key_tasks, key_lives = jax.random.split(key)
        rows = world.live(inner, inner.init(key), tasks.sample(key_tasks, count), key_lives)[0].chunks
        return jnp.sum(rows.reward, (2, 3)), jnp.sum(rows.terminated | rows.truncated, (2, 3))  # [tasks, chunks]

    reward, ends = (np.asarray(x, float) for x in paid(jax.random.key(1)))
    late = LIFE.chunks // 5
    return reward.sum(1) / ends.sum(1), reward[:, -late:].sum(1) / ends[:, -late:].sum(1)


def measured(name: str, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ends = {}
    for base in ("ppo", "dpo"):
        tried = {}
        for rate in RATES:
            tried[rate] = float(lived(name, "validation", count, base=base, lr=rate)[1].mean())
        rate = max(tried, key=lambda point: tried[point])
        whole, ends[base] = lived(name, "test", count, base=base, lr=rate)
        found[base] = {
            "lr": rate,
            "at the end": over_tasks(ends[base]).point(),
            "over life": over_tasks(whole).point(),
            "validation": {str(rate): x for rate, x in tried.items()},
        }
    found["difference at the end"] = over_tasks(ends["dpo"] - ends["ppo"]).point()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}; default: all")
    parser.add_argument("--tasks", type=int, default=32)
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text())["families"] if RESULTS.is_file() else {}
    for name in asked.families or FAMILIES:
        found[name] = measured(name, asked.tasks)
        print(name, json.dumps({k: v for k, v in found[name].items()}), flush=True)
        about = {"unit": "return of an episode", "tasks": asked.tasks, "steps": LIFE.interactions, "versions": versions()}
        about["machine"] = {"processor": platform.processor() or platform.machine()}
        RESULTS.write_text(json.dumps(about | {"families": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
