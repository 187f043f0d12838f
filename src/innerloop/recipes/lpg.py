"""LPG, the learned policy gradient (Oh et al. 2020, arXiv 2007.08794): meta-learn the update rule itself.

initialise η; many agents, each with random parameters θ in a task of its own
repeat: in every agent: K times, act for a while, and step along the rule's targets: θ ← θ + Δ_η(experience)
        improve η by the policy gradient of what the stepped θ's earn, back through the steps
        agents whose lifetime is over begin anew, in other tasks
adapt:  a random agent, and the rule alone
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.learned_rule import LearnedRule
from innerloop.outer.meta_gradient import MetaGradient
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "grid-world": {"inner": {"lr": 0.2}},
    "probe": {"updates": 300, "meta_batch": 16, "life": 20, "steps": 4},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """LPG on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = {"meta_batch": 32, "updates": 1000, "life": 100, "steps": 20, "streams": 16} | preset(_FAMILIES, family.name)
    plan = Plan(chunks=5, steps=chosen["steps"], streams=chosen["streams"])
    return Recipe(
        name="lpg",
        family=family.name,
        inner=LearnedRule(plan, family.spaces, **chosen.get("inner", {})),
        outer=MetaGradient(lifetime=chosen["life"], **chosen.get("outer", {})),
        meta_batch=chosen["meta_batch"],
        steps=steps or chosen["updates"] * chosen["meta_batch"] * plan.interactions,
        unit="update",
        evaluation=plan._replace(chunks=chosen["life"]),
        held_out=16,
        evaluations=10,
        report_every=10,
    )
