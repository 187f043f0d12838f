"""A run that is trained further ends as if the longer one had been asked for at the start."""

import pytest

from innerloop import api
from innerloop.run.settings import ConfigError

TINY = {"meta_batch": 2, "inner.hidden": [8], "inner.plan.streams": 2, "held_out": 2, "evaluations": 1}


def _train(out, steps, recipe="maml", **settings):
    tasks = "point-goal" if recipe == "maml" else "bandit-k2-n5"
    return api.train(recipe, tasks=tasks, steps=steps, out=out, settings=settings or TINY, quiet=True)


def test_a_run_trained_further_is_the_longer_run(tmp_path):
    longer = _train(tmp_path / "longer", 2400)
    _train(tmp_path / "run", 1600)
    (further,) = api.resume(tmp_path / "run", steps=2400, quiet=True)
    assert further.digest == longer.digest


def test_a_schedule_over_the_whole_run_refuses_to_be_trained_further(tmp_path):
    _train(tmp_path / "run", 40, "rl2", meta_batch=4, held_out=2, evaluations=1, **{"outer.minibatches": 2, "inner.width": 4})
    with pytest.raises(ConfigError, match="schedule"):
        api.resume(tmp_path / "run", steps=80, quiet=True)
