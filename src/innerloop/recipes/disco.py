"""DiscoRL (Oh et al. 2025, Nature, doi 10.1038/s41586-025-09761-x): an update rule that was discovered, to use or to train on.

have η, from a published file (start=disco_103.npz) or fresh
repeat: in every agent: K times, act for a while, and step towards the rule's targets for policy and predictions
        improve η by the policy gradient of what the stepped agents earn, back through the steps
        agents whose lifetime is over begin anew, in other tasks
adapt:  a random agent, and the rule alone; with --steps 0 the rule is used as it was found
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.discovered_rule import DiscoveredRule
from innerloop.outer.meta_gradient import MetaGradient
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "probe": {"meta_batch": 4, "life": 20, "steps": 4},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """DiscoRL on `family`; `steps`: environment steps of meta-training, 0 for none."""
    chosen = {"meta_batch": 8, "updates": 500, "life": 100, "steps": 20, "streams": 16} | preset(_FAMILIES, family.name)
    plan = Plan(chunks=2, steps=chosen["steps"], streams=chosen["streams"])
    return Recipe(
        name="disco",
        family=family.name,
        inner=DiscoveredRule(plan, family.spaces, **chosen.get("inner", {})),
        outer=MetaGradient(lifetime=chosen["life"], **chosen.get("outer", {})),
        meta_batch=chosen["meta_batch"],
        steps=chosen["updates"] * chosen["meta_batch"] * plan.interactions if steps is None else steps,
        unit="update",
        evaluation=plan._replace(chunks=chosen["life"]),
        held_out=4,
        evaluations=5,
        report_every=10,
    )
