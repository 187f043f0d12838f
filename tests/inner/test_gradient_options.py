"""What the options of the gradient inner change, and what they leave alone."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Chunk, Discrete, Plan, Spaces, birth
from innerloop.inner.gradient import Gradient

SPACES = Spaces(Box((3,)), Discrete(4))
PLAIN = Gradient(Plan(3, 6, 5), SPACES, hidden=(7,), activation="tanh", lr=0.3)
KEY = jax.random.key(0)


def meta_of(inner):
    return jax.tree.map(lambda x: x + 0.1, inner.init(KEY))


def learned(inner, meta, steps=0):
    """The fast state before and after a step on a chunk of the inner's own actions."""
    rng = np.random.default_rng(0)
    obs = jnp.asarray(rng.normal(size=(6, 5, 3)), jnp.float32)
    rows = jax.vmap(lambda o: birth(SPACES, o, 5))(obs)
    rows = rows._replace(first=jnp.zeros((6, 5), bool).at[0].set(True))
    fast = inner.begin(meta, KEY)._replace(steps=jnp.int32(steps))
    dist = inner.decide(meta, fast, obs).dist
    action, no = jnp.asarray(rng.integers(0, 4, size=(6, 5)), jnp.int32), jnp.zeros((6, 5), bool)
    reward = jnp.asarray(rng.normal(size=(6, 5)), jnp.float32)
    ends = no.at[-1].set(True)
    chunk = Chunk(rows, action, dist, dist.log_prob(action), jnp.zeros((6, 5)), reward, no, ends, obs, ~no)
    return fast, inner.learn(meta, fast, chunk, KEY)


def moved(inner, meta=None, steps=0):
    before, after = learned(inner, meta_of(inner) if meta is None else meta, steps)
    return jax.tree.map(jnp.subtract, after.net, before.net)


def test_all_estimators_take_the_same_step():
    plain = moved(PLAIN)
    for estimator in ("lvc", "dice"):
        found = moved(replace(PLAIN, estimator=estimator))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_anil_moves_the_head_as_maml_does_and_nothing_else():
    inner = replace(PLAIN, adapts="head")
    found = moved(inner)
    assert found.body is None
    np.testing.assert_allclose(found.head.dense.weight, moved(PLAIN).head.dense.weight, atol=1e-6)
    whole = inner.adapted(meta_of(inner), learned(inner, meta_of(inner))[1])
    np.testing.assert_array_equal(whole.body.layers[0].weight, meta_of(inner).body.layers[0].weight)


def test_a_context_is_zero_on_entering_and_is_all_that_moves():
    inner = replace(PLAIN, adapts="context", context=2)
    meta = meta_of(inner)
    before, after = learned(inner, meta)
    assert meta.context is None and before.net.context.shape == (2,) and (before.net.context == 0).all()
    assert len(jax.tree.leaves(after.net)) == 1 and jnp.abs(after.net.context).min() > 1e-5
    obs = jnp.ones((5, 3))
    policies = [inner.decide(meta, fast, obs).dist.logits for fast in (before, after)]
    assert jnp.abs(policies[0] - policies[1]).max() > 1e-5
    assert inner.adapted(meta, after) is None


@pytest.mark.parametrize("rates", ["parameter", "layer"])
def test_learned_rates_begin_as_the_fixed_one_and_have_a_gradient(rates):
    inner = replace(PLAIN, rates=rates, later=1.0)
    meta = meta_of(PLAIN)._replace(rates=inner.init(KEY).rates)
    for a, b in zip(jax.tree.leaves(moved(inner, meta)), jax.tree.leaves(moved(PLAIN)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    slope = jax.grad(lambda m: learned(inner, m)[1].net.head.dense.bias[0])(meta).rates
    assert jnp.abs(slope.head.dense.bias[0]).max() > 1e-6
    assert slope.head.dense.bias.shape == ((4,) if rates == "parameter" else (2,))  # of 3 chunks: 2 steps


def test_layers_have_a_rate_for_every_step_trained_and_later_times_the_last_beyond():
    inner = replace(PLAIN, rates="layer")
    meta = meta_of(PLAIN)._replace(rates=jax.tree.map(lambda r: jnp.array([0.1, 0.2]), inner.init(KEY).rates))
    sizes = [jnp.abs(moved(inner, meta, steps).head.dense.bias).max() for steps in range(4)]
    np.testing.assert_allclose(np.array(sizes) / sizes[0], [1.0, 2.0, 1.0, 1.0], rtol=1e-4)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("estimator", "reinforce", "inner.estimator is 'reinforce'; accepted: vpg, lvc, dice"),
        ("adapts", "body", "all, head, context"),
        ("rates", "step", "fixed, parameter, layer"),
        ("activation", "relu6", "Did you mean 'relu'"),
        ("normalise", "mean", "std, variance, none"),
        ("weights", "reward", "advantage, return"),
        ("context", 3, "a context is adapted where there is one"),
        ("std", 0.0, "above 0"),
    ],
)
def test_what_is_not_accepted_is_said(field, value, said):
    PLAIN.check()
    with pytest.raises(ValueError, match=said):
        replace(PLAIN, **{field: value}).check()
