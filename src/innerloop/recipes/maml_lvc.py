"""MAML with the low-variance curvature surrogate in the inner loop (Rothfuss et al. 2019, arXiv 1810.06784, §5).

L(θ) = − mean of  π_θ(a|s) / π_sampling(a|s) · Â:  the same step as MAML's, a second derivative without MAML's bias but for the
cross terms between the steps of an episode
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """MAML with LVC on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    return replace(recipe, name="maml-lvc", inner=replace(recipe.inner, estimator="lvc"))
