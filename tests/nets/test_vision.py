"""The convolutional encoder is a convolution, and observations with images reach every net that says it sees them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import registry
from innerloop.core import Box, Chunk, Discrete, Plan, Spaces, birth
from innerloop.core.spaces import encode, images, vectors, width, zeros
from innerloop.inner.belief_filter import BeliefFilter
from innerloop.inner.gradient import Gradient
from innerloop.inner.recurrent import Recurrent
from innerloop.nets import vision
from innerloop.nets.moments import Moments
from innerloop.tasks.names import family

PIXELS = Box((20, 18, 3), 0.0, 255.0, "uint8")
MIXED = {"camera": PIXELS, "arm": Box((2,), -1.0, 1.0), "mode": Discrete(3)}
PLAN = Plan(2, 3, 2)


def seen(space, lead, seed=0):
    """A random observation."""
    if isinstance(space, dict):
        return {name: seen(part, lead, seed + i) for i, (name, part) in enumerate(space.items())}
    key = jax.random.key(seed)
    if isinstance(space, Discrete):
        return jax.random.randint(key, lead, 0, space.n)
    if space.dtype == "uint8":
        return jax.random.randint(key, (*lead, *space.shape), 0, 256).astype(jnp.uint8)
    return jax.random.uniform(key, (*lead, *space.shape), minval=-1.0)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_convolution_is_the_librarys(stride):
    layer = vision.Convolution.init(jax.random.key(0), stride, 3, 5)
    layer = replace(layer, bias=jnp.linspace(-1.0, 1.0, 5))
    x = jax.random.normal(jax.random.key(1), (2, 6 * stride, 5 * stride, 3))
    theirs = jax.lax.conv_general_dilated(
        x, layer.kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    theirs = jax.nn.relu(theirs + jnp.broadcast_to(layer.bias, theirs.shape))
    np.testing.assert_allclose(layer(x), theirs, atol=1e-5)
    np.testing.assert_array_equal(layer(x[:, :-1, :-1]), layer(x.at[:, -1].set(0.0).at[:, :, -1].set(0.0)))


@pytest.mark.parametrize("shape", [(42, 40, 1), (84, 84, 4), (16, 16, 3), (16, 90, 1)])
def test_images_of_any_size_become_as_many_features(shape):
    eye = vision.Eye.init(jax.random.key(0), Box(shape, 0.0, 255.0, "uint8"))
    x = jax.eval_shape(eye, jax.ShapeDtypeStruct((3, 2, *shape), jnp.float32))
    assert x.shape == (3, 2, vision.FEATURES) and eye.dense.weight.size < 200_000


def test_what_is_no_image_is_flattened_beside_it():
    obs, eyes = seen(MIXED, (4, 2)), vision.make("auto", jax.random.key(0), MIXED)
    moments = Moments(jnp.ones(()), jnp.full(5, 0.5), jnp.ones(5))
    x = vision.look(eyes, moments, MIXED, obs)
    assert x.shape == (4, 2, vision.seen_width("auto", MIXED)) and len(images(MIXED)) == 1
    np.testing.assert_allclose(x[..., :5], vectors(MIXED, obs) - 0.5, rtol=1e-6)
    np.testing.assert_array_equal(x[..., 5:], eyes[0](PIXELS.scale(obs["camera"])))
    assert vectors(PIXELS, obs["camera"]).shape == (4, 2, 0)


def test_flat_is_what_it_was():
    obs = seen(MIXED, (4,))
    assert vision.make("flat", jax.random.key(0), MIXED) is None
    np.testing.assert_array_equal(vision.look(None, None, MIXED, obs), encode(MIXED, obs))
    assert vision.seen_width("flat", MIXED) == width(MIXED)
    assert vision.make("auto", jax.random.key(0), Box((7, 7, 3))) is None  # too small for convolutions


def test_lives_hold_bytes():
    assert zeros(MIXED, (3,))["camera"].dtype == jnp.uint8
    assert PIXELS.encode(jnp.full(PIXELS.shape, 255, jnp.uint8)).max() == 1.0


@pytest.mark.parametrize("space", [PIXELS, MIXED], ids=["image", "mixed"])
@pytest.mark.parametrize("make", [Recurrent, BeliefFilter, Gradient])
def test_what_is_seen_decides(make, space):
    inner = make(PLAN, Spaces(space, Discrete(4)))
    inner.check()
    assert inner.sighted
    meta = inner.init(jax.random.key(0))
    obs = seen(space, (2,))

    def logits(meta, obs):
        fast = inner.observe(meta, inner.begin(meta, jax.random.key(1)), birth(inner.spaces, obs, 2))
        return inner.decide(meta, fast, obs).dist.logits

    other = jax.tree.map(lambda x: x[::-1], obs)
    assert not np.allclose(logits(meta, obs)[0], logits(meta, other)[0])
    moved = jax.grad(lambda meta: jnp.sum(logits(meta, obs)[:, 0]))(meta)
    assert all(float(jnp.abs(layer.kernel).max()) > 0 for layer in moved.eyes[0].layers)


def test_methods_without_convolutions_refuse_images():
    recipe = registry.maker("pearl")(family("point-goal"))
    blind = replace(recipe, inner=replace(recipe.inner, spaces=Spaces(MIXED, recipe.inner.spaces.action)))
    with pytest.raises(
        ValueError, match=r"an image \[20, 18, 3\], and the nets of pearl have no convolutions. rl2, varibad, maml"
    ):
        blind.settled()


@pytest.mark.parametrize(
    ("setting", "message"),
    [("cnn", "inner.vision is 'cnn'; accepted"), ("conv", "hold no image")],
)
def test_a_wrong_vision_is_told(setting, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(PLAN, Spaces(Box((3,)), Discrete(2)), vision=setting).check()


def test_features_that_train_are_not_foretold():
    with pytest.raises(ValueError, match="Set inner.states to false"):
        BeliefFilter(PLAN, Spaces(MIXED, Discrete(2)), states=True).check()


def test_moments_may_have_no_width():
    x = Moments.empty(0).absorb(jnp.zeros((2, 3, 0)), jnp.ones((2, 3), bool))
    assert x.count == 6 and x.standardise(jnp.zeros((2, 0))).shape == (2, 0)


def test_a_step_of_policy_gradient_moves_the_eyes():
    inner = Gradient(PLAN, Spaces(MIXED, Discrete(4)), hidden=(8,), weights="return")  # no baseline, which fits six rows
    meta, key = inner.init(jax.random.key(0)), jax.random.key(1)
    obs, no = seen(MIXED, (3, 2)), jnp.zeros((3, 2), bool)
    rows = jax.vmap(lambda o: birth(inner.spaces, o, 2))(obs)._replace(first=no.at[0].set(True))
    fast = inner.begin(meta, key)
    dist = inner.decide(meta, fast, obs).dist
    action = dist.sample(key)
    reward = jax.random.normal(key, (3, 2))
    chunk = Chunk(rows, action, dist, dist.log_prob(action), reward, reward, no, no.at[-1].set(True), obs, ~no)
    after = inner.learn(meta, fast, chunk, key)
    change = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.net.eyes, meta.eyes)
    assert all(x > 0 for x in jax.tree.leaves(change))
    held = replace(inner, adapts="head").learn(meta, replace(inner, adapts="head").begin(meta, key), chunk, key)
    assert held.net.eyes is None
