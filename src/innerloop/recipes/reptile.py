"""Reptile (Nichol et al. 2018, arXiv 1803.02999) with policy-gradient steps.

repeat: draw tasks; in each, take k steps of policy gradient from θ, each on new episodes: θ → θ'
        θ ← θ + ε mean(θ' − θ)
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.outer.reptile import Reptile
from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """Reptile on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    plan = recipe.inner.plan._replace(chunks=4)  # k: one inner step follows each chunk
    recipe = replace(recipe, steps=steps or 2 * recipe.steps)
    return replace(recipe, name="reptile", inner=replace(recipe.inner.with_plan(plan), later=1.0), outer=Reptile())
