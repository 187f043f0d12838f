"""DPT, the decision-pretrained transformer (Lee et al. 2023, arXiv 2306.14892, algorithm 1), trained on histories as they grow.

initialise θ
repeat: draw tasks; in each, let a behaviour policy live a trial D
        label every step with the action a* of the best policy that knows the task
        improve θ by cross-entropy:  − Σ_t log π_θ(a*_t | s_t, D up to t)
adapt:  live on, acting by samples of π_θ; the memory does the learning
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.imitation import Imitation
from innerloop.recipes.presets import BY_KEY, preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_TRIALS: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "bandit": {"steps": 10_000_000, "outer": {"behaviour": "habitual"}},  # the paper's behaviour, also at its 500 pulls
    "grid-navi": {"steps": 5_000_000},
    "dark-room": {"meta_batch": 128, "steps": 4_000_000, "inner": BY_KEY, "outer": {"minibatches": 16}},
    "probe": {"meta_batch": 256, "steps": 250_000, "inner": {"width": 32, "layers": 1}},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """DPT on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = preset(_TRIALS, family.name)
    plan = Plan(chunks=1, steps=family.horizon * family.episodes, streams=1)
    inner = {"memory": "transformer", "width": 64, "layers": 2} | chosen.get("inner", {})
    return Recipe(
        name="dpt",
        family=family.name,
        inner=Recurrent(plan, family.spaces, **inner),
        outer=Imitation(family, **{"target": "optimal", "behaviour": "mixed", "lr": 1e-3} | chosen.get("outer", {})),
        meta_batch=chosen.get("meta_batch", 256),
        steps=steps or chosen.get("steps", 10_000_000),
        unit=family.unit,
        evaluation=plan,
        held_out=1000,
        report_every=5,
    )
