"""E-MAML (Stadie et al. 2018, arXiv 1803.01118): the experience before adaptation is paid for what it leads to.

θ' = θ − α ∇L(θ; τ),  τ lived with θ
θ improves along  Σ ∇ log π_θ'(τ') Â  +  Σ ∇ log π_θ(τ) (R(τ') − that of the other tasks)
The second sum is what MAML leaves out. It belongs with the inner surrogate whose derivative is that of the step as it was
taken ("vpg"): LVC and DiCE put part of the same sum into the Hessian.
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.outer.policy_gradient import PolicyGradient
from innerloop.recipes import maml
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """E-MAML on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = maml.make(family, steps)
    lr = 1e-2 if family.name.startswith("probe-") else 1e-3
    return replace(recipe, name="e-maml", outer=PolicyGradient(lr=lr, exploration=1.0))
