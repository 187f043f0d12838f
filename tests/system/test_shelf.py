"""A zoo entry of several seeds: the first's weights, and one command that trains them all again."""

import json
import shutil

import jax
import numpy as np
import pytest

from innerloop import loading


def test_a_card_has_the_command_of_all_its_seeds(innerloop, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "both", ignore=shutil.ignore_patterns("evaluation.json"))
    with pytest.raises(AssertionError, match="no evaluation.json"):
        innerloop("zoo", run, "--name", "tiny", "--to", tmp_path / "zoo")
    innerloop("evaluate", run, "--tasks", 8)
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    assert [s["seed"] for s in scores] == [0, 1] and all(len(s["outcomes"]) == 8 for s in scores)
    assert scores[0]["drawn"] != scores[1]["drawn"]  # each training meets tasks of its own
    (run / "evaluation-elsewhere.json").write_text('{"family": "elsewhere"}')  # as `evaluate --on` writes it
    innerloop("zoo", run, "--name", "tiny", "--to", tmp_path / "zoo")
    elsewhere = json.loads((tmp_path / "zoo" / "tiny" / "evaluation-elsewhere.json").read_text())
    assert elsewhere == {"family": "elsewhere", "run": "zoo:tiny"}
    card = json.loads((tmp_path / "zoo" / "tiny" / "card.json").read_text())
    words = card["command"]
    assert (words[words.index("--seed") + 1], words[words.index("--out") + 1]) == ("0:2", "runs/tiny")
    assert card["seeds"] == [0, 1]
    record = json.loads((tmp_path / "zoo" / "tiny" / "run.json").read_text())
    assert record["command"][record["command"].index("--seed") + 1] == "0"
    kept, first = (loading.load(path)[2] for path in (tmp_path / "zoo" / "tiny", run / "seed-0"))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(first), strict=True))
