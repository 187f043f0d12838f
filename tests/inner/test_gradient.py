"""MAML's inner step, by hand: one step of policy gradient, and what its switches change."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Chunk, Discrete, Plan, Spaces, birth
from innerloop.equations.linear_baseline import advantages
from innerloop.inner.gradient import Gradient

SPACES = Spaces(Box((3,)), Discrete(4))
PLAN = Plan(1, 6, 5)
INNER = Gradient(PLAN, SPACES, hidden=(7,), activation="tanh", lr=0.3)
META = INNER.init(jax.random.key(0))
FAST = INNER.begin(META, jax.random.key(0))


@pytest.fixture(scope="module")
def chunk():
    rng = np.random.default_rng(0)
    obs = jnp.asarray(rng.normal(size=(6, 5, 3)), jnp.float32)
    steps = jax.vmap(lambda o: birth(SPACES, o, 5))(obs)
    steps = steps._replace(first=jnp.zeros((6, 5), bool).at[0].set(True))
    dist = INNER.decide(META, FAST, obs).dist
    action = jnp.asarray(rng.integers(0, 4, size=(6, 5)), jnp.int32)
    no = jnp.zeros((6, 5), bool)
    reward = jnp.asarray(rng.normal(size=(6, 5)), jnp.float32)
    return Chunk(steps, action, dist, dist.log_prob(action), jnp.zeros((6, 5)), reward, no, no.at[-1].set(True), obs, ~no)


LEARN = jax.jit(lambda inner, fast, chunk: inner.learn(META, fast, chunk, jax.random.key(0)), static_argnums=0)


def moved(inner, chunk, fast=FAST):
    return jax.tree.map(lambda a, b: a - b, LEARN(inner, fast, chunk).net, fast.net)


def leaves(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def test_a_step_is_the_policy_gradient_of_standardised_advantages(chunk):
    ends = chunk.terminated | chunk.truncated
    advantage = advantages(chunk.step.obs, chunk.reward, chunk.step.first, ends, chunk.mask, 0.99, 1.0)

    def gain(net):
        layer = net.body.layers[0]
        hidden = jnp.tanh(chunk.step.obs @ layer.weight + layer.bias[None, None])
        logits = hidden @ net.head.dense.weight + net.head.dense.bias[None, None]
        log_p = jnp.sum(jax.nn.log_softmax(logits) * jax.nn.one_hot(chunk.action, 4), -1)
        return jnp.mean(log_p * advantage)

    np.testing.assert_allclose(leaves(moved(INNER, chunk)), 0.3 * leaves(jax.grad(gain)(META)), atol=1e-6)


def test_later_steps_are_half_as_large(chunk):
    fast = FAST._replace(steps=jnp.int32(1))
    np.testing.assert_allclose(leaves(moved(INNER, chunk, fast)), 0.5 * leaves(moved(INNER, chunk)), atol=1e-7)
    assert LEARN(INNER, fast, chunk).steps == 2


def test_rewards_may_be_scaled_and_shifted_where_advantages_are_standardised(chunk):
    scaled = chunk._replace(reward=1000.0 * chunk.reward)
    np.testing.assert_allclose(leaves(moved(INNER, scaled)), leaves(moved(INNER, chunk)), rtol=2e-2, atol=2e-4)
    bare = replace(INNER, normalise="none")
    np.testing.assert_allclose(leaves(moved(bare, scaled)), 1000 * leaves(moved(bare, chunk)), rtol=2e-2, atol=2e-2)


def test_first_order_takes_the_same_step_and_no_gradient_through_it(chunk):
    first = replace(INNER, first_order=True)
    np.testing.assert_array_equal(leaves(moved(first, chunk)), leaves(moved(INNER, chunk)))
    weight = lambda inner: jax.grad(  # noqa: E731
        lambda net: jnp.sum(leaves_jax(inner.learn(META, FAST._replace(net=net), chunk, jax.random.key(0)).net))
    )(META)
    np.testing.assert_allclose(leaves(weight(first)), 1.0)
    assert np.abs(leaves(weight(INNER)) - 1.0).max() > 1e-3


def leaves_jax(tree):
    return jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(tree)])


def test_an_agent_from_scratch_owes_the_meta_parameters_nothing():
    scratch = replace(INNER, inherits=False)
    one, two = (scratch.begin(META, jax.random.key(i)).net for i in (1, 2))
    assert not np.array_equal(leaves(one), leaves(two)) and not np.array_equal(leaves(one), leaves(META))
    np.testing.assert_array_equal(leaves(scratch.begin(jax.tree.map(jnp.zeros_like, META), jax.random.key(1)).net), leaves(one))


def test_reward_to_go_weights_are_the_bare_returns(chunk):
    bare = replace(INNER, weights="return", discount=1.0)
    nothing = chunk._replace(reward=jnp.zeros((6, 5)))
    np.testing.assert_allclose(leaves(moved(bare, nothing)), 0.0, atol=1e-7)
    np.testing.assert_allclose(leaves(moved(INNER, nothing)), 0.0, atol=1e-4)
