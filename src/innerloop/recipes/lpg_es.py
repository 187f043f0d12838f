"""LPG by evolution: the update rule of `lpg.py`, improved over whole lifetimes or unbiased segments of them.

initialise η
repeat: draw tasks and perturbations ε; in each task, with η + σε and with η − σε: agents of the same random beginning live on,
        K steps of the rule at a time; η ← η + α mean of ε times what they earned
adapt:  a random agent, and the rule alone
"""

from __future__ import annotations

from dataclasses import replace

from innerloop.outer.evolution import Evolution
from innerloop.recipes import lpg
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family


def make(family: Family, steps: int | None = None) -> Recipe:
    """LPG by noise-reuse evolution on `family`; `steps`: environment steps, if not the family's preset."""
    recipe = lpg.make(family, steps)
    outer = Evolution("noise-reuse", std=0.1, per="step", lifetime=recipe.evaluation.chunks)
    return replace(recipe, name="lpg-es", outer=outer, meta_batch=4)
