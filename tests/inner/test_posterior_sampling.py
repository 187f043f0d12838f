"""The posterior: products of Gaussians, what is in them, and when the latent is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan, Transitions, per_task, replay
from innerloop.core.distributions import Squashed
from innerloop.inner.posterior_sampling import Factors, PosteriorSampling, posterior
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

FAMILY = find("semi-circle-pearl")  # episodes of 20 steps
INNER = PosteriorSampling(Plan(1, 80, 2), FAMILY.spaces, latent=3, hidden=(8,), encoder=(8,), guesses=2)
META = INNER.init(jax.random.key(0))


def lived(inner):
    tasks = FAMILY.sample(jax.random.key(1), 2)
    return jax.jit(lambda key: DeviceWorld(FAMILY).live(inner, META, tasks, key)[0])(jax.random.key(2))


def latents(inner, life):
    """The latent at every decision [T, N, D]."""

    def one(fast, step):
        fast = inner.observe(META, fast, step)
        return fast, fast.latent

    steps = jax.tree.map(lambda x: x[0], life.chunks.step)
    return jax.lax.scan(one, life.start, steps)[1]


def test_the_product_is_sequential_bayes():
    mean, variance = np.array([0.3, -1.0, 2.0]), np.array([0.5, 2.0, 0.1])
    m, v = mean[0], variance[0]
    for mu, var in zip(mean[1:], variance[1:], strict=True):  # as a Kalman filter takes them in
        gain = v / (v + var)
        m, v = m + gain * (mu - m), (1 - gain) * v
    found = posterior(Factors(jnp.array([np.sum(1 / variance)]), jnp.array([np.sum(mean / variance)])))
    np.testing.assert_allclose((found.mean[0], np.exp(found.log_var[0])), (m, v), rtol=1e-5)


def test_before_any_transition_it_is_the_prior():
    found = posterior(Factors(jnp.zeros(3), jnp.zeros(3)))
    assert not found.mean.any() and not found.log_var.any()


def test_a_latent_is_kept_for_an_episode_and_drawn_anew_for_the_next():
    life = jax.tree.map(lambda x: x[0], lived(INNER))
    z = np.asarray(latents(INNER, life)).reshape(4, 20, 2, 3)
    np.testing.assert_array_equal(z, np.broadcast_to(z[:, :1], z.shape))
    assert len(np.unique(z[:, 0].reshape(-1, 3), axis=0)) == 8


def test_what_the_next_episode_knows_is_the_trials_finished_episodes():
    life = jax.tree.map(lambda x: x[0], lived(INNER))
    belief = replay(INNER, META, life)[0].extras
    rows = life.chunks
    for episode in range(4):
        here = jax.tree.map(lambda x, e=episode: x[0, 20 * e + 7, 1], belief)
        if episode == 0:
            assert not here.mean.any() and not here.log_var.any()
            continue
        known = Transitions(
            *(x[0, : 20 * episode, 1] for x in (rows.step.obs, rows.action, rows.reward, rows.next_obs, rows.terminated))
        )
        expected = INNER.infer(META, known)
        np.testing.assert_allclose(here.mean, expected.mean, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(here.log_var, expected.log_var, rtol=1e-3)


def test_all_is_forgotten_where_a_trial_begins():
    inner = INNER.with_plan(Plan(1, 80, 1, episodes=2))
    lives = lived(inner)
    belief = per_task(lambda life: replay(inner, META, life)[0].extras, lives)
    born = np.asarray(lives.chunks.step.born[0, 0, :, 0]).nonzero()[0]
    assert born.tolist() == [0, 40]
    assert not np.any(belief.mean[:, 0, 40:60]) and np.all(np.any(belief.mean[:, 0, 60:] != 0, -1))


def test_a_squeezed_normal_is_the_normal_through_tanh():
    dist = Squashed(jnp.array([0.3]), jnp.array([-0.7]), jnp.array([2.0]), jnp.array([1.0]))
    x = jnp.linspace(-1 + 1e-4, 3 - 1e-4, 20_001)
    density = np.exp(jax.vmap(lambda a: dist.log_prob(a[None]))(x))
    step = float(x[1] - x[0])
    np.testing.assert_allclose(density.sum() * step, 1.0, rtol=1e-3)
    entropy = -np.sum(np.where(density > 0, density * np.log(np.maximum(density, 1e-30)), 0)) * step
    np.testing.assert_allclose(dist.entropy(), entropy, rtol=5e-3)
    action, log_prob = dist.drawn(jax.random.key(0))
    np.testing.assert_allclose(log_prob, dist.log_prob(action), rtol=1e-4)
    np.testing.assert_allclose(dist.sample(jax.random.key(0)), action)
    np.testing.assert_allclose(dist.mode(), 1 + 2 * np.tanh(0.3), rtol=1e-6)


def test_actions_that_cannot_be_squeezed_are_refused():
    with pytest.raises(ValueError, match="bounded Box"):
        PosteriorSampling(Plan(1, 4, 1), find("bandit-k5-n10").spaces).check()
