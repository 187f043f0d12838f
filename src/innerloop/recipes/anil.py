"""ANIL, almost no inner loop (Raghu et al. 2020, arXiv 1909.09157): MAML whose inner steps move the last layer alone.

θ = (body, head);  head' = head − α ∇_head L(θ);  θ improves by the outer loop of MAML
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """ANIL on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    return replace(recipe, name="anil", inner=replace(recipe.inner, adapts="head"))
