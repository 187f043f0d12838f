"""`innerloop record` and training on what it keeps, as a user does it; a killed run goes on with the same windows."""

import json

import pytest
from command import UPDATE

AD = [
    "ad", "--tasks", "bandit-k2-n5", "--set", "meta_batch=32", "--set", "held_out=50", "--set", "inner.memory=gru",
    "--set", "inner.width=8", "--set", "inner.layers=1", "--set", "evaluations=2", "--steps", 400 * UPDATE, "--quiet",
]  # fmt: skip

AFTER_UPDATES = """
import os, signal
from innerloop.run.trainer import Trainer
iterate, count = Trainer.iterate, [0]
def killing(self, *args):
    count[0] += 1
    if count[0] == 250:
        os.kill(os.getpid(), signal.SIGKILL)
    return iterate(self, *args)
Trainer.iterate = killing
"""


@pytest.fixture(scope="module")
def histories(innerloop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "histories"
    innerloop("record", "q-learning", "--tasks", "bandit-k2-n5", "--count", 100, "--out", folder)
    return folder


def test_a_killed_run_goes_on_with_the_same_windows(innerloop, histories, tmp_path):
    taken = ["--set", f"histories={histories}", "--set", "save_every=0.2"]
    innerloop("train", *AD, *taken, "--out", tmp_path / "whole")
    innerloop.killed("train", *AD, *taken, "--out", tmp_path / "cut", code=AFTER_UPDATES)
    innerloop("train", "--resume", tmp_path / "cut", "--quiet")
    assert innerloop.digest(tmp_path / "cut") == innerloop.digest(tmp_path / "whole")
    result = json.loads(innerloop("evaluate", tmp_path / "whole", "--tasks", 100, "--no-baselines", "--json").stdout)
    assert result["recipe"] == "ad" and result["incomplete"] == 0
    innerloop("record", tmp_path / "whole", "--count", 10, "--out", tmp_path / "taught")  # a trained agent teaches too
    header = json.loads((tmp_path / "taught" / "part-00000" / "header.json").read_text())
    assert header["teacher"]["digest"] == innerloop.digest(tmp_path / "whole") and header["family"] == "bandit-k2-n5"


def test_what_does_not_serve_is_refused_before_anything_compiles(innerloop, histories, tmp_path):
    said = innerloop("train", *AD, "--out", tmp_path / "a", expect=2).stderr
    assert "innerloop record q-learning --tasks bandit-k2-n5" in said
    said = innerloop("check", "ad", "--tasks", "grid-navi", "--set", f"histories={histories}", expect=2).stderr
    assert "of another family or version" in said
    said = innerloop("check", "ad", "--tasks", "bandit-k2-n6", "--set", f"histories={histories}", expect=2).stderr
    assert "train tasks of bandit-k2-n5; what trains on bandit-k2-n6" in said
    said = innerloop("check", "rl2", "--tasks", "bandit-k2-n5", "--set", f"histories={histories}", expect=2).stderr
    assert "learns from its own lives only" in said
    said = innerloop("record", "q-learner", "--tasks", "bandit-k2-n5", "--count", 2, "--out", tmp_path / "b", expect=2).stderr
    assert "Did you mean q-learning?" in said
    said = innerloop("record", "q-learning", "--tasks", "point-goal", "--count", 2, "--out", tmp_path / "b", expect=2).stderr
    assert "discrete actions" in said and not (tmp_path / "b").exists()
