"""Every recipe, and every baseline beside it, as small cases: a new inner, outer or recipe is picked up by itself.

Not the tests. A case is one inner in one family, small enough to compile in a second or two; an outer case adds an outer.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from types import ModuleType
from typing import Any

import jax

import innerloop.inner
import innerloop.outer
from innerloop import registry
from innerloop.core import Cursor, Inner, Lifetime, Outer, Plan, Task
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

FAMILIES = ("probe-across", "point-goal")  # discrete with short episodes, continuous with long ones
TASKS = 4
PLAN = Plan(chunks=2, steps=6, streams=2)
SMALL = {"width": 8, "hidden": (8, 8), "minibatches": 2, "epochs": 2}  # any field of these names, wherever it stands


@dataclass(frozen=True)
class Case:
    """One inner (and, in outer cases, one outer) in one family."""

    name: str
    inner: Inner
    family: Family
    recipe: Recipe  # the recipe it comes from, small

    @property
    def outer(self) -> Outer:
        return self.recipe.outer

    def __repr__(self) -> str:
        return self.name


def _small(x: Any) -> Any:
    return replace(x, **{f.name: SMALL[f.name] for f in fields(x) if f.name in SMALL and getattr(x, f.name)})


def small(name: str, family: str) -> tuple[Recipe, Family]:
    """A named recipe on a family, with small nets and a small plan."""
    recipe = registry.maker(name)(find(family), 10_000)
    plan = PLAN._replace(restart=recipe.inner.plan.restart)
    recipe = replace(
        recipe, inner=_small(recipe.inner).with_plan(plan), outer=_small(recipe.outer), meta_batch=TASKS, evaluation=plan
    )
    return recipe.settled(), find(recipe.family)


def _cases() -> Iterator[Case]:
    for name in registry.RECIPES:
        for i, family_name in enumerate(FAMILIES):
            recipe, family = small(name, family_name)
            yield Case(f"{name}/{family_name}", recipe.inner, family, recipe)
            if i == 0:
                for kind, (inner, _) in registry.baselines(recipe, family).items():
                    inner = _small(inner).with_plan(recipe.inner.plan)
                    yield Case(f"{name}, {kind}/{family_name}", inner, family, recipe)
                for field in ("normalise", "normalise_obs", "first_order"):  # switches that change what is carried
                    if getattr(recipe.inner, field, None) is False:
                        inner = replace(recipe.inner, **{field: True})
                        yield Case(f"{name}, {field}/{family_name}", inner, family, replace(recipe, inner=inner))


def _distinct(cases: Iterator[Case]) -> list[Case]:
    seen: dict[Any, Case] = {}
    for case in cases:
        seen.setdefault((repr(case.inner), case.family), case)
    return list(seen.values())


CASES = _distinct(_cases())
METHODS = [case for case in CASES if case.inner is case.recipe.inner]
PAIRS = [  # every recipe's inner with every recipe's outer, in one family
    Case(f"{a.name} × {type(b.outer).__name__}", a.inner, a.family, replace(a.recipe, outer=b.outer))
    for a in METHODS
    for b in {type(c.outer): c for c in METHODS}.values()
    if a.family.name == FAMILIES[0] or type(a.outer) is type(b.outer)
]


def defined(package: ModuleType, base: type) -> set[type]:
    """The concrete subclasses of `base` that the modules of a package define."""
    found = set()
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for _, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            if issubclass(kind, base) and kind.__module__ == info.name and not inspect.isabstract(kind):
                found.add(kind)
    return found


@dataclass(frozen=True)
class Lived:
    """A batch of lives, jitted and side by side, and what they were made from."""

    inner: Inner
    family: Family
    meta: Any
    tasks: Task
    key: Any
    lives: Lifetime
    cursor: Cursor


@cache
def lived(case: Case) -> Lived:
    """TASKS fresh lives of the case, shared by the tests."""
    inner, family = case.inner, case.family
    world = DeviceWorld(family)
    key = jax.random.key(1)

    @jax.jit
    def make(key: Any) -> Any:
        key_meta, key_tasks, key_live = jax.random.split(key, 3)
        meta, tasks = inner.init(key_meta), family.sample(key_tasks, TASKS)
        return meta, tasks, *world.live(inner, meta, tasks, key_live)

    meta, tasks, lives, cursor = make(key)
    return Lived(inner, family, meta, tasks, jax.random.split(key, 3)[2], lives, cursor)
