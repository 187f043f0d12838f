"""The performance model's outer: a balanced assignment, who lives where, what the probe is paid, and what is regressed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.evaluate.population import score
from innerloop.outer.performance import _disorder, assignment
from innerloop.recipes.metamodel import make
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("semi-circle-dense")


def small(**inner):
    recipe = make(FAMILY)
    base = replace(recipe.inner.base, hidden=(8,))
    chosen = replace(recipe.inner, base=base, members=3, width=8, embed=8, ensemble=2, hidden=(8,), **inner)
    return replace(recipe, inner=chosen, meta_batch=8, steps=10 * 8 * 7 * 20).settled()


@pytest.fixture(scope="module")
def trained():
    recipe = small()
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    carried = made.first(0)
    after, metrics = made.iterate(carried)
    return recipe, made, carried, after, metrics


def test_an_assignment_is_balanced_and_follows_what_is_better():
    value = jax.random.normal(jax.random.key(0), (12, 3))
    given = assignment(value, 5.0)
    np.testing.assert_allclose(given.sum(1), 1 / 12, rtol=1e-3)
    np.testing.assert_allclose(given.sum(0), 1 / 3, rtol=1e-2)
    apart = jnp.repeat(jnp.eye(3), 4, 0)
    np.testing.assert_array_equal(jnp.argmax(assignment(apart, 20.0), 1), np.repeat(np.arange(3), 4))
    alike = assignment(jnp.zeros((6, 3)), 20.0)
    np.testing.assert_allclose(alike, 1 / 18, rtol=1e-4)


def test_in_every_task_the_chooser_lives_once_and_each_member_too(trained):
    recipe, _, carried, _, _ = trained
    tasks = FAMILY.sample(jax.random.key(0), 8)
    metas, drawn = recipe.outer.propose(carried.outer, tasks, jax.random.key(0))
    np.testing.assert_array_equal(metas.forced.reshape(8, 7), np.tile([-1, 0, 1, 2, 3, 3, 3], (8, 1)))
    np.testing.assert_array_equal(drawn.params.reshape(8, 7, 2), np.repeat(np.asarray(tasks.params)[:, None], 7, 1))
    assert recipe.interactions == 8 * 7 * 20


def test_a_curriculum_lives_again_where_predictions_were_least_sure(trained):
    recipe, _, _, after, _ = trained
    outer = replace(recipe.outer, curriculum=0.5)
    tasks = FAMILY.sample(jax.random.key(5), 8)
    _, drawn = outer.propose(after.outer, tasks, jax.random.key(0))
    first = drawn.params.reshape(8, 7, 2)[:, 0]
    np.testing.assert_array_equal(first[:4], after.outer.hard.params[:4])
    np.testing.assert_array_equal(first[4:], tasks.params[4:])


def test_members_learn_while_they_may_and_the_prediction_always(trained):
    recipe, made, carried, after, metrics = trained
    moved = lambda a, b: any(np.any(x != y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))  # noqa: E731
    assert moved(carried.outer.meta.members, after.outer.meta.members)
    assert moved(carried.outer.meta.probe, after.outer.meta.probe)
    assert not moved(carried.outer.meta.prior, after.outer.meta.prior)
    late = after._replace(outer=after.outer._replace(count=jnp.int32(7)))
    later, _ = made.iterate(late)
    assert not moved(after.outer.meta.members, later.outer.meta.members)
    assert moved(after.outer.meta.predictor, later.outer.meta.predictor)
    assert set(metrics) >= {"single_best", "best_of_population", "chosen", "score", "prediction_error"}
    assert metrics["best_of_population"] >= metrics["single_best"]


def test_the_probe_is_paid_what_it_earns_and_all_that_follows():
    recipe = small(probe=2)
    world = DeviceWorld(FAMILY)
    meta = recipe.inner.init(jax.random.key(0))
    tasks = FAMILY.sample(jax.random.key(1), 3)
    lives = world.live(recipe.inner, meta, tasks, jax.random.key(2))[0]
    short = recipe.outer._credited(recipe.inner, lives)
    assert short.chunks.reward.shape == (3, 1, 2, 1)
    np.testing.assert_allclose(short.chunks.reward.sum((1, 2, 3)), lives.chunks.reward.sum((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(short.chunks.reward[:, :, 0], lives.chunks.reward[:, :, 0])
    np.testing.assert_array_equal(short.last.obs, lives.chunks.step.obs[:, 0, 2])


def test_the_order_of_members_costs_where_it_is_wrong():
    target = jnp.array([[[1.0], [0.0], [-1.0]]])
    right, wrong = _disorder(3.0 * target, target), _disorder(-3.0 * target, target)
    assert right < 0.1 < wrong


def test_a_task_that_is_not_finite_counts_for_nothing(trained):
    recipe, made, carried, _, _ = trained
    metas, tasks, key_live, key = made._draw(carried)
    lives = DeviceWorld(FAMILY).live(
        recipe.inner, metas, tasks, key_live, learn_last=False, metas=recipe.outer.each(recipe.inner)
    )[0]
    broken = lives._replace(chunks=lives.chunks._replace(reward=lives.chunks.reward.at[1].set(jnp.nan)))
    state, metrics = jax.jit(recipe.outer.update, static_argnums=0)(recipe.inner, carried.outer, broken, key)
    assert metrics["masked"] == pytest.approx(1 / 8)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating))


def test_a_score_is_nought_at_the_single_best_and_one_at_the_best_of_all():
    rng = np.random.default_rng(0)
    single, best = rng.normal(0, 1, (3, 200)), rng.normal(2, 1, (3, 200))
    assert score(single, single, best).mean == 0 and score(best, single, best).mean == 1
    one = score(0.5 * (single + best)[:1], single[:1], best[:1])
    assert one.lo < 0.5 < one.hi and one.over == "tasks"


def test_a_life_of_several_chunks_predicts_each(trained):
    recipe = small(probe=0)
    plan = Plan(2, 20, 2, restart=True)
    inner = recipe.inner.with_plan(plan)
    meta = inner.init(jax.random.key(0))
    assert meta.statistics.usual.shape == (3, 2)
    lives = DeviceWorld(FAMILY).live(inner, meta, FAMILY.sample(jax.random.key(1), 2), jax.random.key(2))[0]
    assert lives.start.seen.shape == (2, 2, 3)


def test_members_live_again_where_they_were_best():
    recipe = small()
    recipe = replace(recipe, meta_batch=12, outer=replace(recipe.outer, repeats=2)).settled()
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    carried, _ = made.iterate(made.first(0))
    metas, tasks = recipe.outer.propose(carried.outer, FAMILY.sample(jax.random.key(3), 12), jax.random.key(4))
    forced = np.asarray(metas.forced).reshape(12, -1)
    where = np.asarray(jax.tree.leaves(tasks.params)[0]).reshape(12, forced.shape[1], -1)
    dealt = np.asarray(jax.tree.leaves(carried.outer.dealt.params)[0]).reshape(12, -1)
    np.testing.assert_array_equal(forced[:, 1:6], [[0, 1, 2, owner, owner] for owner in (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2)])
    np.testing.assert_array_equal(where[:, 4], dealt)
    np.testing.assert_array_equal(where[:, 5], dealt)
    assert (forced[:, 6:] == 3).all() and forced.shape[1] == 1 + 5 + 5
    after, _ = made.iterate(carried)
    assert np.isfinite(jax.tree.leaves(after.outer.members)[0]).all()
    with pytest.raises(ValueError, match="multiple of 6"):
        Trainer(replace(recipe, meta_batch=10), FAMILY, DeviceWorld(FAMILY)).first(0)
