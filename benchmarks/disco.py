"""A published rule beside PPO, as found: agents from random parameters in single tasks.

    python benchmarks/disco.py RULE.npz [FAMILY ...] [--tasks 4]     writes benchmarks/results/disco.json

RULE is Disco103's file, from github.com/google-deepmind/disco_rl (CC BY 4.0), or another of its format. Both agents have
torsos of 64 × 64 units and the same experience; step sizes (and, of the rule, passes over each chunk) are chosen on the
validation split by what an episode pays in the last fifth of life, and the figures are of the same tasks of the test split.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Plan
from innerloop.evaluate.statistics import over_tasks
from innerloop.inner.discovered_rule import DiscoveredRule
from innerloop.inner.drift_policy import DriftPolicy
from innerloop.nets.disco import from_arrays
from innerloop.run.folder import versions
from innerloop.run.rule_file import PublishedRule, read_rule
from innerloop.tasks.names import family
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "disco.json"
FAMILIES = ("grid-navi", "projected-cartpole")
RATES = (3e-3, 1e-2)
LIFE = Plan(chunks=120, steps=32, streams=16)  # 61,440 steps
SMALL = {"hidden": (64, 64), "model_width": 64, "head_width": 64}


def lived(name: str, split: str, count: int, rule: PublishedRule | None, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """What an episode pays in each task, mean over all of life and over its last fifth: [tasks] each. No rule: PPO."""
    tasks = family(name).split(split)
    if rule is None:
        inner: Any = DriftPolicy(LIFE, tasks.spaces, scale=0.0, slack=1e-9, width=1, **settings)
        meta: Any = inner.init(jax.random.key(0))
    else:
        inner = DiscoveredRule(LIFE, tasks.spaces, *rule.sizes, **SMALL, **settings)
        meta = from_arrays(rule.weights)
    world = world_of(tasks)

    @jax.jit
    def paid(key: Any) -> tuple[Any, Any]:
        key_tasks, key_lives = jax.random.split(key)
        rows = world.live(inner, meta, tasks.sample(key_tasks, count), key_lives)[0].chunks
        return jnp.sum(rows.reward, (2, 3)), jnp.sum(rows.terminated | rows.truncated, (2, 3))  # [tasks, chunks]

    reward, ends = (np.asarray(x, float) for x in paid(jax.random.key(1)))
    late = LIFE.chunks // 5
    return reward.sum(1) / ends.sum(1), reward[:, -late:].sum(1) / ends[:, -late:].sum(1)


def measured(name: str, count: int, published: PublishedRule) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ends = {}
    for method, rule, points in (("ppo", None, product(RATES, (4,))), ("rule", published, product(RATES, (1, 4)))):
        began, tried = time.process_time(), {}
        repeated = "epochs" if rule is None else "passes"
        for rate, times in points:
            tried[rate, times] = float(lived(name, "validation", count, rule, lr=rate, **{repeated: times})[1].mean())
            print(name, method, rate, times, tried[rate, times], flush=True)
        rate, times = max(tried, key=lambda point: tried[point])
        whole, ends[method] = lived(name, "test", count, rule, lr=rate, **{repeated: times})
        found[method] = {
            "lr": rate,
            repeated: times,
            "at the end": over_tasks(ends[method]).point(),
            "over life": over_tasks(whole).point(),
            "validation": [[*point, x] for point, x in tried.items()],
            "cpu_seconds": round(time.process_time() - began, 1),
        }
    found["difference at the end"] = over_tasks(ends["rule"] - ends["ppo"]).point()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rule", type=Path)
    parser.add_argument("families", nargs="*", help=f"default: {', '.join(FAMILIES)}")
    parser.add_argument("--tasks", type=int, default=4)
    asked = parser.parse_args()
    published = read_rule(asked.rule)
    found = json.loads(RESULTS.read_text())["families"] if RESULTS.is_file() else {}
    for name in asked.families or FAMILIES:
        found[name] = measured(name, asked.tasks, published)
        about = {"unit": "return of an episode", "rule": published.name, "sha256": published.sha256, "tasks": asked.tasks}
        about |= {"steps": LIFE.interactions, "versions": versions()}
        about["machine"] = {"processor": platform.processor() or platform.machine()}
        RESULTS.write_text(json.dumps(about | {"families": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
