"""Multi-task training, then fine-tuning: what meta-learning has to beat (Mandi et al. 2022, arXiv 2206.03271).

repeat: draw tasks; act with θ in all of them; improve θ by TRPO on their returns, with no inner step
adapt:  one to four steps of policy gradient from θ, as MAML's
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """Multi-task TRPO on `family`, fine-tuned in evaluation; `steps`: environment steps, if not those of MAML's preset."""
    recipe = maml.make(family, steps)
    return replace(recipe, name="multitask", inner=recipe.inner.with_plan(recipe.inner.plan._replace(chunks=1)))
