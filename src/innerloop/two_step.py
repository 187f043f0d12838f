"""`python -m innerloop.two_step RUN`: stay probabilities of a run on the two-step task.

Not the analysis (`evaluate/two_step.py`) nor the task (`tasks/two_step.py`): this lets the trained agents live and counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop.evaluate import two_step
from innerloop.loading import load, locate
from innerloop.run.folder import members, write_json
from innerloop.run.settings import ConfigError
from innerloop.worlds import world_of


def stays(path: str | Path, *, tasks: int = 1000, seed: int = 0, split: str = "test") -> dict[str, Any]:
    """What `evaluate.two_step.analysis` finds in fresh lives of a run.

    Args:
        path: a run folder, a folder of seeds, or "zoo:NAME", of a run on two-step.
        tasks: lives, per training seed.
        seed: of tasks and actions.

    Returns:
        {"run", "recipe", "family", "split", "seed", "seeds": training seeds, "lives", "trials", "stay", "effects"}; also
        written to two_step.json in a run's folder. Intervals are over lives.
    """
    folder = locate(path)
    runs = [folder] if (folder / "weights").is_dir() else [run.path for run in members(folder)]
    counted, recipe, family = [], None, None
    for number, one in enumerate(runs):
        recipe, family, meta, _ = load(one)
        if not family.name.startswith("two-step"):
            raise ConfigError(f"{path} is a run on {family.name}; accepted: a run on two-step.")
        family, world = family.split(split), world_of(family)
        inner = recipe.inner.with_plan(recipe.evaluation)
        key_tasks, key_lives = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))

        @jax.jit
        def lived(meta: Any, drawn: Any, key: Any, world: Any = world, inner: Any = inner) -> Any:
            return world.live(inner, meta, drawn, key, learn_last=False)[0].chunks

        counted.append(two_step.counts(lived(meta, family.sample(key_tasks, tasks), key_lives)))
    assert recipe and family
    about = {"run": str(path), "recipe": recipe.name, "family": family.name, "split": split, "seed": seed, "seeds": len(runs)}
    found = about | two_step.analysis(np.concatenate(counted))
    if not (folder / "weights").is_dir():
        write_json(folder / "two_step.json", found)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the stay probabilities of a run on the two-step task."""
    parser = argparse.ArgumentParser(prog="python -m innerloop.two_step", description=main.__doc__)
    parser.add_argument("run", help='a run folder, a folder of seeds, or "zoo:NAME"')
    parser.add_argument("--tasks", type=int, default=1000, help="lives per training seed (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of tasks and actions (default 0)")
    given = parser.parse_args(arguments)
    found = stays(given.run, tasks=given.tasks, seed=given.seed)
    print(f"{found['recipe']} on {found['family']}\n{two_step.shown(found)}")


if __name__ == "__main__":
    main()
