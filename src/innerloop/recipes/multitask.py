"""Multi-task training, then fine-tuning: the control that says what meta-learning adds to a shared start.

repeat: draw tasks; live episodes in each with one policy π_θ; θ moves by TRPO on the return, all tasks alike
adapt:  policy-gradient steps from θ in the new task, each on its own episodes, as MAML's are
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """MAML's recipe for `family` with no step of adaptation in training; as many interactions in all."""
    recipe = maml.make(family, steps)
    plan = recipe.inner.plan._replace(chunks=1)
    return replace(recipe, name="multitask", inner=recipe.inner.with_plan(plan), steps=recipe.steps)
