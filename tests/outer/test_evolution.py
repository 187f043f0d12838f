"""Evolution: members share tasks and luck, the estimate is that of the smoothed objective, segments go on as they should."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.inner.self_tuned import SelfTuned
from innerloop.outer.evolution import Evolution, _evolved
from innerloop.recipes.es_maml import make as es_maml
from innerloop.recipes.lpg_es import make as lpg_es
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("probe-across")


def small(outer=None):
    recipe = es_maml(FAMILY)
    inner = replace(recipe.inner, hidden=(4,)).with_plan(Plan(2, 4, 2, restart=True))
    outer = outer or Evolution(population=6, std=0.1)
    return replace(recipe, inner=inner, outer=outer, meta_batch=3, evaluation=inner.plan).settled()


def test_members_of_all_pairs_share_task_and_luck():
    recipe = small()
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    state = made.first(0).outer
    metas, tasks = recipe.outer.propose(state, FAMILY.sample(jax.random.key(1), 3), jax.random.key(2))
    assert (np.asarray(tasks.index).reshape(3, 6) == np.asarray(tasks.index).reshape(3, 6)[:, :1]).all()
    weights = np.concatenate([np.asarray(x).reshape(18, -1) for x in jax.tree.leaves(_evolved(metas)[0])], 1)
    mean = np.concatenate([np.ravel(x) for x in jax.tree.leaves(_evolved(state.meta)[0])])
    np.testing.assert_allclose(weights[:3] + weights[3:6], np.broadcast_to(2 * mean, (3, mean.size)), atol=1e-5)
    np.testing.assert_array_equal(weights[:6], weights[6:12])
    keys = recipe.outer.keys(jax.random.key(3), 18)
    same = jax.tree.map(lambda x: jnp.broadcast_to(x, (18, *jnp.shape(x))), state.meta)
    lives, _ = DeviceWorld(FAMILY).live(recipe.inner, same, tasks, keys, metas=0)
    reward = np.asarray(lives.chunks.reward).reshape(3, 6, -1)
    np.testing.assert_array_equal(reward, np.broadcast_to(reward[:, :1], reward.shape))
    assert not np.array_equal(reward[0], reward[1])


@pytest.mark.parametrize("strategy", ["open", "noise-reuse"])
def test_the_estimate_is_the_gradient_of_the_smoothed_objective(strategy):
    """Of sin(x) under x ~ N(m, σ²): cos(m) exp(−σ²/2)."""
    outer = Evolution(strategy, population=20_000, std=0.3, shaping="none", lifetime=1 if strategy != "open" else 0)
    meta = {"x": jnp.array([0.4])}
    made, params = outer._strategy(meta, 1)
    with jax.numpy_rank_promotion("allow"):
        state = made.init(jax.random.key(0), meta, params)
        population, state = made.ask(jax.random.key(1), state, params)
        fitness = -jnp.sin(population["x"][:, 0])
        noise = population["x"][:, 0] - 0.4
        told, _ = made.tell(jax.random.key(2), population, fitness, state, params)
    estimate = float(jnp.mean(-fitness * noise) / 0.3**2)
    assert estimate == pytest.approx(np.cos(0.4) * np.exp(-(0.3**2) / 2), abs=0.02)
    assert made.get_mean(told)["x"][0] == pytest.approx(0.4 + outer.lr, abs=1e-4)  # Adam's first step, uphill


def test_segments_go_on_until_the_lifetime_is_over():
    tasks = family("grid-world")
    recipe = lpg_es(tasks)
    inner = replace(recipe.inner, width=8, embed=4, predictions=3).with_plan(Plan(2, 30, 4))
    recipe = replace(recipe, inner=inner, outer=Evolution("noise-reuse", 4, lifetime=6), meta_batch=2).settled()
    made = Trainer(recipe, tasks, DeviceWorld(tasks))
    carried, lived, learned, noise = made.first(0), [], [], []
    for _ in range(4):
        carried, metrics = made.iterate(carried)
        lived.append(int(carried.outer.lived))
        learned.append(np.asarray(carried.outer.cursor.fast.optimiser[0].count).tolist())
        noise.append(np.asarray(carried.outer.strategy.pert)[0, 0])
        assert np.isfinite(metrics["moved"])
    assert lived == [2, 4, 0, 2]
    assert learned == [[2] * 8, [4] * 8, [6] * 8, [2] * 8]
    assert noise[0] == noise[1] == noise[2] != noise[3]


def test_it_says_what_it_needs(monkeypatch):
    recipe = small()
    for outer, said in (
        (Evolution(population=5), "must be even"),
        (Evolution("cma"), "open, snes"),
        (Evolution("persistent"), "a multiple of"),
        (Evolution(lifetime=4), "set it to 0"),
        (Evolution(std=0.0), "above 0"),
    ):
        with pytest.raises(ValueError, match=said):
            outer.check(recipe.inner)
    monkeypatch.setitem(sys.modules, "evosax", None)
    with pytest.raises(ValueError, match=r"innerloop\[evolution\]"):
        Evolution()._strategy({"x": jnp.zeros(1)}, 1)


def test_evolution_finds_what_to_do_where_gradients_are_noise():
    """A bandit's step size: agents that learn at 0.001 earn less than those that learn at 0.3."""
    tasks = family("bandit-k5-n10")
    recipe = lpg_es(tasks)
    inner = SelfTuned(Plan(8, 10, 8), tasks.spaces, tunes=("lr",), lr=0.003)
    outer = Evolution(population=16, std=0.5, lr=0.3, fitness="last")
    recipe = replace(recipe, inner=inner, outer=outer, meta_batch=16, steps=25 * 16 * 16 * 640, evaluation=inner.plan).settled()
    made = Trainer(recipe, tasks, DeviceWorld(tasks))
    carried = made.first(0)
    for _ in range(25):
        carried, metrics = made.iterate(carried)
    assert metrics["lr"] > 0.03


