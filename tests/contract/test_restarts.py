"""[12] and [14]: what stopped goes on bit for bit, in this process and in another one.

Not `kill -9` at random moments: that is in tests/system and tests/run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from agreement import same
from registry import FAMILIES, METHODS, PAIRS, Case, small, trainer

from innerloop.run import checkpoint

RECIPES = [case for case in PAIRS if any(case.recipe == m.recipe for m in METHODS) and case.family.name == FAMILIES[0]]


@pytest.mark.parametrize("case", RECIPES, ids=repr)
def test_a_run_that_was_saved_and_loaded_goes_on_bit_for_bit(case: Case, tmp_path):
    made = trainer(case)
    carried = made.first(3)
    checkpoint.save(tmp_path, 0, carried, extra={})
    for i in range(1, 5):
        carried, _ = made.iterate(carried)
        if i == 2:
            checkpoint.save(tmp_path, i, carried, extra={"iteration": i})
    back, manifest = checkpoint.restore(tmp_path, jax.eval_shape(lambda: made.first(3)))
    assert manifest["extra"]["iteration"] == 2
    for _ in range(2):
        back, _ = made.iterate(back)
    same(back, carried)
    assert checkpoint.digest(back) == checkpoint.digest(carried)


# Begins a life for each recipe and saves it, or loads it and goes on; prints digests of what follows.
DRIVER = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
import jax
from registry import METHODS, lived, one_more
from innerloop.run import checkpoint

for i, case in enumerate(METHODS[:2]):
    folder = pathlib.Path(sys.argv[2]) / str(i)
    made = lived(case)
    saved = (made.meta, made.tasks, made.cursor)
    if sys.argv[3] == "save":
        checkpoint.save(folder, 0, saved, extra={})
    else:
        saved, _ = checkpoint.restore(folder, jax.eval_shape(lambda: saved))
    print(checkpoint.digest(one_more(case)(*saved)))
"""


def test_an_agent_in_the_midst_of_a_life_survives_a_restart(tmp_path):
    """Its fast state, world and last step are saved; a second process lives on as the first one did."""
    said = []
    for what in ("save", "load"):
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(tmp_path), what],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout.split())
    assert len(said[0]) == 2 and said[0] == said[1]


def test_the_smallest_recipes_are_the_recipes():
    """What is tested is what is shipped, smaller: same classes, same switches."""
    for case in METHODS:
        recipe, _ = small(case.recipe.name, case.family.name.removeprefix("shown:"))
        assert type(recipe.inner) is type(case.inner) and type(recipe.outer) is type(case.outer)
