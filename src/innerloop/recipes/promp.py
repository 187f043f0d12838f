"""ProMP, proximal meta-policy search (Rothfuss et al. 2019, arXiv 1810.06784, algorithm 1).

initialise θ
repeat: θ_o ← θ; draw tasks; in each, act with θ_o and take one step on J_LR: θ' = θ + α ∇_θ mean π_θ/π_θo Â; act with θ'
        five Adam steps on  clipped surrogate of the θ'  − η KL(π_θo ‖ π_θ),  through the step
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.gradient import Gradient
from innerloop.outer.promp import ProMP
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_PRESETS: dict[str, dict[str, Any]] = {  # by family; the paper's settings unless a comment says otherwise
    "point-goal": {"lr": 0.5, "updates": 100, "test_streams": 40},  # as maml's, not a task of ProMP's paper
    "probe": {"lr": 0.5, "tasks": 20, "updates": 60, "hidden": (32,)},  # as maml's
    "half-cheetah-dir": {"tasks": 10, "updates": 120, "normalise_obs": True, "held_out": 10},  # maml's budget, to compare
    "half-cheetah-dir-promp": {"updates": 1001},  # of 160,000 steps, at 100 an episode
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """ProMP on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = {
        "lr": 0.1,
        "tasks": 40,
        "updates": 200,
        "streams": 20,
        "test_streams": 20,
        "hidden": (64, 64),
        "normalise_obs": False,
        "held_out": 40,
    } | preset(_PRESETS, family.name)
    plan = Plan(chunks=2, steps=family.horizon, streams=chosen["streams"], restart=True)
    of_inner = {name: chosen[name] for name in ("lr", "hidden", "normalise_obs")}
    inner = Gradient(plan, family.spaces, activation="tanh", later=1.0, estimator="lvc", **of_inner)
    return Recipe(
        name="promp",
        family=family.name,
        inner=inner,
        outer=ProMP(),
        meta_batch=chosen["tasks"],
        steps=steps or chosen["updates"] * chosen["tasks"] * plan.interactions,
        unit="gradient step",
        evaluation=Plan(chunks=5, steps=family.horizon, streams=chosen["test_streams"], restart=True),
        held_out=chosen["held_out"],
        evaluations=10,
        save_every=60.0,
    )
