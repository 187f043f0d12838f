"""LPG's rule: with targets set by hand it is REINFORCE; its own cross no episode's end and no row that is not one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.equations.returns import discounted_returns, masked_mean
from innerloop.inner.learned_rule import LearnedRule
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("grid-world")
PLAN = Plan(2, 12, 3)


class Reinforce(LearnedRule):
    """Targets that are returns, and predictions left alone."""

    def targets(self, meta, chunk, log_prob, y, y_next):
        ends = chunk.terminated | chunk.truncated
        returns = jax.vmap(discounted_returns, (1, 1, None), 1)(chunk.reward, ends, self.discount)
        return returns, jnp.log(y)


def lived(inner):
    meta = inner.init(jax.random.key(0))
    tasks = FAMILY.sample(jax.random.key(1), 2)
    lives, _ = DeviceWorld(FAMILY).live(inner, meta, tasks, jax.random.key(2))
    return meta, jax.tree.map(lambda x: x[0], lives)


def test_with_returns_for_targets_it_is_reinforce():
    inner = Reinforce(PLAN, FAMILY.spaces, optimiser="sgd", lr=0.7)
    meta, life = lived(inner)
    fast, chunk = life.start, jax.tree.map(lambda x: x[0], life.chunks)
    chunk = chunk._replace(reward=jax.random.normal(jax.random.key(3), chunk.reward.shape))
    returns, _ = inner.targets(meta, chunk, chunk.log_prob, jnp.ones((12, 3, 8)) / 8, None)

    def surrogate(net):
        log_prob = inner._read(net, chunk.step.obs)[0].log_prob(chunk.action)
        return masked_mean(log_prob * returns, chunk.mask)

    expected = jax.tree.map(lambda p, g: p + 0.7 * g, fast.net, jax.grad(surrogate)(fast.net))
    got = inner.learn(meta, fast, chunk, jax.random.key(0)).net
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got.policy, expected.policy)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got.prediction, fast.net.prediction)


def test_targets_read_what_follows_up_to_an_episodes_end():
    inner = LearnedRule(PLAN, FAMILY.spaces)
    meta, life = lived(inner)
    chunk = jax.tree.map(lambda x: x[0], life.chunks)
    chunk = chunk._replace(truncated=jnp.zeros((12, 3), bool).at[5].set(True), terminated=jnp.zeros((12, 3), bool))
    y = jax.nn.softmax(jax.random.normal(jax.random.key(4), (12, 3, 8)))

    def targets(chunk):
        return inner.targets(meta, chunk, chunk.log_prob, y, y)

    for row, moved in ((4, range(0, 5)), (5, range(0, 6)), (8, range(6, 9))):
        other = chunk._replace(reward=chunk.reward.at[row].add(1.0))
        for a, b in zip(targets(chunk), targets(other), strict=True):
            differs = np.abs(np.asarray(a - b)).reshape(12, -1).max(1) > 1e-7
            assert [t for t in range(12) if differs[t]] == list(moved)
    hidden = chunk._replace(mask=chunk.mask.at[8].set(False))
    broken = hidden._replace(reward=hidden.reward.at[8].set(jnp.nan))
    for a, b in zip(targets(hidden), targets(broken), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_it_is_held_to_account_for_adds_up():
    inner = LearnedRule(PLAN, FAMILY.spaces, policy_cost=1.0, target_cost=0.0, prediction_entropy=0.0)
    meta, life = lived(inner)
    first = jax.tree.map(lambda x: x[0], life.chunks)
    one = inner.learn(meta, life.start, first, jax.random.key(0))
    two = inner.learn(meta, one, first, jax.random.key(0))
    assert inner.cost(life.start) == 0.0 and 0 < inner.cost(one) < inner.cost(two)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="adam, sgd"):
        LearnedRule(PLAN, FAMILY.spaces, optimiser="newton").check()
    with pytest.raises(ValueError, match="above 0"):
        LearnedRule(PLAN, FAMILY.spaces, lr=0.0).check()
