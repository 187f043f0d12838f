"""Conjugate gradients against a direct solver; the line search against what it promises; clipping against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.equations.clipping import clipped_surrogate
from innerloop.equations.trust_region import backtrack, conjugate_gradient


def positive(seed, size, spread=3.0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return q @ np.diag(np.linspace(1.0, spread, size)) @ q.T, rng.normal(size=size)


@pytest.mark.parametrize("size", [1, 5, 30])
def test_conjugate_gradient_solves_the_system(size):
    a, b = positive(0, size)
    x, quadratic = conjugate_gradient(lambda v: jnp.asarray(a, jnp.float32) @ v, jnp.asarray(b, jnp.float32), 20)
    expected = np.linalg.solve(a, b)
    np.testing.assert_allclose(x, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(quadratic, expected @ a @ expected, rtol=1e-4)


def test_conjugate_gradient_stops_at_the_answer_and_at_nothing():
    a, b = positive(1, 4)
    product = lambda v: jnp.asarray(a, jnp.float32) @ v  # noqa: E731
    few, _ = conjugate_gradient(product, jnp.asarray(b, jnp.float32), 8)
    many, _ = conjugate_gradient(product, jnp.asarray(b, jnp.float32), 80)
    np.testing.assert_allclose(many, few, rtol=1e-4)
    zero, quadratic = conjugate_gradient(product, jnp.zeros(4), 10)
    assert (np.asarray(zero) == 0).all() and quadratic == 0
    flat, _ = conjugate_gradient(jnp.zeros_like, jnp.ones(4), 10)  # no curvature: it stays where it is
    assert np.isfinite(np.asarray(flat)).all()


def test_conjugate_gradient_in_float32_is_that_of_exact_arithmetic():
    """A few eigenvalues far above a small damping, as a policy's Fisher matrix has them: the plain recurrence is off by a
    tenth after ten steps, and by something else after a change in the last bit of b."""
    rng = np.random.default_rng(2)
    q, _ = np.linalg.qr(rng.normal(size=(100, 100)))
    spectrum = np.concatenate([[30.0, 3.0], np.geomspace(0.3, 1e-5, 98)])
    a, b = q @ np.diag(spectrum) @ q.T, rng.normal(size=100) * spectrum.max() * 1e-2
    basis = np.stack([b], 1)  # the optimum over the Krylov space, in float64
    for _ in range(9):
        v = a @ basis[:, -1]
        for _ in range(2):
            v -= np.linalg.qr(basis)[0] @ (np.linalg.qr(basis)[0].T @ v)
        basis = np.concatenate([basis, (v / np.linalg.norm(v))[:, None]], 1)
    expected = basis @ np.linalg.solve(basis.T @ a @ basis, basis.T @ b)
    x, quadratic = conjugate_gradient(lambda v: jnp.asarray(a, jnp.float32) @ v, jnp.asarray(b, jnp.float32), 10)
    assert np.linalg.norm(x - expected) < 1e-3 * np.linalg.norm(expected)
    np.testing.assert_allclose(quadratic, expected @ a @ expected, rtol=1e-3)


def score(point):
    """A bowl around 1 and a KL that grows with the distance from 0."""
    return jnp.sum((point - 1.0) ** 2), jnp.sum(point**2)


def search(step, max_kl, tries=15, ratio=0.5):
    start = jnp.zeros(1)
    return jax.jit(lambda s: backtrack(score, start, s, score(start)[0], max_kl, ratio, tries))(jnp.array([step]))


def test_backtracking_takes_the_first_point_that_is_better_and_near_enough():
    found = search(-1.0, 10.0)
    assert found.accepted and found.tries == 1 and found.point == 1.0
    found = search(-1.0, 0.3)  # 1, then 1/2 with KL 1/4
    assert found.accepted and found.tries == 2 and found.point == 0.5 and found.kl <= 0.3
    found = search(-4.0, 100.0)  # 4 is worse, 2 is no better, 1 is
    assert found.tries == 3 and found.point == 1.0


def test_backtracking_returns_the_start_if_nothing_is_better_or_finite():
    found = search(1.0, 10.0, tries=5)
    assert not found.accepted and found.point == 0.0 and found.tries == 5
    found = search(float("nan"), 10.0, tries=3)
    assert not found.accepted and found.point == 0.0


def test_the_clipped_surrogate_is_the_papers():
    ratio, advantage = np.meshgrid([0.5, 0.8, 0.9, 1.0, 1.1, 1.2, 2.0], [-2.0, 0.0, 3.0])
    expected = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    found = clipped_surrogate(jnp.log(jnp.asarray(ratio)), jnp.asarray(advantage), 0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_clipped_surrogate_pulls_only_from_inside_or_back():
    slope = jax.vmap(jax.grad(lambda x, a: clipped_surrogate(x, a, 0.2)))
    logs = jnp.log(jnp.array([0.5, 1.0, 2.0]))
    np.testing.assert_allclose(slope(logs, jnp.ones(3)), [-0.5, -1.0, 0.0], rtol=1e-5)
    np.testing.assert_allclose(slope(logs, -jnp.ones(3)), [0.0, 1.0, 2.0], rtol=1e-5)
