"""Golden runs: a few updates from a fixed seed give the numbers that they gave before, and twice the same bits.

Not a test of learning. A refactor leaves these numbers alone; a change that means to move them replaces golden.json by what
`python tests/golden/test_golden.py` prints, and says why. Bits differ between kinds of CPU, so numbers are compared within
a tolerance.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from innerloop import registry
from innerloop.run import checkpoint
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

STORED = Path(__file__).with_name("golden.json")
RUNS = ("rl2/bandit-k5-n10", "maml/point-goal")
UPDATES = 3


def small(name: str) -> Trainer:
    recipe, _, tasks = name.partition("/")
    found = family(tasks)
    made = registry.maker(recipe)(found, 1_000_000)
    if recipe == "rl2":
        inner, outer = replace(made.inner, width=16), replace(made.outer, minibatches=4)
        made = replace(made, inner=inner, outer=outer, meta_batch=32)
    else:
        inner = replace(made.inner, hidden=(16, 16)).with_plan(made.inner.plan._replace(steps=20, streams=5))
        made = replace(made, inner=inner, meta_batch=4)
    return Trainer(made.settled(), found, DeviceWorld(found))


def measure(trainer: Trainer) -> tuple[dict[str, Any], str]:
    """Metrics of each update and the norm of every leaf of meta at the end; and the digest of all that is carried."""
    carried, rows = trainer.first(7), []
    for _ in range(UPDATES):
        carried, metrics = trainer.iterate(carried)
        rows.append({name: float(x) for name, x in sorted(metrics.items())})
    meta = trainer.recipe.outer.meta(carried.outer)
    norms = {
        jax.tree_util.keystr(path): float(np.linalg.norm(np.asarray(x, np.float64)))
        for path, x in jax.tree_util.tree_flatten_with_path(meta)[0]
    }
    return {"metrics": rows, "meta": norms}, checkpoint.digest(carried)


def agree(found: Any, stored: Any, path: str) -> None:
    if isinstance(stored, dict):
        assert sorted(found) == sorted(stored), path
        for name in stored:
            agree(found[name], stored[name], f"{path}.{name}")
    elif isinstance(stored, list):
        assert len(found) == len(stored), path
        for i, item in enumerate(stored):
            agree(found[i], item, f"{path}[{i}]")
    else:
        assert found == pytest.approx(stored, rel=1e-4, abs=1e-4), path


@pytest.mark.parametrize("name", RUNS)
def test_a_few_updates_give_the_numbers_they_gave_before(name: str):
    trainer = small(name)
    found, digest = measure(trainer)
    agree(found, json.loads(STORED.read_text())[name], name)
    assert measure(trainer)[1] == digest, "the same run twice in one process differs in its bits"


if __name__ == "__main__":
    print(json.dumps({name: measure(small(name))[0] for name in RUNS}, indent=1))
