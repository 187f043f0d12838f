"""Supervised and off-policy in-context learning by their own presets: near the optimum of the probes they can solve.

Not RL² (test_rl2_solves_probes.py), nor benchmarks.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from test_rl2_solves_probes import train

from innerloop.evaluate.adaptation import totals
from innerloop.recording import record
from innerloop.run.config import assign
from innerloop.run.train import recorded
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family as find

slow = pytest.mark.slow


@slow
@pytest.mark.parametrize("name", ["dpt", "amago"])
@pytest.mark.parametrize(("probe", "least"), [("probe-reward", 9.3), ("probe-across", 3.35)])
def test_the_reward_is_found_and_kept(name: str, probe: str, least: float):
    trained = train(name, probe)
    total = totals(trained.returns(), trained.recipe.unit).mean()
    assert least < total < trained.family.optimum * 1.05


@slow
def test_ad_continues_the_learning_that_it_saw(tmp_path: Path):
    """Episodes of probe-across by Q-learning: of the last of four more are right than of the first."""
    from innerloop import registry
    from innerloop.evaluate.adaptation import Evaluator
    from innerloop.worlds import DeviceWorld

    family = find("probe-across")
    record("q-learning", tasks=family.name, count=2000, episodes=4, out=tmp_path)
    recipe = assign(registry.maker("ad")(family), "histories", str(tmp_path)).settled()
    trainer = Trainer(recipe, family, recorded(recipe, family, verify=True))
    carried = trainer.first(0)
    for _ in range(recipe.updates):
        carried, metrics = trainer.iterate(carried)
    assert metrics["masked"] == 0
    inner = recipe.inner.with_plan(recipe.evaluation)
    evaluator = Evaluator(inner, family.split("test"), DeviceWorld(family), recipe.unit)
    returns = evaluator(recipe.outer.meta(carried.outer), 1024, jax.random.key(1))[0].mean(0)
    assert 0.4 < returns[0] < 0.6 and returns[-1] > 0.8 and np.isfinite(returns).all()
