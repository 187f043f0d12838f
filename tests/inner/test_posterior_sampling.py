"""Posterior sampling: one z an episode, another in the next, forgotten with the trial; encoders agree with themselves."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Plan, Spaces, Transitions
from innerloop.inner.posterior_sampling import PosteriorSampling
from innerloop.nets.context import ENCODERS, make
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("semi-circle-pearl")
STEPS = 20
INNER = PosteriorSampling(
    Plan(1, 9 * STEPS, 2, episodes=4), FAMILY.spaces, latent=3, hidden=(8,), embed=(8,), encoder="product", wait=2
)


@pytest.fixture(scope="module")
def life():
    @jax.jit
    def make(key):
        meta, tasks = INNER.init(key), FAMILY.sample(key, 2)
        return meta, *DeviceWorld(FAMILY).live(INNER, meta, tasks, key)

    return make(jax.random.key(0))


def latents(meta, lives):
    """[B, N, episodes, steps, Z], of a replay."""
    chunks = lives.chunks
    one = lambda start, rows: INNER.unroll(meta, start, jax.tree.map(lambda x: x[0], rows.step))[1].extras.drawn  # noqa: E731
    z = np.asarray(jax.vmap(one)(lives.start, chunks))
    return np.moveaxis(z, 1, 2).reshape(2, 2, 9, STEPS, 3)


def kalman(means, variances):
    """One Bayes update after another, [T, D] → [D]."""
    mean, var = means[0], variances[0]
    for m, v in zip(means[1:], variances[1:], strict=True):
        gain = var / (var + v)
        mean, var = mean + gain * (m - mean), (1 - gain) * var
    return mean, var


def test_a_latent_stays_within_its_episode_and_no_longer(life):
    z = latents(life[0], life[1])
    assert (z == z[:, :, :, :1]).all()
    flat = z[:, :, :, 0].reshape(-1, 3)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_beliefs_come_from_the_finished_episodes_of_the_trial_alone(life):
    """By hand: the two first episodes of each trial are drawn from the prior, the third given 2 × 20 rows, then 3 × 20."""
    meta, lives, _ = life
    z, rows = latents(meta, lives), lives.chunks
    key = jax.random.wrap_key_data(lives.start.key[1, 0])
    flat = jax.tree.map(lambda x: x[1, 0, :, 0], Transitions(rows.step.obs, rows.action, rows.reward, rows.next_obs, rows.mask))
    x = INNER._encoded(flat.obs, flat.action, flat.reward, flat.arrived)
    for episode in range(9):
        noise = jax.random.normal(jax.random.fold_in(key, episode + 1), (3,))
        begin = episode // 4 * 4  # of the trial
        if episode - begin < 2:
            mean, var = jnp.zeros(3), jnp.ones(3)
        else:
            some = x[begin * STEPS : episode * STEPS]
            mean, var = kalman(*map(np.asarray, meta.encoder.factors(some)))
        np.testing.assert_allclose(z[1, 0, episode, 0], mean + jnp.sqrt(var) * noise, atol=1e-4)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_set_at_once_is_its_rows_one_by_one(kind):
    encoder = make(kind, jax.random.key(0), 4, (8,), 3)
    x = jax.random.normal(jax.random.key(1), (2, 5, 4))
    mask = jnp.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
    whole = encoder.read(encoder.pool(x, mask))
    state = encoder.empty(())
    for i in np.flatnonzero(mask[0]):
        state = encoder.add(state, x[0, i])
    one = encoder.read(state)
    np.testing.assert_allclose(whole.mean[0], one.mean, atol=1e-5)
    np.testing.assert_allclose(whole.log_std[0], one.log_std, atol=1e-5)
    slopes = jax.grad(lambda e: jnp.sum(e.read(e.pool(x, mask)).mean))(encoder)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(slopes))
    if kind != "recurrent":
        turned = encoder.read(encoder.pool(x[:, ::-1], mask[:, ::-1]))
        np.testing.assert_allclose(turned.mean, whole.mean, atol=1e-5)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="bounded box"):
        replace(INNER, spaces=Spaces(FAMILY.spaces.obs, Box((2,)))).check()
    with pytest.raises(ValueError, match="Did you mean 'attention'"):
        replace(INNER, encoder="atention").check()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_without_a_latent_nothing_is_inferred(encoder):
    inner = replace(INNER, latent=0, encoder=encoder)
    inner.check()
    meta = inner.init(jax.random.key(0))
    lives = jax.jit(lambda: DeviceWorld(FAMILY).live(inner, meta, FAMILY.sample(jax.random.key(1), 2), jax.random.key(2))[0])()
    assert lives.start.z.shape[-1] == 0 and np.all(np.isfinite(lives.chunks.log_prob))
