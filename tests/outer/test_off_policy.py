"""Off-policy: the replay memory's ring, targets by hand, whose actions are cloned, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan, replay
from innerloop.equations.two_hot import mean_of, symlog_bins
from innerloop.inner.gradient import Gradient
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.behaviour import relived
from innerloop.outer.off_policy import OffPolicy
from innerloop.outer.replay_memory import draw, empty, store
from innerloop.tasks import PointGoal
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("probe-across")
INNER = Recurrent(Plan(1, 8, 1), FAMILY.spaces, width=8)
META = INNER.init(jax.random.key(0))
OUTER = OffPolicy(capacity=8, batch=4, replays=1, bins=9, limit=10.0, ensemble=2, hidden=(8,))


def lived(count=3, seed=0):
    tasks = FAMILY.sample(jax.random.key(1), count)
    return jax.jit(lambda key: DeviceWorld(FAMILY).live(INNER, META, tasks, key)[0])(jax.random.key(seed))


def test_the_ring_overwrites_the_oldest_and_takes_nothing_that_is_not_finite():
    lives = [lived(seed=i) for i in range(4)]
    memory, held = empty(lives[0], 8), []
    keep = jax.jit(store)
    for i, batch in enumerate(lives):
        if i == 1:
            reward = batch.chunks.reward.at[2, 0, 3, 0].set(jnp.nan)
            batch = batch._replace(chunks=batch.chunks._replace(reward=reward))
        memory, bad = keep(memory, batch)
        assert bad.tolist() == [False, False, i == 1]
        held += [a for a, b in zip(np.asarray(batch.chunks.action), bad, strict=True) if not b]
    assert memory.stored == 11
    ring = [None] * 8
    for i, action in enumerate(held):
        ring[i % 8] = action
    np.testing.assert_array_equal(memory.lives.chunks.action, np.stack(ring))
    drawn = draw(memory, 64, jax.random.key(0))
    again = replay(INNER, META, relived(INNER, META, jax.tree.map(lambda x: x[0], drawn)))[0]
    assert np.isfinite(again.value).all()
    assert len({x.tobytes() for x in np.asarray(drawn.chunks.action)}) > 4


def test_before_it_is_full_only_what_is_there_is_drawn():
    lives = lived()
    memory, _ = store(empty(lives, 8), lives)
    drawn = draw(memory, 50, jax.random.key(0)).chunks.step.born
    assert drawn[:, 0, 0].all()  # an empty place holds False


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_returns_by_hand(lam):
    """Three rows of one trial and the first of the next; γ = 1/2."""
    outer = replace(OUTER, discount=0.5, td_lambda=lam)
    life = jax.tree.map(lambda x: x[0, :, :4] if x.ndim > 2 else x[0], lived(1))
    rows = life.chunks
    born = jnp.zeros_like(rows.step.born).at[0, 0].set(True).at[0, 3].set(True)
    reward = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
    rows = rows._replace(step=rows.step._replace(born=born), reward=reward)
    life = life._replace(chunks=rows)
    value = jnp.array([10.0, 20.0, 30.0, 40.0])[:, None]
    third = 3.0
    second = 2.0 + 0.5 * ((1 - lam) * 30.0 + lam * third)
    first = 1.0 + 0.5 * ((1 - lam) * 20.0 + lam * second)
    returns, mask = outer.returns(life, value, True)
    np.testing.assert_allclose(returns[:, 0], [first, second, third, 4.0], rtol=1e-6)
    assert mask.all()
    returns, _ = outer.returns(life, value, False)
    np.testing.assert_allclose(returns[3, 0], 4.0 + 0.5 * 40.0)  # the trial may go on


def test_the_loss_clones_what_is_better_than_the_policy():
    """With a critic that prefers action 1 everywhere: where 1 was taken it is cloned, where 0 was taken nothing is."""
    lives = lived()
    state = OUTER.init(INNER, META, FAMILY, lives, jax.random.key(0))
    bins = symlog_bins(10.0, 9)
    np.testing.assert_allclose(mean_of(OUTER._logits(state.critics, jnp.ones((5, 8))), bins), 0.0)
    bias = state.critics.head.bias.reshape(2, 2, 9).at[:, 1, 8].set(20.0).at[:, 0, 0].set(20.0).reshape(2, 18)
    critics = state.critics._replace(head=replace(state.critics.head, bias=bias))
    life = jax.tree.map(lambda x: x[0], lives)
    _, metrics = OUTER.loss(INNER, (META, critics), critics, jnp.ones(()), life, jax.random.key(1))
    log_p = np.asarray(replay(INNER, META, life)[0].dist.log_prob(life.chunks.action))
    better = np.asarray(life.chunks.action) == 1
    np.testing.assert_allclose(metrics["better"], better.mean())
    np.testing.assert_allclose(metrics["policy_loss"], -(log_p * better).mean(), rtol=1e-5)
    value = np.asarray(jax.nn.softmax(replay(INNER, META, life)[0].dist.logits)) @ np.array([-10.0, 10.0])
    np.testing.assert_allclose(metrics["value"], value.mean(), atol=1e-4)


def test_the_online_term_moves_the_policy_towards_what_the_critic_prefers():
    lives = lived()
    state = OUTER.init(INNER, META, FAMILY, lives, jax.random.key(0))
    bias = state.critics.head.bias.reshape(2, 2, 9).at[:, 1, 8].set(3.0).reshape(2, 18)
    critics = state.critics._replace(head=replace(state.critics.head, bias=bias))
    outer = replace(OUTER, clone_weight=0.0, critic_weight=0.0, q_weight=1.0)
    life = jax.tree.map(lambda x: x[0], lives)

    def loss(learned):
        return outer.loss(INNER, learned, critics, jnp.ones(()), life, jax.random.key(1))[0]

    meta, of_critics = jax.grad(loss)((META, critics))
    assert meta.policy.dense.bias[1] < 0 < meta.policy.dense.bias[0]
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(of_critics))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_boxes_are_judged_with_the_action_that_was_taken(weight):
    tasks = PointGoal()
    inner = Recurrent(Plan(1, 6, 2), tasks.spaces, width=8)
    outer, meta = replace(OUTER, q_weight=weight), inner.init(jax.random.key(0))
    outer.check(inner)
    actor = outer.actor(inner)
    lives = jax.jit(lambda key: DeviceWorld(tasks).live(actor, meta, tasks.sample(key, 4), key)[0])(jax.random.key(0))
    state = outer.init(inner, meta, tasks, lives, jax.random.key(0))
    after, metrics = jax.jit(outer.update, static_argnums=0)(inner, state, lives, jax.random.key(0))
    assert metrics["masked"] == 0 and all(np.isfinite(x) for x in metrics.values())
    assert after.memory.stored == 4 and after.scale != state.scale


def test_what_has_no_features_or_no_room_is_refused():
    with pytest.raises(ValueError, match="Gradient gives none"):
        OUTER.check(Gradient(Plan(1, 8, 1), FAMILY.spaces))
    with pytest.raises(ValueError, match=r"outer.capacity \(8\) must be at least meta_batch \(9\)"):
        OUTER.planned(1, 9)
    with pytest.raises(ValueError, match="explore below 1"):
        replace(OUTER, explore=1.0).check(INNER)
