"""A Keras model as a policy's body gives what our own perceptron gives, gradients of gradients included."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import innerloop
from innerloop import api
from innerloop.core import Discrete, Plan, Spaces, live, replay
from innerloop.inner.gradient import Gradient
from innerloop.nets.keras_body import model
from innerloop.nets.layers import Dense, Perceptron
from innerloop.outside import keras
from innerloop.tasks.names import family

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="the extra keras is missing")
TASKS = family("point-goal")
OURS = Gradient(Plan(2, 10, 4, restart=True), TASKS.spaces, hidden=(8, 6), activation="tanh", lr=0.3)
THEIRS = replace(OURS, keras=f"{__name__}:two_layers")


def two_layers(inputs: int):
    layers = keras().layers
    return keras().Sequential([keras().Input((inputs,)), layers.Dense(8, "tanh"), layers.Dense(6, "tanh")])


def with_batch_statistics(inputs: int):
    return keras().Sequential([keras().Input((inputs,)), keras().layers.BatchNormalization()])


def of_pictures(inputs: int):
    return keras().Sequential([keras().Input((8, 8, 3)), keras().layers.Conv2D(4, 3)])


def of_nothing(inputs: int):
    return inputs


def of_a_layer_of_ones_own(inputs: int):
    class Scale(keras().layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

        def call(self, x):
            return x * self.scale

    return keras().Sequential([keras().Input((inputs,)), Scale()])


def alike(meta):
    """Our net with the weights of Keras's."""
    first, second = (Dense(*pair) for pair in zip(meta.body.weights[::2], meta.body.weights[1::2], strict=True))
    return meta._replace(body=Perceptron((first, second)))


def adapted_loss(inner, meta):
    """Of what is done after an inner step on experience of the same seed."""
    task = TASKS.sample(jax.random.key(1), 1)
    life, _ = live(inner, TASKS, TASKS.spaces, meta, jax.tree.map(lambda x: x[0], task), jax.random.key(2))
    return jnp.sum(replay(inner, meta, jax.lax.stop_gradient(life))[0].dist.log_prob(life.chunks.action)[1])


def test_gradients_of_gradients_are_those_of_our_own_net():
    meta = THEIRS.init(jax.random.key(0))
    loss, gradient = jax.jit(jax.value_and_grad(lambda m: adapted_loss(THEIRS, m)))(meta)
    known, expected = jax.jit(jax.value_and_grad(lambda m: adapted_loss(OURS, m)))(alike(meta))
    first_order = jax.jit(jax.grad(lambda m: adapted_loss(replace(OURS, first_order=True), m)))(alike(meta))
    np.testing.assert_allclose(loss, known, rtol=1e-5)
    np.testing.assert_allclose(gradient.body.weights[0], expected.body.layers[0].weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(gradient.head.dense.weight, expected.head.dense.weight, rtol=1e-3, atol=1e-4)
    assert float(jnp.abs(gradient.body.weights[0] - first_order.body.layers[0].weight).max()) > 1e-2


def test_weights_are_drawn_from_the_key_also_under_a_trace():
    one, again, other = (THEIRS.init(jax.random.key(seed)).body.weights for seed in (0, 0, 1))
    np.testing.assert_array_equal(one[0], again[0])
    assert not np.array_equal(one[0], other[0])
    limit = np.sqrt(6 / (2 + 8))  # Glorot's, which is Keras's own choice
    assert 0.5 * limit < np.abs(one[0]).max() <= limit and not np.any(one[1])
    many = jax.jit(jax.vmap(lambda key: THEIRS.init(key).body.weights))(jax.random.split(jax.random.key(0), 3))
    assert many[0].shape == (3, 2, 8) and not np.array_equal(many[0][0], many[0][1])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("with_batch_statistics", "moving_mean"),
        ("of_pictures", "maps \\(None, 8, 8, 3\\)"),
        ("of_nothing", "returned int"),
        ("of_a_layer_of_ones_own", "scale_initializer"),
        ("of_none_such", "cannot be imported"),
    ],
)
def test_what_cannot_be_a_body_is_refused_in_words(make: str, said: str):
    with pytest.raises(ValueError, match=said):
        model(f"{__name__}:{make}", 3)


def test_keras_on_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras().config, "backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
        keras()


def test_a_run_with_a_body_of_keras_trains_and_is_found_again(tmp_path):
    settings = {"inner.keras": THEIRS.keras, "meta_batch": 2, "held_out": 2, "evaluations": 1}
    run = api.train("maml", tasks="point-goal", steps=2 * 20 * 200, out=tmp_path / "run", settings=settings, quiet=True)
    result = run.evaluate(tasks=4, baselines=False)
    assert np.isfinite([point["mean"] for point in result["curve"]]).all()
    agent = innerloop.load(run.path)
    agent.begin()
    assert np.shape(agent.act(np.zeros(2, np.float32))) == (2,)


def test_spaces_of_any_kind_are_flattened_for_it():
    inner = replace(THEIRS, spaces=Spaces(Discrete(5), Discrete(3)))
    assert inner.init(jax.random.key(0)).body.weights[0].shape == (5, 8)
