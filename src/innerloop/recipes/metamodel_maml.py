"""The performance model over MAML's initialisations: choose where gradient steps begin (as FAMLE does, Kaushik et al. 2020).

initialise P sets of parameters and a meta-model
repeat: draw tasks; in each, every initialisation acts, takes a step of policy gradient and acts again
        each initialisation improves by MAML's outer step on the tasks that it is relatively best in
        the meta-model regresses what each earns before and after the step on what a life has shown
adapt:  act with the initialisation that is best on average; predict; go on from the best one, step by step
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from innerloop.core import Plan
from innerloop.inner.performance_model import PerformanceModel
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.performance import Performance
from innerloop.recipes import maml
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {"point-goal": {"updates": 150}}  # what departs from the defaults, by family


def make(family: Family, steps: int | None = None) -> Recipe:
    """The performance model over gradient learners on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = {"members": 4, "tasks": 32, "streams": 10, "updates": 100} | preset(_FAMILIES, family.name)
    recipe = maml.make(family)
    plan = recipe.inner.plan._replace(streams=chosen["streams"])
    inner = PerformanceModel(
        recipe.inner.with_plan(plan),
        Recurrent(Plan(1, family.horizon, plan.streams), family.spaces),
        plan,
        family.spaces,
        family.horizon,
        members=chosen["members"],
        generalist=False,
        switch="chunk",
    )
    outer = Performance(family, recipe.outer)
    lived = chosen["tasks"] * outer.lives(inner) * plan.interactions
    return replace(
        recipe,
        name="metamodel-maml",
        inner=inner,
        outer=outer,
        meta_batch=chosen["tasks"],
        steps=steps or chosen["updates"] * lived,
        evaluation=recipe.evaluation._replace(streams=chosen["streams"]),
    )
