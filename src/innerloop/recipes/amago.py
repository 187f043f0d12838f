"""AMAGO: off-policy meta-reinforcement learning over whole trials (Grigsby et al. 2024, arXiv 2310.09971; 2411.11188).

initialise θ, critics, an empty memory of trials
repeat: draw tasks; in each, live a trial with π_θ and some random actions; store it
        several times: draw trials from the memory; from one read-out h of the trial's memory
            critics:  cross-entropy of Q(h_t, a_t) against two-hot λ-returns of r and V'
            actor:    − 1[Q(h_t, a_t) > V(h_t)] log π_θ(a_t | h_t)
adapt:  live on; the memory does the learning
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.off_policy import OffPolicy
from innerloop.recipes.presets import held_out, preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_TRIALS: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "bandit": {"steps": 10_000_000},
    "grid-navi": {"steps": 5_000_000},
    "probe": {"steps": 250_000, "inner": {"width": 32}, "outer": {"lr": 3e-3}},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """AMAGO on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = preset(_TRIALS, family.name)
    plan = Plan(chunks=1, steps=family.horizon * family.episodes, streams=1)
    return Recipe(
        name="amago",
        family=family.name,
        inner=Recurrent(plan, family.spaces, **chosen.get("inner", {})),  # the paper's memory is a transformer
        outer=OffPolicy(**chosen.get("outer", {})),
        meta_batch=chosen.get("meta_batch", 64),
        steps=steps or chosen.get("steps", 5_000_000),
        unit=family.unit,
        evaluation=plan,
        held_out=held_out(family),
        report_every=10,
    )
