"""Drifts: nowhere negative, flat where the ratio is 1, and what is subtracted from ratio times advantage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from innerloop.equations.clipping import clipped_drift, clipped_surrogate, discovered_drift, discovered_surrogate

DRIFTS = {"ppo": lambda r, a: clipped_drift(r, a, 0.2), "dpo": discovered_drift}
NUMBERS = st.floats(-3.0, 3.0, width=32)


@pytest.mark.parametrize("name", DRIFTS)
@settings(max_examples=200, deadline=None)
@given(log_ratio=NUMBERS, advantage=NUMBERS)
def test_a_drift_is_valid(name, log_ratio, advantage):
    drift = DRIFTS[name]
    assert drift(jnp.float32(log_ratio), jnp.float32(advantage)) >= 0.0
    at_one = jax.value_and_grad(lambda r: drift(r, jnp.float32(advantage)))(jnp.float32(0.0))
    assert at_one == (0.0, 0.0)


def test_surrogates_are_the_return_less_the_drift():
    log_ratio, advantage = jnp.linspace(-1.5, 1.5, 31), jnp.linspace(-2.0, 2.0, 31)[::-1]
    gained = jnp.exp(log_ratio) * advantage
    for surrogate, drift in ((clipped_surrogate(log_ratio, advantage, 0.2), DRIFTS["ppo"]), (
        discovered_surrogate(log_ratio, advantage), DRIFTS["dpo"],
    )):  # fmt: skip
        np.testing.assert_allclose(surrogate, -(gained - drift(log_ratio, advantage)), atol=1e-6)


def test_the_gradient_where_nothing_has_moved_is_the_policy_gradient():
    for advantage in (-1.5, 0.7):
        slopes = [
            jax.grad(f)(0.0)
            for f in (lambda r, a=advantage: clipped_surrogate(r, a, 0.2), lambda r, a=advantage: discovered_surrogate(r, a))
        ]
        np.testing.assert_allclose(slopes, -advantage, rtol=1e-6)


def test_values_by_hand():
    """r = 2, A = 3: (r − 1)A = 3, less 2 tanh(3/2); r = 1/2, A = −3: log r A = 2.0794, less 0.6 tanh(2.0794/0.6)."""
    assert discovered_drift(jnp.log(2.0), 3.0) == pytest.approx(3 - 2 * np.tanh(1.5), rel=1e-5)
    assert discovered_drift(jnp.log(0.5), -3.0) == pytest.approx(2.07944 - 0.6 * np.tanh(2.07944 / 0.6), rel=1e-4)
    assert discovered_drift(jnp.log(0.5), 3.0) == 0.0 and discovered_drift(jnp.log(2.0), -3.0) == 0.0
