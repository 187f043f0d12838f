"""What every outer promises with every inner: one update compiles once, keeps its types, and learns from sound tasks only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import distance, same
from registry import COVERING, FAMILIES, METHODS, PAIRS, TASKS, Case, defined, lived, small, takes, trainer

import innerloop.outer
from innerloop import registry
from innerloop.core import Lifetime, Outer
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import examples, family
from innerloop.worlds import DeviceWorld
from innerloop.worlds.example import example_life

pairs = pytest.mark.parametrize("case", PAIRS, ids=repr)
# All pairs are compiled when the slow tests are run, and else as many as have every kind of inner and of outer.
compiled_pairs = pytest.mark.parametrize(
    "case", [c if c in COVERING else pytest.param(c, marks=pytest.mark.slow) for c in PAIRS], ids=repr
)
compiled: list[str] = []


def _note(event: str, duration: float, **_: object) -> None:
    if event.endswith("backend_compile_duration"):
        compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)


@cache
def whole_batch(case: Case) -> tuple[Outer, Any]:
    """The case's outer without minibatches, so that masked tasks weigh the same wherever they fall, and its update, jitted."""
    outer = case.outer
    if hasattr(outer, "policy"):
        outer = replace(outer, policy=replace(outer.policy, minibatches=1))
    outer = replace(outer, minibatches=1) if hasattr(outer, "minibatches") else outer
    return outer, jax.jit(partial(outer.update, case.inner))


def sampled(case: Case) -> tuple[Any, Lifetime]:
    """The outer's first state, with the meta-parameters that lived the lives beside it."""
    found = lived(METHODS[[m.inner for m in METHODS].index(case.inner)])
    many = case.outer.lives(case.inner)
    if many == 1:
        shapes = jax.eval_shape(lambda: found.lives)
        return case.outer.init(case.inner, found.meta, case.family, shapes, jax.random.key(0)), found.lives
    shapes = example_life(case.inner, found.meta, case.family, TASKS * many)
    state = case.outer.init(case.inner, found.meta, case.family, shapes, jax.random.key(0))
    metas, tasks = case.outer.propose(state, found.tasks, jax.random.key(1))
    live = partial(DeviceWorld(case.family).live, case.inner, metas=case.outer.each(case.inner))
    return state, jax.jit(lambda metas, tasks: live(metas, tasks, found.key)[0])(metas, tasks)


def test_every_outer_has_a_case():
    missing = defined(innerloop.outer, Outer) - {type(case.outer) for case in PAIRS}
    assert not missing, f"{missing} stand in no recipe, so the contract suite does not see them"


def test_every_recipe_has_a_case():
    assert {case.name.partition("/")[0] for case in METHODS} == set(registry.RECIPES)


def _kind(tasks: str) -> tuple[Any, ...]:
    """What of a family shapes depend on."""
    found = family(tasks)
    spaces = [(type(space), getattr(space, "bounded", None)) for space in jax.tree.leaves(found.spaces.obs)]
    return *spaces, type(found.spaces.action), found.unit


def _fits() -> Iterator[tuple[str, str]]:
    """RL² in every family on the device, and one recipe of each inner and outer in one family of each kind."""
    device = [tasks for tasks in examples() if family(tasks).on_device and tasks not in FAMILIES and "xland" not in tasks]
    one_of_each = {_kind(tasks): tasks for tasks in reversed(device)}.values()
    seen = set()
    for name in sorted(registry.RECIPES, key=lambda name: name != "rl2"):
        recipe, _ = small(name, next(tasks for tasks in FAMILIES if takes(name, tasks)))
        pair = type(recipe.inner), type(recipe.outer)
        if pair not in seen:
            seen.add(pair)
            # A discovered rule takes twenty times as long to trace as the others.
            asked = device if name == "rl2" else list(one_of_each)[:2] if name == "disco" else one_of_each
            yield from ((name, tasks) for tasks in asked)


