"""LPO's drift is valid whatever meta is; without one it is PPO, and with one an agent learns its task."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from innerloop.core import Plan
from innerloop.equations.clipping import clipped_surrogate
from innerloop.inner.drift_policy import BASES, DriftPolicy, features
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("probe-reward")
PLAN = Plan(2, 8, 4)
LOUD = 3.0  # scale of a random g_φ whose values are of the order of advantages and more

seeds, advantages = st.integers(0, 2**16), st.floats(-8, 8, width=32, allow_subnormal=False)


def drift(base: str, seed: int):
    inner = DriftPolicy(PLAN, FAMILY.spaces, base=base, scale=LOUD, width=16)
    meta = inner.init(jax.random.key(seed))
    return lambda log_ratio, advantage: inner.drift(meta, log_ratio, advantage)


@pytest.mark.parametrize("base", BASES)
@settings(deadline=None, max_examples=40)
@given(seed=seeds, advantage=advantages, log_ratio=st.floats(-3, 3, width=32, allow_subnormal=False))
def test_a_random_drift_is_never_negative(base: str, seed: int, advantage: float, log_ratio: float):
    assert drift(base, seed)(jnp.float32(log_ratio), jnp.float32(advantage)) >= 0


@pytest.mark.parametrize("base", BASES)
@settings(deadline=None, max_examples=40)
@given(seed=seeds, advantage=advantages)
def test_a_random_drift_is_flat_and_zero_where_nothing_has_moved(base: str, seed: int, advantage: float):
    value, slope = jax.value_and_grad(drift(base, seed))(jnp.float32(0.0), jnp.float32(advantage))
    assert value == 0 and slope == 0


def test_a_random_drift_is_not_idle():
    log_ratio, advantage = jnp.meshgrid(jnp.linspace(-1, 1, 21), jnp.linspace(-2, 2, 9))
    assert float(jnp.mean(drift("none", 0)(log_ratio, advantage) > 0.01)) > 0.1


def test_features_are_those_of_the_paper():
    r, a = 1.5, -2.0
    gap, log = 1 - r, np.log(r)
    expected = [gap, gap**2, log, log**2, gap * a, gap**2 * a, log * a, log**2 * a]
    np.testing.assert_allclose(features(jnp.log(jnp.float32(r)), jnp.float32(a)), expected, rtol=1e-5)


def test_with_nothing_learned_it_is_the_clipped_surrogate():
    inner = DriftPolicy(PLAN, FAMILY.spaces, scale=0.0, slack=1e-9, width=16)
    meta = inner.init(jax.random.key(0))
    log_ratio, advantage = jnp.meshgrid(jnp.linspace(-1, 1, 21), jnp.linspace(-2, 2, 9))
    found = inner.drift(meta, log_ratio, advantage) - jnp.exp(log_ratio) * advantage
    np.testing.assert_allclose(found, clipped_surrogate(log_ratio, advantage, 0.2), atol=1e-5)


def test_an_agent_learns_its_task():
    inner = DriftPolicy(Plan(20, 8, 8), FAMILY.spaces, hidden=(16,))
    tasks = FAMILY.sample(jax.random.key(1), 8)
    live = jax.jit(lambda key: DeviceWorld(FAMILY).live(inner, inner.init(key), tasks, key)[0].chunks.reward)
    reward = np.asarray(live(jax.random.key(2))).mean((0, 2, 3))
    assert reward[-3:].mean() > reward[:3].mean() + 0.2


def test_rows_that_are_no_transitions_change_nothing():
    inner = DriftPolicy(PLAN, FAMILY.spaces, hidden=(8,))
    meta, tasks = inner.init(jax.random.key(0)), FAMILY.sample(jax.random.key(1), 1)
    life = jax.tree.map(lambda x: x[0], DeviceWorld(FAMILY).live(inner, meta, tasks, jax.random.key(2))[0])
    chunk = jax.tree.map(lambda x: x[0], life.chunks)
    chunk = chunk._replace(mask=chunk.mask.at[3:5].set(False))
    spoiled = chunk._replace(
        reward=jnp.where(chunk.mask, chunk.reward, 100.0), log_prob=jnp.where(chunk.mask, chunk.log_prob, -9.0)
    )
    one, other = (inner.learn(meta, life.start, c, jax.random.key(3)) for c in (chunk, spoiled))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("setting", "said"), [({"base": "pp"}, "ppo"), ({"slack": 0.0}, "above 0"), ({"minibatches": 5}, "divide")]
)
def test_settings_that_make_no_sense_are_refused(setting: dict, said: str):
    with pytest.raises(ValueError, match=said):
        DriftPolicy(PLAN, FAMILY.spaces, **setting).check()
