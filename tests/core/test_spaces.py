"""Spaces flatten what they describe, and are static and hashable."""

import jax.numpy as jnp
import numpy as np

from innerloop.core import Box, Cells, Discrete, Spaces
from innerloop.core.spaces import encode, width, zeros


def test_discrete_is_one_hot():
    np.testing.assert_array_equal(Discrete(3).encode(jnp.array([[0, 2]])), [[[1, 0, 0], [0, 0, 1]]])
    assert Discrete(3).zeros((2,)).dtype == jnp.int32


def test_cells_are_encoded_by_their_coordinates():
    np.testing.assert_array_equal(Cells(9).encode(jnp.array([0, 5])), [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1]])
    assert width(Cells(81)) == 18 and Cells(81).side == 9


def test_a_bounded_box_is_scaled_and_an_unbounded_one_is_not():
    np.testing.assert_allclose(Box((2,), 0.0, 4.0).encode(jnp.array([0.0, 3.0])), [-1.0, 0.5])
    np.testing.assert_allclose(Box((2,)).encode(jnp.array([0.0, 300.0])), [0.0, 300.0])
    assert not Box((2,), 0.0).bounded


def test_boxes_of_any_rank_are_flattened_behind_their_leading_axes():
    x = jnp.arange(24.0).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(Box((2, 2)).encode(x), x.reshape(2, 3, 4))
    np.testing.assert_array_equal(Box(()).encode(x[:, :, 0, 0]), x[:, :, 0, :1])


def test_nested_spaces_are_encoded_in_the_order_of_their_names():
    space = {"b": Discrete(2), "a": (Box((1,)), Discrete(3))}
    obs = zeros(space, (5,))
    assert obs["b"].shape == (5,) and obs["a"][0].shape == (5, 1)
    assert width(space) == 6 and encode(space, obs).shape == (5, 6)
    np.testing.assert_array_equal(encode(space, obs)[0], [0, 1, 0, 0, 1, 0])


def test_spaces_are_hashable():
    assert hash(Spaces(Box((1,), -1.0, 1.0), Discrete(2))) == hash(Spaces(Box((1,), -1.0, 1.0), Discrete(2)))
