"""VariBAD's outer: what each half moves, what the two weightings mean, and bonuses that fall to nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.inner.belief_filter import BeliefFilter
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.bonus import Bonus
from innerloop.outer.ppo import PPO
from innerloop.outer.varibad import VariBAD
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

FAMILY = find("grid-navi")
INNER = BeliefFilter(Plan(1, 30, 1), FAMILY.spaces, width=8, embed=6, latent=3, hidden=(8,), decoder=(8,), features=4)
OUTER = VariBAD(PPO(epochs=1, minibatches=2), capacity=16, batch=8, replays=2).planned(10, 4)
META = INNER.init(jax.random.key(0))
TASKS = FAMILY.sample(jax.random.key(1), 4)
LIVES = jax.jit(lambda key: DeviceWorld(FAMILY).live(INNER, META, TASKS, key)[0])(jax.random.key(2))
EXAMPLE = jax.eval_shape(lambda x: x, LIVES)


def updated(outer, times=1):
    state = outer.init(INNER, META, FAMILY, EXAMPLE, jax.random.key(3))
    step = jax.jit(lambda state, key: outer.update(INNER, state, LIVES, key))
    for i in range(times):
        state, metrics = step(state, jax.random.key(4 + i))
    return state, metrics


def apart(a, b):
    return any(np.any(np.asarray(x) != np.asarray(y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_ppo_alone_leaves_the_belief_and_training_the_belief_alone_leaves_the_policy():
    state, _ = updated(replace(OUTER, lr=0.0))
    assert not apart(state.policy.meta.filter, META.filter) and not apart(state.policy.meta.decoder, META.decoder)
    assert apart(state.policy.meta.policy, META.policy)
    state, _ = updated(replace(OUTER, policy=replace(OUTER.policy, lr=0.0)))
    assert apart(state.policy.meta.filter, META.filter) and apart(state.policy.meta.decoder, META.decoder)
    assert not apart(state.policy.meta.policy, META.policy) and not apart(state.policy.meta.body, META.body)


def test_published_weighs_the_divergence_by_the_batch():
    published, _ = updated(replace(OUTER, weighting="published", kl_weight=0.01))
    consistent, _ = updated(replace(OUTER, weighting="consistent", kl_weight=0.01 * OUTER.batch))
    for a, b in zip(jax.tree.leaves(published.policy.meta), jax.tree.leaves(consistent.policy.meta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_the_bound_rises_on_stored_trials():
    outer = replace(OUTER, lr=1e-2, replays=20, kl_weight=0.01)
    _, first = updated(outer)
    _, later = updated(outer, times=4)
    assert later["reward_evidence"] > first["reward_evidence"]


def test_an_inner_without_a_belief_is_refused():
    with pytest.raises(ValueError, match=r"Recurrent holds none \(Inner\.evidence\); accepted: BeliefFilter"):
        OUTER.check(Recurrent(Plan(1, 30, 1), FAMILY.spaces))
    with pytest.raises(ValueError, match="capacity"):
        replace(OUTER, capacity=2).planned(10, 4)
    with pytest.raises(ValueError, match=r"bonus\.until"):
        replace(OUTER, bonus=Bonus(until=0.0)).check(INNER)


def test_bonuses_fall_to_nothing_and_are_no_part_of_what_is_reported():
    bonus = Bonus(novelty=1.0, surprise=0.5, until=0.5).planned(10)
    state = bonus.init(INNER, META, EXAMPLE, jax.random.key(5))
    add = jax.jit(lambda state: bonus.add(INNER, state, META, LIVES, jax.random.key(6)))
    paid = []
    for _ in range(7):
        state, lives, said = add(state)
        extra = lives.chunks.reward - LIVES.chunks.reward
        paid.append(float(jnp.mean(extra)))
        assert np.all(np.asarray(extra) >= 0)
        assert not apart(lives.chunks.step, LIVES.chunks.step)  # nothing of it reaches the agent
    assert paid[0] > paid[3] > 0 and paid[5] == paid[6] == 0.0
    np.testing.assert_allclose(said["bonus_weight"], 0.0)


def test_what_has_been_met_often_is_no_longer_new():
    bonus = Bonus(novelty=1.0, until=1.0, lr=1e-2).planned(10_000)
    state = bonus.init(INNER, META, EXAMPLE, jax.random.key(5))
    add = jax.jit(lambda state: bonus.add(INNER, state, META, LIVES, jax.random.key(6))[0])
    first = add(state)
    for _ in range(200):
        state = add(state)
    assert state.scale[0] < 0.2 * first.scale[0]
