"""LPO, learned policy optimisation (Lu et al. 2022, arXiv 2210.05639): meta-learn what keeps a policy step close, by evolution.

initialise φ near PPO's drift
repeat: draw tasks and perturbations ε; in each task, with φ + σε and with φ − σε, train an agent of the same random beginning:
        act for a while, then epochs of minibatch steps on  r A − f_φ(r, A);  φ ← φ + α mean of ε times what it earned at last
adapt:  a random agent, trained with the drift f_φ
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.drift_policy import DriftPolicy
from innerloop.outer.evolution import Evolution
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "grid-world": {},
    # Agents of 640 steps: they must learn fast, or no drift makes a difference to what they earn.
    "probe": {"life": 10, "steps": 8, "updates": 50, "inner": {"lr": 0.03}, "outer": {"std": 0.3}},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """LPO on `family`; `steps`: environment steps, if not the family's preset."""
    chosen: dict[str, Any] = {"meta_batch": 2, "updates": 100, "life": 20, "steps": 32, "streams": 8}
    chosen |= preset(_FAMILIES, family.name)
    plan = Plan(chunks=chosen["life"], steps=chosen["steps"], streams=chosen["streams"])
    inner = DriftPolicy(plan, family.spaces, **chosen.get("inner", {}))
    outer = Evolution(**{"population": 16, "fitness": "last"} | chosen.get("outer", {}))
    return Recipe(
        name="lpo",
        family=family.name,
        inner=inner,
        outer=outer,
        meta_batch=chosen["meta_batch"],
        steps=steps or chosen["updates"] * chosen["meta_batch"] * outer.lives(inner) * plan.interactions,
        unit="update",
        evaluation=plan,
        held_out=16,
        evaluations=10,
        report_every=10,
    )
