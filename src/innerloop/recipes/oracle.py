"""The task-id oracle: one policy for all tasks, trained with the task shown in the observation. Not a meta-learner.

repeat: draw tasks; act in each with one policy that sees the task
        improve it by TRPO on the mean return
It says what a policy of this kind reaches when there is nothing to find out; where a closed form is known, reports
use that instead.
"""

from __future__ import annotations

from innerloop.core import Plan
from innerloop.inner.gradient import Gradient
from innerloop.outer.trpo import TRPO
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family
from innerloop.tasks.shown import Shown


def make(family: Family, steps: int | None = None) -> Recipe:
    """The oracle of `family`."""
    shown = family if isinstance(family, Shown) else Shown(family)
    plan = Plan(chunks=1, steps=family.horizon, streams=20, restart=True)
    return Recipe(
        name="oracle",
        family=shown.name,
        inner=Gradient(plan, shown.spaces),
        outer=TRPO(),
        meta_batch=10,
        steps=steps or 200 * 10 * plan.interactions,
        unit="gradient step",
        evaluation=plan,
        held_out=40,
        evaluations=10,
        save_every=60.0,
    )
