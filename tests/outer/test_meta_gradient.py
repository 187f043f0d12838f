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


def test_the_meta_gradient_is_the_slope_of_what_agents_earn():
    """Of what agents earn after one step, by the size of that step. What is lived before the step does not depend on it, so the
    meta-gradient is unbiased; the other estimate is evolution's, of antithetic pairs that share tasks and luck."""
    tasks, lives = family("bandit-k5-n10"), 20_000
    inner = SelfTuned(Plan(2, 10, 4), tasks.spaces, tunes=("lr",), lr=0.3, discount=0.9, entropy_weight=0.0)
    outer = replace(self_tuned(tasks).outer, normalise=False, discount=1.0, gae_lambda=1.0, entropy_weight=0.0)
    meta = inner.init(jax.random.key(0))
    drawn = tasks.sample(jax.random.key(1), lives)
    live = jax.jit(lambda meta, key: DeviceWorld(tasks).live(inner, meta, drawn, key)[0])

    def later(lived):
        return lived.chunks.reward[:, 1].sum((1, 2))

    @jax.jit
    def slopes(lived):
        critic = outer._critic(inner, jax.random.key(3))

        def slope(life):
            rows = life._replace(chunks=life.chunks._replace(truncated=life.chunks.truncated.at[:, -1].set(True)))
            advantage, _ = outer.advantages(inner, critic, rows)
            gain = lambda meta: -outer.loss(inner, meta, meta, life, advantage)[0]  # noqa: E731
            return jax.grad(gain)(meta).lr * 40  # the mean over rows, times rows

        return jax.lax.map(slope, lived)

    mine = np.asarray(slopes(live(meta, jax.random.key(4))))
    apart = 0.2
    pair = [later(live(meta._replace(lr=meta.lr + sign * apart), jax.random.key(5))) for sign in (1, -1)]
    theirs = np.asarray(pair[0] - pair[1]) / (2 * apart)
    noise = np.sqrt(mine.var() / lives + theirs.var() / lives)
    assert mine.mean() > 6 * np.sqrt(mine.var() / lives), "there is a slope to be found"
    assert abs(mine.mean() - theirs.mean()) < 4 * noise + 0.05 * mine.mean()  # a pair is a secant, not a tangent


def test_it_says_what_it_needs():
    recipe = small()
    with pytest.raises(ValueError, match="takes at least 2"):
        recipe.outer.check(recipe.inner.with_plan(Plan(1, 5, 2)))
    with pytest.raises(ValueError, match="takes at least 4"):
        replace(recipe.outer, objective="bootstrap", bootstrap=2).check(recipe.inner)
    with pytest.raises(ValueError, match="on the device"):
        cheetah = family("half-cheetah-vel")
        recipe.outer.init(recipe.inner, None, cheetah, None, jax.random.key(0))
