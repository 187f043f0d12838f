"""One task's gradient that is not finite never reaches the mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.outer.gradients import finite, mean_gradient

META = jnp.array([1.0, -2.0])
BATCH = jnp.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [2.0, 2.0]])


def loss(meta, x):
    """NaN in value and gradient for inputs that are; an infinite gradient, but a finite value, at 0."""
    return jnp.sum((meta * x) ** 2) + jnp.sum(jnp.sqrt(jnp.abs(x * meta))), {"size": jnp.sum(x)}


RUN = jax.jit(lambda batch: mean_gradient(loss, META, batch))


def test_without_bad_tasks_it_is_the_gradient_of_the_mean():
    gradient, aux, bad = RUN(BATCH)
    expected = jax.grad(lambda m: jnp.mean(jax.vmap(lambda x: loss(m, x)[0])(BATCH)))(META)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    np.testing.assert_allclose(aux["size"], BATCH.sum(1).mean(), rtol=1e-6)
    assert not bad.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 3])
def test_the_others_gradient_is_that_of_the_batch_without_the_bad_task(value, where):
    gradient, aux, bad = RUN(BATCH.at[where, 1].set(value))
    rest = jnp.delete(BATCH, where, axis=0, assume_unique_indices=True)
    expected = jax.grad(lambda m: jnp.mean(jax.vmap(lambda x: loss(m, x)[0])(rest)))(META)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    np.testing.assert_allclose(aux["size"], rest.sum(1).mean(), rtol=1e-6)
    assert bad.tolist() == [i == where for i in range(4)]


def test_where_every_task_is_bad_nothing_moves():
    gradient, aux, bad = RUN(jnp.full((4, 2), jnp.nan))
    assert bad.all() and (np.asarray(gradient) == 0).all() and aux["size"] == 0


def test_finite_looks_at_every_float_leaf_and_at_no_other():
    assert finite({"a": jnp.ones(3), "b": jnp.arange(2)}) and finite(()) and finite(jnp.arange(3))
    assert not finite((jnp.ones(3), jnp.array([0.0, jnp.inf])))
