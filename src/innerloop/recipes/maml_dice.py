"""MAML with the DiCE surrogate in the inner loop (Foerster et al. 2018, arXiv 1802.05098; Farquhar et al. 2019, 1909.10549).

L(θ) = − mean of  (□(Σ_{s≤t} log π_s) − □(Σ_{s<t} log π_s)) · Â_t,  □(x) = exp(x − stop(x)):  the same step as MAML's, an
unbiased second derivative, and the variance of products over whole episodes
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """MAML with DiCE on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    return replace(recipe, name="maml-dice", inner=replace(recipe.inner, estimator="dice"))
