"""Meta-gradients of an actor-critic's own settings (Xu et al. 2018, arXiv 1805.09801; STAC, Zahavy et al. 2020).

initialise settings η: discount, λ, weight of the entropy, step size; agents with random parameters θ, each in a task
repeat: in every agent: K times, act for a while, and take a step of actor-critic with η
        improve η by the policy gradient of what the stepped θ's earn, back through the steps
adapt:  the same, or an ordinary actor-critic with the settings that were found
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.self_tuned import SelfTuned
from innerloop.outer.meta_gradient import MetaGradient
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "probe": {"updates": 200, "meta_batch": 16, "life": 20, "steps": 4},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """A self-tuned actor-critic on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = {"meta_batch": 16, "updates": 500, "life": 100, "steps": 20, "streams": 16} | preset(_FAMILIES, family.name)
    plan = Plan(chunks=3, steps=chosen["steps"], streams=chosen["streams"])
    return Recipe(
        name="self-tuned",
        family=family.name,
        inner=SelfTuned(plan, family.spaces, **chosen.get("inner", {})),
        outer=MetaGradient(lr=1e-2, entropy_weight=0.0, lifetime=chosen["life"], **chosen.get("outer", {})),
        meta_batch=chosen["meta_batch"],
        steps=steps or chosen["updates"] * chosen["meta_batch"] * plan.interactions,
        unit="update",
        evaluation=plan._replace(chunks=chosen["life"]),
        held_out=16,
        evaluations=10,
        report_every=10,
    )
