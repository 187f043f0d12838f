"""A method of one's own: an inner that counts, with two meta-learned numbers, and the recipe that trains it.

From a terminal beside this file: `innerloop train --recipe 02_own_recipe:make --tasks bandit-k5-n10`.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array

import innerloop
from innerloop.core import Categorical, Decision, Inner, Plan, Spaces, Step
from innerloop.outer.ppo import PPO
from innerloop.run.config import Recipe


class Weights(NamedTuple):
    greed: Array  # on the mean reward of an arm
    bonus: Array  # on what is not yet known of it


class Counting(Inner[Weights, Array]):
    """Fast [N, 2, A]: pulls and reward of every arm. Nothing in `learn`: it remembers, step by step."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)

    def init(self, key: Array) -> Weights:
        return Weights(jnp.ones(()), jnp.zeros(()))

    def begin(self, meta: Weights, key: Array) -> Array:
        return jnp.zeros((self.plan.streams, 2, self.spaces.action.n))

    def observe(self, meta: Weights, fast: Array, step: Step) -> Array:
        pulled = self.spaces.action.encode(step.action) * ~step.born[:, None]
        return fast + jnp.stack([pulled, pulled * step.reward[:, None]], axis=1)

    def decide(self, meta: Weights, fast: Array, obs: Any) -> Decision:
        pulls, reward = fast[..., 0, :], fast[..., 1, :]
        logits = meta.greed * (reward + 1) / (pulls + 2) + meta.bonus / jnp.sqrt(pulls + 1)
        return Decision(Categorical(10 * logits), jnp.zeros(logits.shape[:-1]))


def make(family, steps=None) -> Recipe:
    plan = Plan(chunks=1, steps=family.horizon * family.episodes, streams=1)
    outer = PPO(lr=0.05, discount=1.0, gae_lambda=0.8, minibatches=1)
    inner = Counting(plan, family.spaces)
    return Recipe("counting", family.name, inner, outer, 512, steps or 200_000, family.unit, plan, evaluations=2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        run = innerloop.train("02_own_recipe:make", tasks="bandit-k5-n10", out=Path(scratch) / "run", quiet=True)
        result = run.evaluate(tasks=2000, baselines=False)
        print(f"total {result['total']['mean']:.2f}, {result['oracle']['name']} {result['oracle']['total']:.2f}")
