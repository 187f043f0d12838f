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

import equinox as eqx
import jax

from innerloop import registry
from innerloop.core import Cursor, Inner, Lifetime, Outer, Plan, Task, per_task, replay
from innerloop.inner.forgetful import Forgetful
from innerloop.run.config import Recipe
from innerloop.run.trainer import Trainer
from innerloop.tasks.family import Family
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

FAMILIES = ("probe-across", "point-goal")  # discrete with short episodes, continuous with long ones
TASKS = 4
PLAN = Plan(chunks=2, steps=6, streams=2)
# Any field of these names, wherever it stands. Memories of other kinds are tested beside them (tests/inner/test_memories.py):
# a window as long as the life is another one in half of it, and their norms are in float32 always.
SMALL = {"width": 8, "hidden": (8, 8), "minibatches": 2, "epochs": 2, "memory": "gru", "layers": 1}
SMALL |= {"capacity": 8, "batch": 4, "replays": 2, "bins": 5, "ensemble": 2, "members": 2, "population": 4}
SMALL |= {"life_width": 8, "model_width": 8, "head_width": 8, "predictions": 8}


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
    named = {f.name: getattr(x, f.name) for f in fields(x) if f.name in SMALL}
    chosen = {name: SMALL[name] for name, value in named.items() if value and isinstance(value, type(SMALL[name]))}
    parts = {f.name: _small(part) for f in fields(x) if isinstance(part := getattr(x, f.name), eqx.Module)}
    return replace(x, **chosen, **parts)


def small(name: str, family: str) -> tuple[Recipe, Family]:
    """A named recipe on a family, with small nets and a small plan."""
    recipe = registry.maker(name)(find(family), 10_000)
    plan = PLAN._replace(restart=recipe.inner.plan.restart)
    recipe = replace(
        recipe, inner=_small(recipe.inner).with_plan(plan), outer=_small(recipe.outer), meta_batch=TASKS, evaluation=plan
    )
    return recipe.settled(), find(recipe.family)


def takes(name: str, family: str) -> bool:
    """Whether a recipe can be made for a family; one that refuses says so before anything compiles (labels, say)."""
    try:
        small(name, family)
    except ValueError:
        return False
    return True


def _suits(inner: Inner, outer: Outer) -> bool:
    """Whether the outer's objective makes sense with the inner."""
    try:
        outer.check(inner)
    except ValueError:
        return False
    return True


def _suits_family(inner: Inner) -> bool:
    """Whether an inner can live in the family it was made for."""
    try:
        inner.check()
    except ValueError:
        return False
    return True


def _kind(inner: Inner) -> tuple[str, ...]:
    return (type(inner).__name__, *(_kind(inner.inner) if isinstance(inner, Forgetful) else ()))


def _methods() -> Iterator[Case]:
    """Each recipe in the first family; each new pair of inner and outer in the others too."""
    for family_name in FAMILIES:
        seen = set()
        for name in sorted(registry.RECIPES, key=lambda name: name == "oracle"):
            if not takes(name, family_name):
                continue
            recipe, family = small(name, family_name)
            pair = (type(recipe.inner), type(recipe.outer))
            if pair not in seen or family_name == FAMILIES[0]:
                yield Case(f"{name}/{family_name}", recipe.inner, family, recipe)
            seen.add(pair)


def _beside(methods: list[Case]) -> Iterator[Case]:
    """Each kind of baseline once, and each switch that changes what an inner carries."""
    seen = {_kind(case.inner) for case in methods}
    for case in methods:
        if not case.name.endswith(FAMILIES[0]):
            continue
        for kind, (inner, _) in registry.baselines(case.recipe, case.family).items():
            inner = _small(inner).with_plan(case.inner.plan)
            if _kind(inner) not in seen or kind == "from scratch" and "from scratch" not in seen:
                yield Case(f"{case.name}, {kind}", inner, case.family, case.recipe)
            seen |= {_kind(inner), kind}
        if case.inner.population and _kind(case.inner.base) not in seen:  # what its members are
            yield Case(f"{case.name}, member", case.inner.base, case.family, case.recipe)
            seen.add(_kind(case.inner.base))
        for name in registry.TEACHERS:
            inner = registry.teacher(name)(case.family, 1).with_plan(case.inner.plan)
            if _kind(inner) not in seen and _suits_family(inner):
                yield Case(f"{name}/{case.family.name}", inner, case.family, case.recipe)
                seen.add(_kind(inner))
        for field in ("normalise", "normalise_obs", "first_order", "transition"):
            if getattr(case.inner, field, None) is False and (_kind(case.inner), field) not in seen:
                inner = replace(case.inner, **{field: True})
                yield Case(f"{case.name}, {field}", inner, case.family, replace(case.recipe, inner=inner))
                seen.add((_kind(case.inner), field))
        if getattr(case.inner, "head", None) == "dense" and (_kind(case.inner), "head") not in seen:
            inner = replace(case.inner, head="hyper", units=4)
            yield Case(f"{case.name}, hyper", inner, case.family, replace(case.recipe, inner=inner))
            seen.add((_kind(case.inner), "head"))


