"""A run can begin with the meta-parameters of another."""

import jax
import numpy as np
import pytest

from innerloop import api, loading
from innerloop.run.folder import FolderError, read_json
from innerloop.run.settings import ConfigError

TINY = {"meta_batch": 4, "held_out": 2, "evaluations": 1, "outer.minibatches": 2, "inner.width": 4}


def _train(out, tasks, **settings):
    return api.train("rl2", tasks=tasks, steps=40, out=out, settings=TINY | settings, quiet=True)


def test_it_begins_where_the_other_ended(tmp_path):
    other = _train(tmp_path / "short", "bandit-k2-n5")
    run = _train(tmp_path / "long", "bandit-k2-n8", start=str(other.path), **{"outer.lr": 0.0})
    a, b = (jax.tree.leaves(loading.load(one.path)[2]) for one in (other, run))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
    start = read_json(run.path / "run.json")["start"]
    assert (start["run"], start["digest"]) == (str(other.path), other.digest)
    assert [(s["env_steps"], s["device"]) for s in start["stages"]] == [(40, "cpu")]
    assert [s["env_steps"] for s in loading.stages(run.path)] == [40, 64]
    again = api.resume(run.path, quiet=True)
    assert again[0].digest == run.digest


def test_what_does_not_fit_is_refused_before_anything_compiles(tmp_path):
    other = _train(tmp_path / "two", "bandit-k2-n5")
    with pytest.raises(ConfigError, match=r"do not fit.*same sizes"):
        _train(tmp_path / "three", "bandit-k3-n5", start=str(other.path))
    with pytest.raises(FolderError, match="nowhere"):
        _train(tmp_path / "none", "bandit-k2-n5", start=str(tmp_path / "nowhere"))
    assert {p.name for p in tmp_path.iterdir()} == {"two"}
