"""The linear baseline is the papers' regression on [o, o², t, t², t³, 1], well-conditioned in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.equations.linear_baseline import advantages, features, fit, steps_in_episode
from innerloop.equations.returns import discounted_returns


def chunk(kind, seed=0, steps=200, streams=20):
    """Observations and rewards like a cheetah's (20 numbers of quite different scales, drifting) or a point robot's."""
    rng = np.random.default_rng(seed)
    if kind == "cheetah":
        scale = np.array([0.1] * 3 + [0.5] * 6 + [1.0] * 2 + [8.0] * 6 + [0.3] * 3)
        noise = rng.normal(size=(steps, streams, 20))
        obs = noise * scale + 0.9 * np.roll(noise, 1, 0) * scale
        obs[..., 17:] += np.cumsum(rng.normal(size=(steps, streams, 3)) * 0.05, 0)
        reward = obs[..., 8] + 0.3 * obs[..., 1] ** 2 - 0.1 * noise[..., 4] ** 2 + 0.5
    else:
        obs = np.cumsum(rng.normal(size=(steps, streams, 2)) * 0.05, 0)
        reward = -np.linalg.norm(obs - np.array([0.3, -0.2]), axis=-1)
    first = np.zeros((steps, streams), bool)
    first[::100] = True
    ends = np.roll(first, -1, 0)
    return obs.astype(np.float32), reward.astype(np.float32), first, ends, np.ones((steps, streams), bool)


def reference(obs, target, time):
    """float64 least squares on the papers' features (their clip at ±10, their time / 100): fitted values."""
    o = np.clip(obs.reshape(-1, obs.shape[-1]).astype(np.float64), -10, 10)
    t = time.reshape(-1, 1).astype(np.float64) / 100.0
    design = np.concatenate([o, o**2, t, t**2, t**3, np.ones_like(t)], 1)
    return design @ np.linalg.lstsq(design, target.reshape(-1).astype(np.float64), rcond=None)[0]


@pytest.mark.parametrize("kind", ["cheetah", "point"])
def test_the_fit_is_the_papers_regression(kind):
    obs, reward, first, ends, mask = chunk(kind)
    returns = np.stack([discounted_returns(reward[:, n], ends[:, n], 0.99) for n in range(reward.shape[1])], 1)
    time = np.stack([steps_in_episode(first[:, n]) for n in range(reward.shape[1])], 1)
    np.testing.assert_array_equal(time[:, 0], np.arange(200) % 100)
    width = obs.shape[-1]
    design = features(obs.reshape(-1, width), time.reshape(-1), mask.reshape(-1))
    value = np.asarray(fit(design, returns.reshape(-1)), np.float64)
    expected = reference(obs, returns, time)
    np.testing.assert_allclose(value, expected, atol=3e-3 * returns.std())
    explained = 1 - np.var(returns.reshape(-1) - value) / np.var(returns)
    assert explained > 0.2
    assert abs(explained - (1 - np.var(returns.reshape(-1) - expected) / np.var(returns))) < 1e-4


def test_the_fit_stays_finite_where_features_are_constant_or_alike():
    obs, reward, first, ends, mask = chunk("point", steps=20, streams=2)
    obs = np.concatenate([obs, obs, np.full_like(obs, 3.0)], -1)
    assert np.isfinite(advantages(obs, reward, first, ends, mask, 0.99, 1.0)).all()
    assert np.isfinite(advantages(obs * 0, reward * 0, first, ends, mask, 0.99, 1.0)).all()


def ant(seed=0, steps=200, streams=20):
    """Observations like an ant's: most contact forces are 0 nearly always, and some features are sums of others."""
    rng = np.random.default_rng(seed)
    joints = np.cumsum(rng.normal(size=(steps, streams, 29)) * 0.05, 0)
    forces = np.clip(rng.normal(size=(steps, streams, 84)) * 3.0, -1, 1) * (rng.random((steps, streams, 84)) < 5e-4)
    turned = np.concatenate([joints[..., :9], joints[..., :3] + joints[..., 3:6]], -1) * 100.0
    obs = np.concatenate([joints, forces, turned], -1)
    reward = joints[..., 3] + 0.1 * rng.normal(size=(steps, streams)) - 0.5 * np.abs(forces).sum(-1)
    first = np.zeros((steps, streams), bool)
    first[::100] = True
    return obs.astype(np.float32), reward.astype(np.float32), first, np.roll(first, -1, 0), np.ones((steps, streams), bool)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_finite_and_explains_what_dependent_features_can(seed):
    """The normal equations of an ant's features are singular within rounding; NaN there were NaN actions a step later."""
    obs, reward, first, ends, mask = ant(seed)
    returns = np.stack([discounted_returns(reward[:, n], ends[:, n], 0.99) for n in range(reward.shape[1])], 1)
    time = np.stack([steps_in_episode(first[:, n]) for n in range(reward.shape[1])], 1)
    design = features(obs.reshape(-1, obs.shape[-1]), time.reshape(-1), mask.reshape(-1))
    value = np.asarray(fit(design, returns.reshape(-1)), np.float64)
    explained = 1 - np.var(returns.reshape(-1) - value) / np.var(returns)
    best = 1 - np.var(returns.reshape(-1) - reference(obs, returns, time)) / np.var(returns)
    assert best - 0.02 < explained < best + 1e-3


