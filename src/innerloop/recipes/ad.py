"""AD, Algorithm Distillation (Laskin et al. 2022, arXiv 2210.14215, algorithm 1): in-context learning learned from histories.

record: in each of many tasks let an agent learn from nothing, and keep all that it met and did   (`innerloop record`)
initialise θ
repeat: draw histories; of each take a window of several episodes
        improve θ by  − Σ_t log π_θ(a_t | o_t, the window up to t): what did the learner do next?
adapt:  live on; the memory continues the learning that it saw
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
    "bandit": {"steps": 10_000_000},
    "grid-navi": {"steps": 5_000_000},
    "dark-room": {"meta_batch": 128, "steps": 8_000_000, "thin": 10, "inner": BY_KEY, "outer": {"minibatches": 16}},
    "probe": {"meta_batch": 256, "steps": 250_000, "inner": {"width": 32, "layers": 1}},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """AD on `family`, to be given --set histories=FOLDER; `steps`: environment steps read, if not the family's preset."""
    chosen = preset(_TRIALS, family.name)
    plan = Plan(chunks=1, steps=family.horizon * family.episodes, streams=1)
    inner = {"memory": "transformer", "width": 64, "layers": 2} | chosen.get("inner", {})
    return Recipe(
        name="ad",
        family=family.name,
        inner=Recurrent(plan, family.spaces, **inner),
        outer=Imitation(family, **{"target": "recorded", "lr": 1e-3} | chosen.get("outer", {})),
        meta_batch=chosen.get("meta_batch", 256),
        steps=steps or chosen.get("steps", 10_000_000),
        unit=family.unit,
        evaluation=plan,
        held_out=1000,
        report_every=5,
        thin=chosen.get("thin", 1),
    )
