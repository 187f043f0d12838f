"""A learned rule beside a tuned actor-critic, in the same held-out tasks; and a learned drift beside the one that it began at.

    python benchmarks/learned_rules.py [RUN] [--tasks 256] [--split test]     writes benchmarks/results/learned_rules.json

RUN is by default `zoo:lpg-grid-world`. Both agents begin with random parameters of the same shape and live as long; rewards of
a life differ by orders of magnitude between tasks, so what counts is the difference within each.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from innerloop import registry
from innerloop.evaluate.adaptation import Evaluator
from innerloop.evaluate.statistics import over_tasks
from innerloop.inner.drift_policy import DriftPolicy
from innerloop.loading import load
from innerloop.run.folder import versions
from innerloop.worlds import world_of

RESULTS = Path(__file__).parent / "results" / "learned_rules.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", nargs="?", default="zoo:lpg-grid-world")
    parser.add_argument("--tasks", type=int, default=256)
    parser.add_argument("--split", default="test")
    asked = parser.parse_args()
    recipe, family, meta, _ = load(asked.run)
    family = family.split(asked.split)
    world, mine = world_of(family), recipe.inner.with_plan(recipe.evaluation)
    drift = isinstance(mine, DriftPolicy)
    plain = replace(mine, scale=0.0) if drift else registry.from_scratch(recipe, family)
    beside = "without what is learned" if drift else "actor-critic"
    key = jax.random.key(1)
    lived = {}
    for name, inner, its in (
        ("learned rule", mine, meta),
        (beside, plain, plain.init(key)),
    ):
        lived[name] = Evaluator(inner, family, world, recipe.unit)(its, asked.tasks, key)[0]
    lived["difference"] = lived["learned rule"] - lived[beside]
    found = {}
    for name, returns in lived.items():
        late = returns[:, -returns.shape[1] // 10 :].mean(1) * returns.shape[1]  # as if all of life were like its last tenth
        found[name] = {"total": over_tasks(returns.sum(1)).point(), "at the end": over_tasks(late).point()}
        print(name, json.dumps(found[name]), flush=True)
    about = {"run": asked.run, "family": family.name, "split": asked.split, "tasks": asked.tasks}
    about |= {"machine": {"processor": platform.processor() or platform.machine()}, "versions": versions()}
    about["better in"] = float(np.mean(lived["difference"].sum(1) > 0))
    rows = json.loads(RESULTS.read_text())["runs"] if RESULTS.is_file() else {}
    rows[f"{asked.run}, {asked.split}"] = about | {"found": found}
    RESULTS.write_text(json.dumps({"runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
