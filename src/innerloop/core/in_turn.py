"""LAPACK on a CPU, one matrix at a time.

jaxlib (0.10 to date) splits a *batched* QR, Cholesky or triangular solve over the threads that run the program, and waits
for them in one of these threads. Two such calls at once hold both threads of a machine with two cores, and the program hangs
for good. A single matrix is never split.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax


def in_turn(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, of arrays without a batch; under vmap a CPU does its batch one after the other, and other devices all at once."""
    sequential = jax.custom_batching.sequential_vmap(f)

    @wraps(f)
    def called(*args: Any) -> Any:
        return (sequential if jax.default_backend() == "cpu" else f)(*args)

    return called
