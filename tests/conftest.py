"""Strictness for every test: an array is never stretched to a higher rank in silence. And haste: tests compile much and compute
little, so they do without XLA's costly optimisations, and all processes of a session share what they have compiled.

Not fixtures: each test file builds what it needs. (Warnings are errors too: pyproject.toml.)
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

OPTIMISED = ("golden", "learning")  # the numbers of a user's run; minutes of computing
MAPPINGS = 10_000  # of memory; every compiled program holds several, and Linux ends a process at 65,530 (a crash in XLA)

CACHE = "JAX_COMPILATION_CACHE_DIR"
_made = None if CACHE in os.environ else tempfile.mkdtemp(prefix="innerloop-tests-")  # by the first process of the session
if _made:
    os.environ |= {CACHE: _made, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

import jax  # noqa: E402  (reads them)

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="module")
def quick_compilation(request: pytest.FixtureRequest):
    jax.config.update("jax_disable_most_optimizations", request.path.parent.name not in OPTIMISED)
    yield
    if Path("/proc/self/maps").exists() and Path("/proc/self/maps").read_bytes().count(b"\n") > MAPPINGS:
        jax.clear_caches()


def pytest_collection_modifyitems(items: list[pytest.Item]):
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


def pytest_unconfigure():
    if _made:
        shutil.rmtree(_made, ignore_errors=True)
