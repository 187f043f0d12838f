"""Agreement of two trees: bit for bit, or within a tolerance; random keys are compared by their data."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _host(tree: Any) -> list[tuple[str, np.ndarray]]:
    found = []
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        found.append((jax.tree_util.keystr(path), np.asarray(x)))
    return found


def same(a: Any, b: Any) -> None:
    """Equal in structure, type and every bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), (_, y) in zip(_host(a), _host(b), strict=True):
        assert x.dtype == y.dtype, path
        np.testing.assert_array_equal(x, y, err_msg=path)


def close(a: Any, b: Any, tolerance: float = 1e-6) -> None:
    """Equal in structure and type; floats within `tolerance`, absolute and relative, all else exactly."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), (_, y) in zip(_host(a), _host(b), strict=True):
        assert x.dtype == y.dtype, path
        if np.issubdtype(x.dtype, np.floating):
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, err_msg=path)
        else:
            np.testing.assert_array_equal(x, y, err_msg=path)


def distance(a: Any, b: Any) -> float:
    """Largest absolute difference between the float leaves."""
    pairs = zip(_host(a), _host(b), strict=True)
    return max((np.abs(x - y).max() for (_, x), (_, y) in pairs if np.issubdtype(x.dtype, np.floating) and x.size), default=0.0)