@pytest.mark.parametrize(("name", "tasks"), list(_fits()))
def test_every_recipe_fits_every_family(name: str, tasks: str):
    """Traced, not compiled: shapes and types of a whole update."""
    if not takes(name, tasks):
        pytest.skip(f"{name} refuses {tasks}")
    recipe, found = small(name, tasks)
    made = Trainer(recipe, found, DeviceWorld(found))
    like = jax.eval_shape(lambda: made.first(0))
    after, metrics = jax.eval_shape(made.iterate, like)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), like)
    assert metrics["masked"].shape == ()


@pairs
def test_an_update_keeps_structure_shapes_and_types(case: Case):
    """[11], weak types included: else the next call compiles anew."""
    made = trainer(case)
    before = made.first(0)
    after, metrics = jax.eval_shape(made.iterate, before)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
    assert {"masked", "return_first", "return_last"} <= set(metrics)
    for name, x in metrics.items():
        assert x.shape == () and jnp.issubdtype(x.dtype, jnp.floating), name


@compiled_pairs
def test_the_second_update_compiles_nothing(case: Case):
    """[10]; and an update changes meta, stays finite, and is the same one when made again."""
    made = trainer(case)
    start = made.first(0)
    carried, metrics = made.iterate(start)
    jax.block_until_ready(carried)
    compiled.clear()
    carried, _ = made.iterate(carried)
    made.iterate(carried)
    again, _ = made.iterate(start)
    twice, _ = made.iterate(again)
    jax.block_until_ready(twice)
    assert not compiled
    same(twice, carried)
    assert metrics["masked"] == 0 and metrics["skipped"] == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(carried.outer) if jnp.issubdtype(x.dtype, jnp.floating))
    outer = made.recipe.outer
    assert distance(outer.meta(carried.outer), outer.meta(start.outer)) > 0


@pytest.mark.parametrize("case", COVERING, ids=repr)
def test_a_task_that_is_not_finite_is_masked_counted_and_never_spread(case: Case):
    """An update with one bad task in four moves meta where one with the three others does; the trainer then skips it,
    since that is more than its share."""
    state, lives = sampled(case)
    outer, update = whole_batch(case)
    each = outer.lives(case.inner)  # of a task, one after the other
    rewards = lives.chunks.reward.at[each : 2 * each].set(jnp.nan)
    broken = lives._replace(chunks=lives.chunks._replace(reward=rewards))
    new, metrics = update(state, broken, jax.random.key(0))
    assert metrics["masked"] == 0.25
    moved = distance(outer.meta(new), outer.meta(state))
    assert moved > 0
    if type(outer).propose is Outer.propose:  # else the others would be taken for other tasks than they are
        rest = jax.tree.map(lambda x: x[jnp.array([0, 2, 3])], lives)
        expected, clean = update(state, rest, jax.random.key(0))
        assert clean["masked"] == 0
        assert distance(outer.meta(new), outer.meta(expected)) < 0.02 * moved
    for name, x in metrics.items():
        assert np.isfinite(x), name
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(new) if jnp.issubdtype(x.dtype, jnp.floating))


@pytest.mark.parametrize("case", COVERING, ids=repr)
def test_rows_that_are_no_transitions_move_nothing(case: Case):
    """An update honours the mask: rewards, actions and values in masked rows of the last chunk change nothing."""
    state, lives = sampled(case)
    rows = lives.chunks
    mask = rows.mask.at[:, :, 2:4].set(False)
    keep = lambda x, other: jnp.where(jnp.reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim)), x, other)  # noqa: E731
    spoiled = rows._replace(
        mask=mask,
        reward=keep(rows.reward, 100.0),
        action=keep(rows.action, jnp.zeros_like(rows.action)),
        log_prob=keep(rows.log_prob, -9.0),
        dist=jax.tree.map(lambda x: keep(x, x + 1.0), rows.dist),
        next_obs=jax.tree.map(lambda x: keep(x, jnp.ones_like(x)), rows.next_obs),
    )
    outer, update = whole_batch(case)
    one, _ = update(state, lives._replace(chunks=rows._replace(mask=mask)), jax.random.key(0))
    other, _ = update(state, lives._replace(chunks=spoiled), jax.random.key(0))
    assert distance(outer.meta(one), outer.meta(state)) > 0
    assert distance(outer.meta(one), outer.meta(other)) < 1e-6
