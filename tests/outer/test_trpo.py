"""TRPO: KL 0 at the start, steps within max_kl, and curvature products that are those of the KL's Hessian."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from innerloop.core import Plan, replay
from innerloop.equations.returns import masked_mean
from innerloop.inner.gradient import Gradient
from innerloop.outer import trpo
from innerloop.outer.trpo import TRPO
from innerloop.tasks import PointGoal
from innerloop.worlds import DeviceWorld

FAMILY = PointGoal()
INNER = Gradient(Plan(2, 10, 4, restart=True), FAMILY.spaces, hidden=(3,), activation="tanh", lr=0.5)
META = jax.tree.map(lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape), INNER.init(jax.random.key(0)))
OUTER = TRPO()


@pytest.fixture(scope="module")
def lives():
    tasks = FAMILY.sample(jax.random.key(1), 5)
    return jax.jit(lambda key: DeviceWorld(FAMILY).live(INNER, META, tasks, key, learn_last=False)[0])(jax.random.key(2))


@pytest.fixture(scope="module")
def update(lives):
    state = OUTER.init(INNER, META, FAMILY, lives, jax.random.key(0))
    return jax.jit(lambda lives: OUTER.update(INNER, state, lives, jax.random.key(0)))


def divergence(meta, lives):
    """Mean over tasks of the KL from the recorded to the replayed policies of the last chunk."""

    def one(life):
        decision, _, _ = replay(INNER, meta, life)
        return masked_mean(life.chunks.dist.kl(decision.dist)[-1], life.chunks.mask[-1])

    return jnp.mean(jax.vmap(one)(lives))


def test_kl_is_0_at_the_start_and_a_step_is_better_and_within_max_kl(lives, update):
    new, metrics = update(lives)
    assert abs(metrics["kl_at_start"]) < 1e-6 and metrics["masked"] == 0
    assert metrics["accepted"] == 1 and metrics["improvement"] > 0
    assert 0.001 < metrics["kl"] <= OUTER.max_kl
    np.testing.assert_allclose(divergence(new.meta, lives), metrics["kl"], rtol=1e-3, atol=1e-6)


def test_curvature_of_a_share_of_the_tasks(lives):
    """Where the tasks left out are copies of those measured, nothing changes; the gradient is of all tasks."""
    state = OUTER.init(INNER, META, FAMILY, lives, jax.random.key(0))
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), lives)
    whole, half = (
        jax.jit(lambda lives, outer=outer: outer.update(INNER, state, lives, jax.random.key(0))[0].meta)(twice)
        for outer in (OUTER, replace(OUTER, fisher=0.5))
    )
    for a, b, start in zip(*map(jax.tree.leaves, (whole, half, META)), strict=True):
        np.testing.assert_allclose(a - start, b - start, rtol=1e-2, atol=1e-5)
    with pytest.raises(ValueError, match="outer.fisher is 0"):
        replace(OUTER, fisher=0.0).check(INNER)


def test_curvature_products_are_those_of_the_kls_hessian(lives, monkeypatch):
    """Gauss-Newton equals the Hessian at the sampling parameters; that one is found by differences of the KL's gradient
    in float64, through the whole inner step."""
    caught = {}

    def solver(product, b, steps):
        caught["product"] = jax.vmap(product)(jnp.eye(b.size, dtype=b.dtype))
        return jnp.zeros_like(b), b @ b

    monkeypatch.setattr(trpo, "conjugate_gradient", solver)
    with jax.enable_x64(True):
        wide = lambda t: jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, t)  # noqa: E731
        meta = wide(META)
        life = jax.tree.map(lambda x: x[:2], lives)
        life = life._replace(chunks=wide(life.chunks), last=wide(life.last), start=wide(life.start))
        exact = jax.vmap(lambda x: replay(INNER, meta, x)[0].dist)(life)  # the recorded policies, in float64
        life = life._replace(chunks=life.chunks._replace(dist=exact, log_prob=exact.log_prob(life.chunks.action)))
        outer = replace(OUTER, damping=0.0)
        state = outer.init(INNER, meta, FAMILY, life, jax.random.key(0))

        def run(life):
            outer.update(INNER, state, life, jax.random.key(0))
            return caught["product"]

        found = jax.jit(run)(life)
        flat, unravel = ravel_pytree(meta)
        slope = jax.jit(jax.grad(lambda x: divergence(unravel(x), life)))
        eps = 1e-5
        hessian = jnp.stack([(slope(flat + eps * e) - slope(flat - eps * e)) / (2 * eps) for e in jnp.eye(flat.size)])
    found, hessian = np.asarray(found), np.asarray(hessian)
    np.testing.assert_allclose(found, hessian, atol=1e-6 + 1e-4 * float(np.abs(hessian).max()))
    assert np.linalg.eigvalsh(found).min() > -1e-8


@pytest.mark.parametrize("field", ["reward", "obs"])
def test_a_bad_task_is_left_out_of_gradient_curvature_and_search(lives, update, field):
    def spoil(x):
        return x.at[2].set(jnp.nan)

    rows = lives.chunks
    if field == "reward":
        broken = rows._replace(reward=spoil(rows.reward))
    else:
        broken = rows._replace(step=rows.step._replace(obs=spoil(rows.step.obs)))
    new, metrics = update(lives._replace(chunks=broken))
    rest = jax.tree.map(lambda x: x[jnp.array([0, 1, 3, 4])], lives)
    expected, clean = update(rest)
    assert metrics["masked"] == pytest.approx(0.2) and clean["masked"] == 0
    flat, other, start = (ravel_pytree(x)[0] for x in (new.meta, expected.meta, META))
    assert np.linalg.norm(flat - other) < 1e-2 * np.linalg.norm(other - start)
    assert all(np.isfinite(x) for x in metrics.values())


def test_where_every_task_is_bad_meta_stays(lives, update):
    new, metrics = update(lives._replace(chunks=lives.chunks._replace(reward=lives.chunks.reward * jnp.nan)))
    assert metrics["masked"] == 1 and metrics["accepted"] == 0
    np.testing.assert_array_equal(ravel_pytree(new.meta)[0], ravel_pytree(META)[0])
