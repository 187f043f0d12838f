"""Distributions against scipy's, and against their own samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from innerloop.core import Categorical, Normal, TanhNormal, Uniform

RNG = np.random.default_rng(0)


def f32(x):
    return jnp.asarray(x, jnp.float32)


LOGITS = RNG.normal(size=(2, 3, 5)) * 2
MEAN, LOG_STD = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4)) * 0.5
LOW = RNG.normal(size=(2, 3, 2))
PAIRS = {
    "categorical": (Categorical(f32(LOGITS)), Categorical(f32(LOGITS[::-1] * 0.5))),
    "normal": (Normal(f32(MEAN), f32(LOG_STD)), Normal(f32(MEAN[::-1]), f32(LOG_STD[::-1]))),
    "tanh": tuple(
        TanhNormal(f32(m), f32(s), f32(m * 0 - 2.0), f32(m * 0 + 1.0)) for m, s in ((MEAN, LOG_STD), (-MEAN, LOG_STD))
    ),
    "uniform": (Uniform(f32(LOW), f32(LOW + 2.0)), Uniform(f32(LOW - 1.0), f32(LOW + 3.0))),
}


def test_categorical_is_scipys():
    p = scipy.special.softmax(LOGITS, -1)
    dist = PAIRS["categorical"][0]
    for a in range(5):
        np.testing.assert_allclose(dist.log_prob(jnp.full((2, 3), a)), np.log(p[..., a]), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(), scipy.stats.entropy(p, axis=-1), rtol=1e-5)
    q = scipy.special.softmax(LOGITS[::-1] * 0.5, -1)
    np.testing.assert_allclose(dist.kl(PAIRS["categorical"][1]), scipy.stats.entropy(p, q, axis=-1), rtol=1e-4, atol=1e-6)


def test_normal_is_scipys():
    dist = PAIRS["normal"][0]
    x = RNG.normal(size=(2, 3, 4))
    frozen = scipy.stats.norm(MEAN, np.exp(LOG_STD))
    np.testing.assert_allclose(dist.log_prob(f32(x)), frozen.logpdf(x).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(), frozen.entropy().sum(-1), rtol=1e-5)


def test_uniform_is_scipys():
    dist = PAIRS["uniform"][0]
    frozen = scipy.stats.uniform(LOW, 2.0)
    np.testing.assert_allclose(dist.log_prob(f32(LOW + 0.5)), frozen.logpdf(LOW + 0.5).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(), frozen.entropy().sum(-1), rtol=1e-5)
    assert (np.asarray(dist.log_prob(f32(LOW + 3.0))) == -np.inf).all()
    assert (np.asarray(PAIRS["uniform"][1].kl(dist)) == np.inf).all()


@pytest.mark.parametrize("name", PAIRS)
def test_entropy_and_kl_are_what_samples_say(name):
    p, q = PAIRS[name]
    x = jax.vmap(p.sample)(jax.random.split(jax.random.key(0), 20_000))
    log_p, log_q = (np.asarray(jax.vmap(d.log_prob)(x), np.float64) for d in (p, q))
    noise = lambda y: 5 * np.asarray(y).std(0) / len(y) ** 0.5 + 1e-4  # noqa: E731
    slack = 0.02 if name == "tanh" else 0.0  # its entropy is an integral over a few points
    assert (np.abs(-np.asarray(log_p).mean(0) - p.entropy()) < noise(log_p) + slack).all()
    assert (np.abs(np.asarray(log_p - log_q).mean(0) - p.kl(q)) < noise(log_p - log_q)).all()


@pytest.mark.parametrize("name", PAIRS)
def test_kl_to_itself_is_0_and_flat_and_the_mode_is_most_likely(name):
    p, _ = PAIRS[name]
    np.testing.assert_allclose(p.kl(p), 0.0, atol=1e-6)
    if name != "uniform":
        slope = jax.grad(lambda d: jnp.sum(p.kl(d)))(p)
        np.testing.assert_allclose(np.concatenate([np.ravel(x) for x in jax.tree.leaves(slope)]), 0.0, atol=1e-5)
    if name == "tanh":
        return  # its mode is the median
    samples = jax.vmap(p.sample)(jax.random.split(jax.random.key(1), 100))
    assert (jax.vmap(p.log_prob)(samples).max(0) <= p.log_prob(p.mode()) + 1e-6).all()


def test_a_squashed_normals_log_density_needs_no_inverse():
    p = PAIRS["tanh"][0]
    action, log_prob = p.sample_and_log_prob(jax.random.key(0))
    np.testing.assert_allclose(log_prob, p.log_prob(action), atol=1e-3)
    u = np.arctanh(2 * (np.asarray(action, np.float64) + 2) / 3 - 1)
    by_hand = scipy.stats.norm(MEAN, np.exp(LOG_STD)).logpdf(u) - np.log(1.5 * (1 - np.tanh(u) ** 2))
    np.testing.assert_allclose(log_prob, by_hand.sum(-1), atol=1e-3)


def test_extreme_logits_stay_finite():
    dist = Categorical(jnp.array([1e4, -1e4, 0.0]))
    assert np.isfinite([dist.entropy(), dist.log_prob(jnp.int32(0)), dist.kl(Categorical(jnp.zeros(3)))]).all()
    gradient = jax.grad(lambda logits: Categorical(logits).entropy())(jnp.array([1e4, -1e4, 0.0]))
    assert np.isfinite(np.asarray(gradient)).all()