def test_fitness_is_per_episode_or_per_step():
    """A life of two episodes that pays 1 a step: 4 an episode, 1 a step; the member whose episode ends early earns less."""
    recipe = small()
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    state = made.first(0).outer
    metas, tasks = recipe.outer.propose(state, FAMILY.sample(jax.random.key(1), 3), jax.random.key(2))
    lives, _ = DeviceWorld(FAMILY).live(recipe.inner, metas, tasks, jax.random.key(3), metas=0)
    first = jnp.zeros_like(lives.chunks.step.first).at[:, :, 0].set(True)  # an episode in each chunk of 4 steps
    rows = lives.chunks._replace(reward=jnp.ones_like(lives.chunks.reward), step=lives.chunks.step._replace(first=first))
    lives = lives._replace(chunks=rows)
    for per, expected in (("episode", 4.0), ("step", 1.0)):
        _, metrics = replace(recipe.outer, per=per).update(recipe.inner, state, lives, jax.random.key(4))
        assert metrics["fitness"] == pytest.approx(expected)


def test_a_lost_member_counts_as_the_worst_and_begins_anew():
    tasks = family("grid-world")
    recipe = lpg_es(tasks)
    inner = replace(recipe.inner, width=8, embed=4, predictions=3).with_plan(Plan(2, 30, 4))
    recipe = replace(recipe, inner=inner, outer=Evolution("noise-reuse", 4, lifetime=6), meta_batch=2).settled()
    made = Trainer(recipe, tasks, DeviceWorld(tasks))
    carried, _ = made.iterate(made.first(0))
    state = carried.outer
    metas, drawn = recipe.outer.propose(state, tasks.sample(jax.random.key(1), 2), jax.random.key(2))
    cursor, fresh = recipe.outer.goes_on(state)
    assert not fresh.any()
    keys = recipe.outer.keys(jax.random.key(3), 8)
    lives, end = DeviceWorld(tasks).live(inner, metas, drawn, keys, cursor, fresh, metas=0)
    reward = jnp.broadcast_to(jnp.arange(8.0)[:, None, None, None] % 4, lives.chunks.reward.shape)
    broken = lives._replace(chunks=lives.chunks._replace(reward=reward.at[5].set(jnp.nan)))
    told, metrics = recipe.outer.update(inner, state, broken, jax.random.key(4))
    worst = lives._replace(chunks=lives.chunks._replace(reward=reward.at[5].set(reward[4])))
    same, _ = recipe.outer.update(inner, state, worst, jax.random.key(4))
    assert metrics["masked"] == 0 and metrics["lost"] == pytest.approx(1 / 8)
    jax.tree.map(np.testing.assert_array_equal, told.meta, same.meta)

    net = jax.tree.map(lambda x: x.at[5].set(jnp.nan), end.fast.net)
    onward = recipe.outer.lived(told, end._replace(fast=end.fast._replace(net=net)))
    np.testing.assert_array_equal(recipe.outer.goes_on(onward)[1], np.arange(8) == 5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(onward.cursor.fast))
