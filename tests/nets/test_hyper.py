"""The hypernetwork: an ordinary net at first, and afterwards one of its own for everything that may be known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Discrete
from innerloop.nets.hyper import HyperHead

SPACES = {"discrete": Discrete(4), "box": Box((4,), -1.0, 1.0)}


def parameters(dist):
    return dist.logits if hasattr(dist, "logits") else dist.mean


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_at_first_all_tasks_have_the_same_ordinary_net(space):
    head = HyperHead.init(jax.random.key(0), 5, 3, 6, space)
    obs = jax.random.normal(jax.random.key(1), (3,))
    known = jax.random.normal(jax.random.key(2), (7, 5))
    dist, value = head(known, jnp.broadcast_to(obs, (7, 3)))
    out = np.asarray(parameters(dist))
    np.testing.assert_allclose(out, np.broadcast_to(out[0], (7, 4)), atol=1e-6)
    flat, at = np.asarray(head.generator.bias), 0
    shapes = [(3, 6), (6,), (6, 4), (4,), (6, 1), (1,)]
    w1, b1, w2, b2, w3, b3 = (flat[at : (at := at + int(np.prod(shape)))].reshape(shape) for shape in shapes)
    y = np.tanh(np.asarray(obs) @ w1 + b1)
    np.testing.assert_allclose(out[0], y @ w2 + b2, atol=1e-6)
    np.testing.assert_allclose(value[0], (y @ w3 + b3)[0], atol=1e-6)
    assert at == flat.size and np.std(w1) > 0.1


def test_with_other_weights_each_task_has_its_own():
    head = HyperHead.init(jax.random.key(0), 5, 3, 6, Discrete(4))
    generator = replace(head.generator, weight=0.5 * jax.random.normal(jax.random.key(3), head.generator.weight.shape))
    head = replace(head, generator=generator)
    known, obs = jax.random.normal(jax.random.key(4), (7, 5)), jnp.ones((7, 3))
    dist, value = head(known, obs)
    assert np.std(np.asarray(dist.logits), axis=0).min() > 0.05 and np.std(np.asarray(value)) > 0.05
    one, _ = head(known[3], obs[3])
    np.testing.assert_allclose(one.logits, dist.logits[3], atol=1e-5)
