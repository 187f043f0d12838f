"""Soft actor-critic's equations by hand: only a termination ends the target, and the lesser twin counts."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.equations.soft_actor_critic import actor_loss, critic_loss, soft_target, temperature_loss

Q = jnp.array([3.0, 2.0])


def test_a_termination_ends_the_target_and_nothing_else_does():
    going = soft_target(jnp.float32(1.0), jnp.array(False), Q, jnp.float32(-0.5), jnp.float32(0.2), 0.9)
    np.testing.assert_allclose(going, 1.0 + 0.9 * (2.0 + 0.1), rtol=1e-6)
    ended = soft_target(jnp.float32(1.0), jnp.array(True), Q, jnp.float32(-0.5), jnp.float32(0.2), 0.9)
    np.testing.assert_allclose(ended, 1.0)


def test_losses_by_hand():
    np.testing.assert_allclose(critic_loss(Q, jnp.float32(1.0)), 0.5 * (4.0 + 1.0))
    np.testing.assert_allclose(actor_loss(Q, jnp.float32(-0.5), jnp.float32(0.2)), -0.1 - 2.0, rtol=1e-6)


def test_the_temperature_grows_while_there_is_too_little_entropy():
    slope = jax.grad(temperature_loss)
    assert slope(jnp.float32(0.0), jnp.float32(3.0), -2.0) < 0 < slope(jnp.float32(0.0), jnp.float32(1.0), -2.0)