def test_fits_side_by_side_are_finite():
    """As lives are lived: mapped. There a maximum over numbers that are none came out as a number, and passed for small."""
    key_rank, key_mix, key_target = jax.random.split(jax.random.key(0), 3)
    design = jax.random.normal(key_rank, (20, 600, 60)) @ jax.random.normal(key_mix, (20, 60, 254))
    target = 50.0 * jax.random.normal(key_target, (20, 600))
    for mapped in (jax.vmap(fit), jax.jit(jax.vmap(fit))):
        residual = np.asarray(target - mapped(design, target))
        assert np.isfinite(residual).all()
        assert (residual.var(1) < target.var(1)).all()


def test_advantages_with_lambda_1_are_the_returns_less_the_fit_standardised():
    obs, reward, first, ends, mask = chunk("point")
    returns = np.stack([discounted_returns(reward[:, n], ends[:, n], 0.99) for n in range(reward.shape[1])], 1)
    time = np.stack([steps_in_episode(first[:, n]) for n in range(reward.shape[1])], 1)
    residual = returns.reshape(-1) - reference(obs, returns, time)
    expected = (residual - residual.mean()) / residual.std()
    found = np.asarray(advantages(obs, reward, first, ends, mask, 0.99, 1.0)).reshape(-1)
    np.testing.assert_allclose(found, expected, atol=0.02)
    variance = np.asarray(advantages(obs, reward, first, ends, mask, 0.99, 1.0, "variance")).reshape(-1)
    np.testing.assert_allclose(variance * residual.std(), found, rtol=1e-2, atol=1e-3)
    bare = np.asarray(advantages(obs, reward, first, ends, mask, 0.99, 1.0, "none")).reshape(-1)
    np.testing.assert_allclose(bare, residual, atol=0.01 * returns.std())


def test_masked_rows_count_for_nothing():
    """An episode of which nothing is known leaves the others' advantages as they are, whatever stands in its rows."""
    obs, reward, first, ends, mask = chunk("point", steps=300, streams=3)
    mask[100:200, 1] = False
    spoiled = [np.where(mask, x, y).astype(x.dtype) for x, y in ((reward, 1e3), (ends, True))]
    seen = np.where(mask[..., None], obs, 50.0).astype(np.float32)
    clean = np.asarray(advantages(obs, reward, first, ends, mask, 0.99, 0.9))
    found = np.asarray(advantages(seen, spoiled[0], first, spoiled[1], mask, 0.99, 0.9))
    np.testing.assert_allclose(found, clean, atol=1e-4)
    assert (clean[~mask] == 0).all()


def test_what_stands_in_a_masked_row_does_not_reach_the_rows_before_it():
    obs, reward, first, _, mask = chunk("point", steps=50, streams=2)
    no = np.zeros_like(mask)
    mask[20:30] = False
    clean = np.asarray(advantages(obs, reward, first, no, mask, 0.99, 0.9))
    found = np.asarray(advantages(obs, np.where(mask, reward, 100.0).astype(np.float32), first, no, mask, 0.99, 0.9))
    np.testing.assert_allclose(found, clean, atol=1e-5)


def test_advantages_take_no_gradient():
    import jax

    obs, reward, first, ends, mask = chunk("point", steps=20, streams=2)
    gradient = jax.grad(lambda x: jnp.sum(advantages(x, reward, first, ends, mask, 0.99, 1.0) ** 2))(jnp.asarray(obs))
    assert (np.asarray(gradient) == 0).all()


@pytest.mark.parametrize("normalise", ["std", "variance"])
def test_where_all_episodes_pay_the_same_nothing_is_an_advantage(normalise):
    """What the fit leaves over are rounding errors then, and standardised they would be noise at full size."""
    obs, _, first, ends, mask = chunk("point", steps=100)
    same = np.zeros(first.shape, np.float32)
    same[-1] = 1.0
    for reward in (same, 0.0 * same, same * 1000.0, np.ones_like(same)):
        assert (np.asarray(advantages(obs, reward, first, ends, mask, 1.0, 1.0, normalise)) == 0).all()
    same[-1, 0] = 0.9  # one episode in twenty pays a tenth less
    found = np.asarray(advantages(obs, same, first, ends, mask, 1.0, 1.0, normalise))
    assert found[:, 0].mean() < -1 < 0 < found[:, 1:].mean()


def test_observations_may_have_no_width():
    obs, reward, first, ends, mask = chunk("point", steps=20, streams=2)
    found = np.asarray(advantages(obs[..., :0], reward, first, ends, mask, 0.99, 1.0))
    assert found.shape == (20, 2) and np.isfinite(found).all() and found.any()
