"""`innerloop record`: a teacher lives a long life in each of many tasks, and what it met and did is kept.

Not the format (`worlds/histories.py`), nor the training on it (`worlds/windows.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from innerloop import registry
from innerloop.core import Inner, Plan
from innerloop.loading import load
from innerloop.run.folder import versions
from innerloop.tasks.family import Family
from innerloop.tasks.names import family as find
from innerloop.worlds import world_of
from innerloop.worlds.histories import Recorder

TRIALS = 20  # in a history, unless told otherwise
_AT_ONCE = 1 << 21  # environment steps recorded side by side at most


def record(
    teacher: str | Path,
    *,
    count: int,
    out: str | Path,
    tasks: str | None = None,
    episodes: int | None = None,
    split: str = "train",
    seed: int = 0,
) -> Path:
    """Record `count` histories into one more part of the folder `out`; the folder.

    Args:
        teacher: a name in `registry.TEACHERS`, which needs no training; or a run folder or "zoo:NAME".
        tasks: the family; None: that of the run.
        episodes: in each history; None: those of 20 trials, or of one where steps are the unit.
        split: of the tasks; training takes "train" only.
        seed: chooses tasks and chances.

    Raises:
        ValueError: an unknown teacher or family, one that does not fit the other, or another family's folder.
    """
    family, about, made = _teacher(teacher, tasks)
    family = family.split(split)
    episodes = episodes or family.episodes * (1 if family.unit == "step" else TRIALS)
    inner, meta = made(family, episodes)
    inner.check()
    steps = inner.plan.chunks * inner.plan.steps
    at_once = max(1, min(count, _AT_ONCE // steps))
    header = {
        "family": family.name,
        "split": split,
        "teacher": about,
        "seed": seed,
        "episodes": episodes,
        "versions": versions(),
    }
    world = world_of(family, workers=0)
    key_tasks, key_lives = jax.random.split(jax.random.key(seed))

    def lived(drawn: Any, key: Any) -> Any:
        return world.live(inner, meta, drawn, key, learn_last=False)[0]

    if world.jittable:
        lived = jax.jit(lived)
    try:
        drawn = family.sample(key_tasks, count)
        with Recorder(Path(out), header, family.spaces, count, steps) as recorder:
            for i, begin in enumerate(range(0, count, at_once)):
                # The last batch begins earlier, so that it is as large as the others; what it repeats is left out.
                start = min(begin, count - at_once)
                batch = jax.tree.map(lambda x, start=start: x[start : start + at_once], drawn)
                lives = lived(batch, jax.random.fold_in(key_lives, i))
                recorder.write(jax.tree.map(lambda x, skip=begin - start: x[skip:], lives._replace(start=(), last=())))
    finally:
        world.close()
    return Path(out)


def _teacher(teacher: str | Path, tasks: str | None) -> tuple[Family, dict[str, Any], Any]:
    """The family; what the header says of the teacher; and (family, episodes) → inner, meta."""
    name = str(teacher)
    if name.startswith("zoo:") or (Path(name) / "recipe.json").is_file():
        recipe, family, meta, digest = load(name)
        if tasks is not None and find(tasks).spaces != family.spaces:
            raise ValueError(f"{name} was trained on {family.name}; {tasks} has other observations or actions.")

        def trained(family: Family, episodes: int) -> tuple[Inner, Any]:
            plan = recipe.evaluation
            if plan.restart:
                chunks = -(-episodes * family.horizon // plan.steps)
                return recipe.inner.with_plan(plan._replace(chunks=chunks, streams=1)), meta
            return recipe.inner.with_plan(Plan(1, episodes * family.horizon, 1)), meta

        about = {"run": name, "recipe": recipe.name, "family": family.name, "digest": digest}
        return find(tasks) if tasks else family, about, trained
    make = registry.teacher(name)
    if tasks is None:
        raise ValueError(f"{name} can teach in any family; say which: --tasks dark-room, for example.")

    def untrained(family: Family, episodes: int) -> tuple[Inner, Any]:
        inner = make(family, episodes)
        return inner, inner.init(jax.random.key(0))

    return find(tasks), {"name": name}, untrained
