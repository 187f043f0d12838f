"""A first policy, from its naive form to a correct one, in five steps; `docs/first-policy.md` tells the story.

A net with hidden layers (128, 64) and ReLU learns one random MDP by reward-weighted log-likelihood.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Chunk, Plan, live
from innerloop.equations.returns import masked_mean
from innerloop.evaluate.adaptation import unit_returns
from innerloop.inner.gradient import Gradient, GradientFast, PolicyNet
from innerloop.tasks import TabularMDP

FAMILY = TabularMDP()  # 10 states, 5 actions, episodes of 10 steps
PLAN = Plan(chunks=150, steps=10, streams=32, restart=True)  # 150 updates, each from 32 episodes


def log_likelihood(scores: Array, action: Array) -> Array:
    """Of `action`, under a softmax of `scores`: what every cross-entropy computes."""
    return jnp.take_along_axis(jax.nn.log_softmax(scores), action[..., None], -1)[..., 0]


class Naive(Gradient):
    """Immediate rewards as weights; `twice`: the softmax's outputs are handed over as if they were logits."""

    twice: bool = eqx.field(static=True, default=True)

    def loss(self, net: PolicyNet, chunk: Chunk) -> Array:
        logits = net.head(net.body(self.spaces.obs.encode(chunk.step.obs), self.activation)).logits
        scores = jax.nn.softmax(logits) if self.twice else logits
        return -masked_mean(log_likelihood(scores, chunk.action) * chunk.reward, chunk.mask)

    def learn(self, meta: PolicyNet, fast: GradientFast, chunk: Chunk, key: Array) -> GradientFast:
        gradient = jax.grad(self.loss)(fast.net, chunk)
        return fast._replace(net=jax.tree.map(lambda p, g: p - self.lr * g, fast.net, gradient))


def returns(inner: Gradient, tasks: int = 16) -> Array:
    """Mean return of an episode at each update, over `tasks` random MDPs, each learned from scratch."""

    def one(task, key):
        key_net, key_life = jax.random.split(key)
        life, _ = live(inner, FAMILY, FAMILY.spaces, inner.init(key_net), task, key_life)
        return unit_returns(life.chunks, "gradient step", 1)

    tasks_ = FAMILY.sample(jax.random.key(0), tasks)
    return jnp.mean(jax.jit(jax.vmap(one))(tasks_, jax.random.split(jax.random.key(1), tasks)), 0)


if __name__ == "__main__":
    sure = jnp.array([100.0, 0.0, 0.0, 0.0, 0.0])  # a policy that always takes action 0
    for name, scores in (("logits", sure), ("softmax outputs", jax.nn.softmax(sure))):
        print(f"cross-entropy of a certain action from {name:15}: {-log_likelihood(scores, jnp.array(0)):.3f}")
    correct = Gradient(PLAN, FAMILY.spaces, hidden=(128, 64), lr=0.5, later=1.0)
    naive = Naive(PLAN, FAMILY.spaces, hidden=(128, 64), lr=0.5)
    steps = {
        "naive": naive,
        "logits as logits": replace(naive, twice=False),
        "returns, not rewards": replace(correct, weights="return"),
        "a baseline": correct,
    }
    print(f"optimum {jnp.mean(FAMILY.best(FAMILY.sample(jax.random.key(0), 16))):.1f} an episode")
    for name, inner in steps.items():
        curve = returns(inner)
        print(f"{name:21} {curve[0]:5.1f} → {jnp.mean(curve[-10:]):5.1f}")
