"""The command, and one finished tiny run."""

import pytest
from command import TINY, UPDATE, Command


@pytest.fixture(scope="session")
def innerloop():
    return Command()


@pytest.fixture(scope="session")
def finished(innerloop, tmp_path_factory):
    """A run of two seeds, of 20 updates each."""
    folder = tmp_path_factory.mktemp("runs") / "both"
    innerloop("train", *TINY, "--steps", 20 * UPDATE, "--seed", "0:2", "--out", folder, "--quiet")
    return folder
