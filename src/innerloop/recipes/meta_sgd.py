"""Meta-SGD (Li et al. 2017, arXiv 1707.09835): MAML that learns a step size for every parameter, its sign included.

θ' = θ − α ∘ ∇L(θ);  (θ, α) improve by the outer loop of MAML
`--set inner.rates=layer` learns one per layer and step instead (Antoniou et al. 2019).
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """Meta-SGD on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    return replace(recipe, name="meta-sgd", inner=replace(recipe.inner, rates="parameter"))
