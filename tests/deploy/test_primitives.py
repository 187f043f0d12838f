"""What is written out in other primitives computes the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.deploy.portable import recorded_draws, without_draws
from innerloop.deploy.primitives import FOR_ONNX, WRITTEN_OUT, Inexportable, evaluate, names, trace

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


def same(f, *args, rules, gone=()):
    """`f` and what `rules` make of it agree, and the primitives `gone` are no longer there."""
    program = trace(f, *args)
    rewritten = trace(lambda *xs: evaluate(program, xs, rules), *args)
    for x, y in zip(jax.tree.leaves(f(*args)), evaluate(rewritten, args), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
    assert set(gone) <= names(program) and not names(rewritten) & set(gone)


def test_a_system_solved_by_its_cholesky_factor():
    a = normal(12, 6)
    gram = a.T @ a + 0.1 * jnp.eye(6)
    f = lambda gram, b: jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram), b)  # noqa: E731
    same(f, gram, normal(6), rules=WRITTEN_OUT, gone=("cholesky", "triangular_solve"))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_triangular_systems(left: bool, lower: bool, turned: bool):
    a = (jnp.tril if lower else jnp.triu)(normal(4, 4)) + 3.0 * jnp.eye(4)
    b = normal(4, 3) if left else normal(3, 4)
    f = lambda a, b: jax.lax.linalg.triangular_solve(a, b, left_side=left, lower=lower, transpose_a=turned)  # noqa: E731
    same(f, a, b, rules=WRITTEN_OUT, gone=("triangular_solve",))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32, bool])
def test_writes_to_places(dtype):
    x = jnp.asarray(RANDOM.integers(0, 2, (5, 3, 4)), dtype)
    at, new = jnp.array([2, 0]), jnp.asarray(RANDOM.integers(0, 2, (2, 3)), dtype)
    same(lambda x, at, new: x.at[at, :, jnp.array([1, 3])].set(new), x, at, new, rules=WRITTEN_OUT, gone=("scatter",))
    same(lambda x: x.at[-1].set(True), x[:, 0, 0], rules=WRITTEN_OUT, gone=("scatter",))


def test_sums_written_to_places():
    index = jnp.array([[1], [3], [1]])
    chosen = lambda x: jnp.sum(jnp.take_along_axis(x, index, 1) ** 2)  # noqa: E731
    same(jax.grad(chosen), normal(3, 5), rules=WRITTEN_OUT, gone=("scatter-add",))


def test_products_whatever_is_contracted():
    x, y = normal(2, 3, 4), normal(3, 2, 5)
    same(lambda x, y: jnp.einsum("abc,bad->cd", x, y), x, y, rules=FOR_ONNX)
    same(lambda x, y: jnp.einsum("abc,bad->abcd", x, y), x, y, rules=FOR_ONNX)
    same(jax.grad(lambda w, x: jnp.sum(jnp.tanh(x @ w))), normal(4, 2), normal(3, 4), rules=FOR_ONNX)
    program = trace(lambda *xs: evaluate(trace(lambda x, y: x.T @ y, *xs), xs, FOR_ONNX), normal(3, 4), normal(3, 2))
    products = [e.params["dimension_numbers"] for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert products == [(((1,), (0,)), ((), ()))]


def test_a_batch_of_loops_and_reversed_scans():
    def doubled(x, ok):
        return jax.lax.while_loop(lambda s: s[0] < 10.0, lambda s: (2.0 * s[0], ~s[1]), (x, ok))

    x, ok = jnp.array([1.0, 7.0, 20.0]), jnp.array([True, False, True])
    same(jax.vmap(doubled), x, ok, rules=FOR_ONNX)
    back = lambda x: jax.lax.scan(lambda c, x: (0.5 * c + x, c), 0.0, x, reverse=True)  # noqa: E731
    same(back, normal(5), rules={})


def test_draws_come_from_outside():
    def drawn(key, x):
        one, two = jax.random.split(key)
        noise = jax.vmap(lambda key: jax.random.normal(key, (2,)))(jax.random.split(one, 3))
        return [x + noise, jax.random.uniform(two, (4,), minval=-1.0, maxval=3.0)]

    key, x = jax.random.key(3), normal(3, 2)
    program = trace(drawn, key, x)
    free, found = without_draws(program, (key, x))
    assert [(d.distribution, d.shape) for d in found] == [("normal", (3, 2)), ("uniform", (4,))]
    want, noise = recorded_draws(program, (key, x))
    assert all((x == y).all() for x, y in zip(want, drawn(key, x), strict=True))
    for one, other in zip(want, evaluate(free, [None, x, *noise]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_draws_inside_a_loop_are_refused():
    key = jax.random.key(0)
    f = lambda key, x: jax.lax.scan(lambda c, k: (c + jax.random.normal(k), None), x, jax.random.split(key, 3))[0]  # noqa: E731
    with pytest.raises(Inexportable, match="inside a scan"):
        without_draws(trace(f, key, 0.0), (key, jnp.zeros(())))
