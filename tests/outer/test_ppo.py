"""PPO: what its first step is, and that the scale of returns does not decide which way the policy moves."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.ppo import PPO
from innerloop.tasks import Bandit
from innerloop.worlds import DeviceWorld

FAMILY = Bandit(3, 8)
INNER = Recurrent(Plan(1, 8, 1), FAMILY.spaces, width=8)
META = INNER.init(jax.random.key(0))
OUTER = PPO(lr=1e-4, anneal=False, epochs=1, minibatches=1, max_norm=1e9)
UPDATE = jax.jit(lambda outer, state, lives: outer.update(INNER, state, lives, jax.random.key(0)), static_argnums=0)


@pytest.fixture(scope="module")
def lives():
    tasks = FAMILY.sample(jax.random.key(1), 64)
    return jax.jit(lambda key: DeviceWorld(FAMILY).live(INNER, META, tasks, key)[0])(jax.random.key(2))


@pytest.fixture(scope="module")
def state(lives):
    return OUTER.init(INNER, META, FAMILY, lives, jax.random.key(0))


def test_at_the_sampling_parameters_ratio_is_1_and_kl_0(lives, state):
    """One epoch, one minibatch: the metrics are of the sampling parameters."""
    _, metrics = UPDATE(OUTER, state, lives)
    assert abs(metrics["kl"]) < 1e-6 and metrics["masked"] == 0
    assert abs(metrics["policy_loss"]) < 1e-5  # −mean of the standardised advantages
    assert 0 < metrics["entropy"] <= np.log(3) + 1e-6


def scaled(lives, factor):
    """The same lives, paid otherwise; what the memory saw of rewards is left as it was."""
    return lives._replace(chunks=lives.chunks._replace(reward=factor * lives.chunks.reward))


def direction(outer, state, lives):
    """The first moment that Adam has after one update: the gradient, flat."""
    new, metrics = UPDATE(outer, state, lives)
    gradient = jax.tree.leaves(new.optimiser[1][0].mu)
    return np.concatenate([np.ravel(x) for x in gradient]), metrics


def test_returns_a_thousand_times_as_large_point_the_policy_the_same_way(lives, state):
    """Their scale is taken out before the critic sees them: neither the policy's gradient nor the shared trunk's changes
    but by what the untrained critic adds, which is small beside returns of either scale."""
    plain, metrics = direction(OUTER, state, lives)
    large, grown = direction(OUTER, state, scaled(lives, 1000.0))
    cosine = plain @ large / np.linalg.norm(plain) / np.linalg.norm(large)
    assert cosine > 0.95
    assert 0.5 < np.linalg.norm(large) / np.linalg.norm(plain) < 2.0
    assert 500 < grown["return_std"] / metrics["return_std"] < 2000


def test_the_critics_targets_are_standardised_step_by_step(lives, state):
    advantage, returns, mask = OUTER.advantages(INNER, state, lives)
    scale = OUTER._rescale(state.scale, returns, mask, False)
    target = (returns - scale.mean[None, :, None]) / scale.std
    np.testing.assert_allclose(target.mean((0, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose((target**2).mean(), 1.0, atol=1e-3)
    np.testing.assert_allclose(advantage + lives.chunks.value.reshape(returns.shape), returns, atol=1e-6)


def test_before_the_first_update_the_critic_is_read_by_the_scale_of_what_these_lives_earned(lives, state):
    """A critic from another run (`start`) speaks in standardised returns; mean 0 and deviation 1 would make noise of it."""
    first = OUTER._first(state.scale, lives, False)
    reward = np.asarray(lives.chunks.reward).reshape(64, 8)
    earned = np.stack([sum(0.99 ** (j - t) * reward[:, j] for j in range(t, 8)) for t in range(8)], 1)
    np.testing.assert_allclose(first.mean, earned.mean(0), rtol=1e-5)
    np.testing.assert_allclose(first.std, np.sqrt(((earned - earned.mean(0)) ** 2).mean()), rtol=1e-4)
    assert first.weight == 0  # what is learned from them takes its place
    known = first._replace(weight=jnp.ones(()))
    jax.tree.map(np.testing.assert_array_equal, OUTER._first(known, scaled(lives, 3.0), False), known)


def test_running_statistics_move_slowly_once_they_have_weight(lives, state):
    _, returns, mask = OUTER.advantages(INNER, state, lives)
    first = OUTER._rescale(state.scale, returns, mask, False)
    second = OUTER._rescale(first, returns + 10.0, mask, False)
    np.testing.assert_allclose(second.mean, first.mean + 0.05 * 10.0, rtol=1e-3)


def test_a_segment_of_a_longer_life_values_what_follows(lives, state):
    last, _, _ = OUTER.advantages(INNER, state, lives)
    ahead, _, _ = replace(OUTER, bootstrap=True).advantages(INNER, state, lives)
    assert np.abs(np.asarray(ahead - last)[:, -1]).min() > 0
    np.testing.assert_allclose(np.asarray(ahead - last)[:, 0], 0.0, atol=1e-2)  # (γλ)^7 of it is left


def test_minibatches_must_divide_the_batch():
    with pytest.raises(ValueError, match=r"meta_batch \(10\).*minibatches \(4\)"):
        PPO(minibatches=4).planned(1, 10)
    assert PPO(minibatches=5).planned(7, 10).updates == 7


def test_the_learning_rate_ends_at_zero():
    outer = PPO(lr=1e-2, anneal=True, epochs=2, minibatches=2).planned(3, 4)
    optimiser = outer._optimiser()
    state, sizes = optimiser.init(jnp.ones(2)), []
    for _ in range(3 * 4 + 1):
        change, state = optimiser.update(jnp.ones(2) * 0.1, state)
        sizes.append(float(jnp.abs(change).max()))
    assert sizes[0] == pytest.approx(1e-2, rel=1e-2) and sizes[-1] == 0 and sorted(sizes, reverse=True) == sizes
