"""ES-MAML (Song et al. 2020, arXiv 1910.01215): MAML's initial parameters by evolution, with no second derivative.

initialise θ
repeat: draw tasks and perturbations ε; in each task, with θ + σε and with θ − σε: act, step by policy gradient, act again
        θ ← θ + α mean of ε times what the agents earned after the step
adapt:  as MAML
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from innerloop.outer.evolution import Evolution
from innerloop.recipes import maml
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {"probe": {"tasks": 8, "streams": 8, "updates": 100}}  # what departs from the defaults


def make(family: Family, steps: int | None = None) -> Recipe:
    """ES-MAML on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = {"tasks": 4, "streams": 5, "updates": 200} | preset(_FAMILIES, family.name)
    recipe = maml.make(family)
    plan = recipe.inner.plan._replace(streams=chosen["streams"])
    inner, outer = recipe.inner.with_plan(plan), Evolution(population=32, fitness="last")
    return replace(
        recipe,
        name="es-maml",
        inner=inner,
        outer=outer,
        meta_batch=chosen["tasks"],
        steps=steps or chosen["updates"] * chosen["tasks"] * outer.lives(inner) * plan.interactions,
    )
