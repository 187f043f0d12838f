"""Every gradient method learns to adapt: on the probe where nothing but the reward of earlier episodes names the arm.

Not benchmarks, and not the estimators' correctness (tests/outer/test_estimators.py). Before training one inner step from
random parameters helps a little; after training one or two steps must make nearly every episode right.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from innerloop import registry
from innerloop.evaluate.adaptation import Evaluator
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

slow = pytest.mark.slow
LEARNERS = ("maml", "fomaml", "maml-lvc", "maml-dice", "e-maml", "anil", "cavia", "meta-sgd", "reptile", "promp")


def curves(name: str, probe: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean return after each inner step, before training and after it, by the recipe's own preset for probes."""
    family = find(probe)
    recipe = registry.maker(name)(family).settled()
    trainer = Trainer(recipe, family, DeviceWorld(family))
    inner = recipe.inner.with_plan(recipe.evaluation)
    evaluator = Evaluator(inner, family.split("test"), DeviceWorld(family), recipe.unit)

    def measured(carried) -> np.ndarray:
        return evaluator(recipe.outer.meta(carried.outer), 256, jax.random.key(1))[0].mean(0)

    first = carried = trainer.first(0)
    for _ in range(recipe.updates):
        carried, metrics = trainer.iterate(carried)
    assert metrics["masked"] == 0 and metrics["skipped"] == 0
    return measured(first), measured(carried)


@slow
@pytest.mark.parametrize("name", LEARNERS)
def test_adaptation_across_episodes_is_learned(name: str):
    """Without adaptation half of the episodes are right. A policy that has lost its chance to be wrong cannot adapt, so the
    return before adaptation stays near a half."""
    before, after = curves(name, "probe-across")
    least = 0.8 if name == "e-maml" else 0.95  # the term before adaptation is noisy: slower, at the same budget
    assert 0.4 < after[0] < 0.6
    assert after[1] > least and after[1] > before[1] + 0.05


@slow
def test_learned_rates_adapt_to_rewards_within_episodes():
    """Ten pulls of a bandit whose right arm pays 1: five before adaptation, nearly all after a step. What is observed is always
    0, and so at first is every hidden unit: the output's bias alone adapts, with a rate that MAML (5.5 after a step) cannot
    learn and Meta-SGD can."""
    _, after = curves("meta-sgd", "probe-reward")
    assert 4 < after[0] < 6 and after[1] > 9


@slow
def test_where_tasks_are_alike_adaptation_does_not_hurt():
    """The better arm pays 3/4 of ten pulls: 7.5 is the optimum, with no step and with four."""
    _, after = curves("maml", "probe-alike")
    assert after[0] > 7.0 and after[-1] > 7.0
