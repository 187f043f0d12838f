"""CAVIA (Zintgraf et al. 2019, arXiv 1810.03642): inner steps move a few context parameters, which are inputs of the net.

φ = 0 on entering a task;  φ' = φ − α ∇_φ L(φ, θ);  act with π(a | o, φ'; θ);  θ improves by the outer loop of MAML
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """CAVIA on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    lr = 10.0 * recipe.inner.lr  # a few inputs move the policy less than all weights do
    return replace(recipe, name="cavia", inner=replace(recipe.inner, adapts="context", context=50, lr=lr))
