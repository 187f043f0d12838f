"""First-order MAML (Finn et al. 2017, §5.2): MAML that takes the inner step for a mere shift.

θ' = θ − α ∇L(θ), and θ improves along the gradient at θ' itself: ∂θ'/∂θ is taken for the identity
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """FOMAML on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    return replace(recipe, name="fomaml", inner=replace(recipe.inner, first_order=True))
