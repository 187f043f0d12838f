"""A run can begin with the meta-parameters of another."""

import jax
import numpy as np
import pytest

from innerloop import api, loading
from innerloop.nets.disco import from_arrays
from innerloop.run.folder import FolderError, read_json
from innerloop.run.rule_file import Sizes, read_rule, shapes
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


def test_a_published_rule_is_used_as_it_is(tmp_path):
    """No steps are trained: what is evaluated is the file's rule, whose digest the run keeps."""
    rng = np.random.default_rng(0)
    file = tmp_path / "rule.npz"
    np.savez(file, **{name: rng.normal(size=s).astype(np.float32) for name, s in shapes(Sizes(5, 4, 3)).items()})  # pyright: ignore
    small = {"inner.hidden": [4], "inner.bins": 5, "held_out": 2, "inner.predictions": 5, "inner.width": 4}
    ask = {"tasks": "two-colours", "steps": 0, "quiet": True}
    with pytest.raises(ConfigError, match="inner.life_width=3"):
        api.train("disco", out=tmp_path / "run", settings=small | {"start": str(file)}, **ask)
    run = api.train("disco", out=tmp_path / "run", settings=small | {"start": str(file), "inner.life_width": 3}, **ask)
    meta = loading.load(run.path)[2]
    for a, b in zip(jax.tree.leaves(meta), jax.tree.leaves(from_arrays(read_rule(file).weights)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read_json(run.path / "run.json")["start"]["digest"] == read_rule(file).sha256
    with pytest.raises(ConfigError, match="recipe disco"):
        api.train("rl2", tasks="bandit-k2-n5", out=tmp_path / "other", settings={"start": str(file)}, quiet=True)
    with pytest.raises(ConfigError, match="use what `start` names"):
        api.train("rl2", tasks="bandit-k2-n5", steps=0, out=tmp_path / "none", quiet=True)
