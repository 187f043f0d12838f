"""Supervised and off-policy in-context learning by their own presets: near the optimum of the probes they can solve.

Not RL² (test_rl2_solves_probes.py), nor benchmarks.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from test_rl2_solves_probes import train

from innerloop import registry
from innerloop.evaluate.adaptation import Evaluator, totals
from innerloop.recording import record
from innerloop.run.config import assign
from innerloop.run.train import recorded
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld
from innerloop.worlds.histories import Histories
from innerloop.worlds.windows import HistoryWorld

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
    """Ten pulls of probe-reward by Q-learning, which tries an arm and leaves it where it does not pay."""
    family = find("probe-reward")
    record("q-learning", tasks=family.name, count=2000, out=tmp_path)
    teacher = HistoryWorld(Histories(tmp_path, family.spaces), family)
    recipe = assign(registry.maker("ad")(family), "histories", str(tmp_path)).settled()
    shown = teacher.live(recipe.inner, (), family.sample(jax.random.key(0), 1000), jax.random.key(1))[0].chunks.reward
    trainer = Trainer(recipe, family, recorded(recipe, family, verify=True))
    carried = trainer.first(0)
    for _ in range(recipe.updates):
        carried, metrics = trainer.iterate(carried)
    assert metrics["masked"] == 0
    inner = recipe.inner.with_plan(recipe.evaluation)
    evaluator = Evaluator(inner, family.split("test"), DeviceWorld(family), recipe.unit)
    returns = evaluator(recipe.outer.meta(carried.outer), 1024, jax.random.key(1))[0].mean(0)
    assert 0.4 < returns[0] < 0.6 and returns[-1] > 0.85
    assert abs(returns.sum() - np.asarray(shown).sum() / 1000) < 0.3  # no better than what it copies, and no worse
