"""The probes: each recipe solves those that its method can solve, near the exact optimum and above not adapting.

Not benchmarks: some seconds each once compiled. The slow ones are run by hand (`-m slow`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

from innerloop import registry
from innerloop.evaluate.adaptation import Evaluator, totals
from innerloop.inner.forgetful import Forgetful
from innerloop.nets.memory import MEMORIES
from innerloop.run.config import Recipe, assign
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

slow = pytest.mark.slow
HELD_OUT = 1024


@dataclass
class Trained:
    """A recipe's meta-parameters after training on a probe."""

    recipe: Recipe
    family: Any
    meta: Any

    def returns(self, inner: Any = None) -> np.ndarray:
        """[tasks, units] of the adapting agent, or of another inner with its meta-parameters."""
        inner = self.recipe.inner.with_plan(self.recipe.evaluation) if inner is None else inner
        evaluator = Evaluator(inner, self.family.split("test"), DeviceWorld(self.family), self.recipe.unit)
        return evaluator(self.meta, HELD_OUT, jax.random.key(1))[0]


def train(name: str, probe: str, seed: int = 0, **settings: Any) -> Trained:
    """By the recipe's own preset for probes, and what is set besides."""
    family = find(probe)
    recipe = registry.maker(name)(family)
    for setting, value in settings.items():
        recipe = assign(recipe, setting, value)
    recipe = recipe.settled()
    trainer = Trainer(recipe, family, DeviceWorld(family))
    carried = trainer.first(seed)
    for _ in range(recipe.updates):
        carried, metrics = trainer.iterate(carried)
    assert metrics["masked"] == 0
    return Trained(recipe, family, recipe.outer.meta(carried.outer))


LEAST = {"probe-reward": 9.3, "probe-observation": 0.97, "probe-cost": 0.87, "probe-across": 3.4, "probe-alike": 7.3}


@slow
@pytest.mark.parametrize("memory", [name for name in MEMORIES if name != "gru"])
@pytest.mark.parametrize("probe", LEAST)
def test_every_memory_solves(probe: str, memory: str):
    trained = train("rl2", probe, **{"inner.memory": memory})
    assert LEAST[probe] < totals(trained.returns(), trained.recipe.unit).mean() < 1.05 * trained.family.optimum


@pytest.mark.parametrize(
    ("probe", "least", "forgets"),
    [  # least: below the optimum by what remains to be learned and by chance
        ("probe-reward", LEAST["probe-reward"], "step"),
        pytest.param("probe-observation", LEAST["probe-observation"], "step", marks=slow),
        pytest.param("probe-cost", LEAST["probe-cost"], "step", marks=slow),
        pytest.param("probe-across", LEAST["probe-across"], "episode", marks=slow),
        pytest.param("probe-alike", LEAST["probe-alike"], "step", marks=slow),
    ],
)
def test_rl2_solves(probe: str, least: float, forgets: str):
    trained = train("rl2", probe)
    total = totals(trained.returns(), trained.recipe.unit).mean()
    inner = trained.recipe.inner.with_plan(trained.recipe.evaluation)
    without = totals(trained.returns(Forgetful(inner, forgets)), trained.recipe.unit).mean()
    optimum = trained.family.optimum
    assert least < total < optimum + 0.05 * optimum
    if probe == "probe-alike":
        assert total > without - 0.1  # the tasks are all alike: adaptation must not hurt
    else:
        assert total > without + 0.3 * optimum
