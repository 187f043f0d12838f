"""Meta-gradients over agents that live on: who goes on where, who begins anew, and which way settings are moved."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.inner.self_tuned import SelfTuned
from innerloop.recipes.lpg import make
from innerloop.recipes.self_tuned import make as self_tuned
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("grid-world")


def small(life=12, **outer):
    recipe = make(FAMILY)
    inner = replace(recipe.inner, width=8, embed=4, predictions=3).with_plan(Plan(3, 5, 2))
    return replace(recipe, inner=inner, outer=replace(recipe.outer, lifetime=life, **outer), meta_batch=12).settled()


def test_agents_live_on_and_begin_anew_one_by_one():
    recipe = small()
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    carried = made.first(0)
    assert carried.outer.fresh.all()
    spans, reborn = np.asarray(carried.outer.span), []
    assert spans.min() >= 1 and spans.max() <= 12 and len(set(spans.tolist())) > 3
    for _ in range(6):
        before = carried.outer
        carried, metrics = made.iterate(carried)
        after = carried.outer
        reborn.append(np.asarray(after.fresh))
        kept = ~np.asarray(before.fresh)
        for a, b in zip(jax.tree.leaves(before.task), jax.tree.leaves(after.task), strict=True):
            np.testing.assert_array_equal(np.asarray(a)[kept], np.asarray(b)[kept])
        np.testing.assert_array_equal(after.age, np.where(before.fresh, 0, before.age) + 3)
        np.testing.assert_array_equal(after.fresh, after.age >= before.span)
        steps = np.asarray(after.cursor.fast.optimiser[0].count)
        np.testing.assert_array_equal(steps, after.age)  # each has learned from every chunk of its life
        assert np.isfinite(metrics["gradient"])
    reborn = np.array(reborn)
    assert reborn.any(0).all() and not reborn.all(1).any()
    assert (np.asarray(after.span) >= 6).sum() > 6


def test_a_lifetime_of_none_never_ends():
    recipe = small(life=0)
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    carried = made.first(0)
    for _ in range(3):
        carried, _ = made.iterate(carried)
    assert not carried.outer.fresh.any() and (np.asarray(carried.outer.age) == 9).all()


def test_a_lost_agent_begins_anew():
    recipe = small()
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    carried, _ = made.iterate(made.first(0))
    state = carried.outer._replace(fresh=jnp.zeros(12, bool))
    net = jax.tree.map(lambda x: x.at[4].set(jnp.nan), state.cursor.fast.net)
    end = state.cursor._replace(fast=state.cursor.fast._replace(net=net))
    np.testing.assert_array_equal(recipe.outer.lived(state, end).fresh, np.arange(12) == 4)


@pytest.mark.parametrize("lr", [0.01, 0.4])
def test_bootstrapping_moves_the_step_size_towards_the_reference(lr):
    """The goal is one step at 0.1 from where the agent stood one step at `lr` before: the step size goes its way."""
    plan = Plan(3, 20, 16)
    inner = SelfTuned(plan, FAMILY.spaces, tunes=("lr",), lr=lr)
    recipe = self_tuned(FAMILY)
    outer = replace(recipe.outer, objective="bootstrap")
    meta = inner.init(jax.random.key(0))
    reference = replace(inner, lr=0.1).init(jax.random.key(0))
    tasks = FAMILY.sample(jax.random.key(1), 8)
    lives, _ = DeviceWorld(FAMILY).live(inner, meta, tasks, jax.random.key(2))
    advantage = jnp.zeros_like(lives.chunks.reward)

    def loss(meta):
        each = jax.vmap(lambda life, a: outer.loss(inner, reference, meta, life, a)[0])(lives, advantage)
        return jnp.mean(each)

    gradient = jax.grad(loss)(meta).lr
    assert gradient < 0, "a longer step from the first chunk comes nearer to where the second leads"


def test_it_says_what_it_needs():
    recipe = small()
    with pytest.raises(ValueError, match="takes at least 2"):
        recipe.outer.check(recipe.inner.with_plan(Plan(1, 5, 2)))
    with pytest.raises(ValueError, match="takes at least 4"):
        replace(recipe.outer, objective="bootstrap", bootstrap=2).check(recipe.inner)
    with pytest.raises(ValueError, match="on the device"):
        cheetah = family("half-cheetah-vel")
        recipe.outer.init(recipe.inner, None, cheetah, None, jax.random.key(0))