METHODS = list(_methods())


def _choices(inner: Inner) -> tuple[Any, ...]:
    """What kind of inner it is, and all of its settings that are not numbers: those change what is computed."""
    each = [(f.name, getattr(inner, f.name)) for f in fields(inner) if f.name not in ("plan", "spaces")]
    named = ((name, _choices(x) if isinstance(x, Inner) else x) for name, x in each if isinstance(x, (str, bool, tuple, Inner)))
    return type(inner), inner.plan.restart, *named


def _distinct(cases: list[Case]) -> list[Case]:
    """One case of each inner: recipes that differ in their outers, or in numbers, share it."""
    return list({(_choices(case.inner), case.family.name): case for case in reversed(cases)}.values())[::-1]


CASES = _distinct(METHODS + list(_beside(METHODS)))  # of inners
INNERS = [case for case in CASES if case in METHODS]  # those that stand in a recipe


def _carried(inner: Inner) -> tuple[Any, ...]:
    """The kind of inner and the structure of what it carries: recipes that differ in less share their outer cases."""
    key = jax.random.key(0)
    meta = jax.eval_shape(inner.init, key)
    return type(inner), jax.tree.structure((meta, jax.eval_shape(inner.begin, meta, key)))


def _pairs() -> Iterator[Case]:
    """The recipes, and in the first family as many other pairs that suit each other as it takes for every kind of inner and of
    outer to have met a stranger; a choice among inner models is trained by its own outer alone."""
    seen = set()
    for a in METHODS:
        pair = (*_carried(a.inner), type(a.outer), a.family.name.removeprefix("shown:"))
        if pair not in seen:
            seen |= {pair, (type(a.inner), type(a.outer))}
            yield Case(f"{a.name} × {type(a.outer).__name__}", a.inner, a.family, a.recipe)
    met = set()
    for a in METHODS:
        for b in METHODS:
            pair, here = (type(a.inner), type(b.outer)), a.family.name == b.family.name == FAMILIES[0]
            if here and pair not in seen and not set(pair) <= met and not a.inner.population and _suits(a.inner, b.outer):
                seen.add(pair)
                met |= set(pair)
                yield Case(f"{a.name} × {type(b.outer).__name__}", a.inner, a.family, replace(a.recipe, outer=b.outer))


PAIRS = list(_pairs())


def _covering() -> Iterator[Case]:
    """As many pairs as it takes to have every kind of inner and of outer, in the first family where they can live there."""
    seen = set()
    for case in sorted(PAIRS, key=lambda case: case.family.name != FAMILIES[0]):
        kinds = {type(case.inner), type(case.outer)}
        if not kinds <= seen:
            seen |= kinds
            yield case


COVERING = list(_covering())


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


@cache
def trainer(case: Case) -> Trainer:
    """The case's recipe, compiled once for all tests of it."""
    return Trainer(case.recipe, case.family, DeviceWorld(case.family))


@cache
def replayed(case: Case) -> Any:
    """(meta, lives) → decisions, the value ahead and the adapted fast states of replays with `learn_last`; jitted."""
    return jax.jit(lambda meta, lives: per_task(lambda life: replay(case.inner, meta, life, learn_last=True), lives))


def one_more(case: Case) -> Any:
    """(meta, tasks, cursor) → the next lives from a cursor, and theirs; jitted."""
    world = DeviceWorld(case.family)
    return jax.jit(lambda meta, tasks, cursor: world.live(case.inner, meta, tasks, jax.random.key(9), cursor, False))
