"""Soft actor-critic's equations by hand: only a termination ends the target, and the lesser twin counts."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.equations.soft_actor_critic import critic_loss, expected_soft_value, soft_target, soft_value, temperature_loss

Q = jnp.array([3.0, 2.0])


def test_a_termination_ends_the_target_and_nothing_else_does():
    going = soft_target(jnp.float32(1.0), jnp.array(False), jnp.float32(2.1), 0.9)
    np.testing.assert_allclose(going, 1.0 + 0.9 * 2.1, rtol=1e-6)
    ended = soft_target(jnp.float32(1.0), jnp.array(True), jnp.float32(2.1), 0.9)
    np.testing.assert_allclose(ended, 1.0)


def test_losses_by_hand():
    np.testing.assert_allclose(critic_loss(Q, jnp.float32(1.0)), 0.5 * (4.0 + 1.0))
    np.testing.assert_allclose(soft_value(Q, jnp.float32(-0.5), jnp.float32(0.2)), 2.0 + 0.1, rtol=1e-6)


def test_an_expected_soft_value_is_the_mean_of_those_of_single_actions():
    q, logits, alpha = jnp.array([[3.0, 0.0, 1.0], [2.0, 4.0, 5.0]]), jnp.array([0.5, -1.0, 2.0]), jnp.float32(0.3)
    pi = jax.nn.softmax(logits)
    single = [soft_value(q[:, a], jnp.log(pi[a]), alpha) for a in range(3)]
    np.testing.assert_allclose(expected_soft_value(q, logits, alpha), pi @ jnp.stack(single), rtol=1e-6)
    best = alpha * jax.nn.logsumexp(jnp.min(q, 0) / alpha)  # the soft maximum, at the policy that reaches it
    np.testing.assert_allclose(expected_soft_value(q, jnp.min(q, 0) / alpha, alpha), best, rtol=1e-6)


def test_the_temperature_grows_while_there_is_too_little_entropy():
    slope = jax.grad(temperature_loss)
    assert slope(jnp.float32(0.0), jnp.float32(3.0), -2.0) < 0 < slope(jnp.float32(0.0), jnp.float32(1.0), -2.0)
