"""A first policy, its common mistakes one at a time, and what each costs; `docs/first-policy.md` tells the story.

A net with hidden layers (128, 64), ReLU and a softmax head learns to find one goal by weighted log-likelihood.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Chunk, Plan, live
from innerloop.equations.linear_baseline import advantages
from innerloop.equations.returns import discounted_returns, masked_mean
from innerloop.evaluate.adaptation import unit_returns
from innerloop.inner.gradient import Gradient, GradientFast, PolicyNet
from innerloop.tasks import GridNavi

FAMILY = GridNavi()  # 5 × 5 cells, 15 steps; 1 on the goal, −0.1 elsewhere
PLAN = Plan(chunks=100, steps=15, streams=32, restart=True)  # 100 updates, each from 32 episodes


def log_likelihood(scores: Array, action: Array) -> Array:
    """Of `action` under a softmax of `scores`: what every cross-entropy computes."""
    return jnp.take_along_axis(jax.nn.log_softmax(scores), action[..., None], -1)[..., 0]


class Policy(Gradient):
    """One gradient step per batch of episodes. `twice`: the softmax's outputs are passed on as if they were logits."""

    twice: bool = eqx.field(static=True, default=False)

    def learn(self, meta: PolicyNet, fast: GradientFast, chunk: Chunk, key: Array) -> GradientFast:
        x, ends = self.spaces.obs.encode(chunk.step.obs), chunk.terminated | chunk.truncated
        if self.weights == "reward":
            weight = chunk.reward
        elif self.weights == "return":
            weight = jax.vmap(discounted_returns, (1, 1, None), 1)(chunk.reward, ends, self.discount)
        else:
            weight = advantages(x, chunk.reward, chunk.step.first, ends, chunk.mask, self.discount, self.gae_lambda)

        def loss(net: PolicyNet) -> Array:
            logits = net.head(net.body(x, "relu")).logits
            scores = jax.nn.softmax(logits) if self.twice else logits
            return -masked_mean(log_likelihood(scores, chunk.action) * weight, chunk.mask)

        return fast._replace(net=jax.tree.map(lambda p, g: p - self.lr * g, fast.net, jax.grad(loss)(fast.net)))


def curve(inner: Policy, tasks: int = 8) -> Array:
    """Mean return of an episode at each update, over `tasks` goals, each learned from scratch."""

    def one(task, key):
        key_net, key_life = jax.random.split(key)
        life, _ = live(inner, FAMILY, FAMILY.spaces, inner.init(key_net), task, key_life, learn_last=False)
        return unit_returns(life.chunks, "gradient step", 1)

    goals = FAMILY.sample(jax.random.key(0), tasks)
    return jnp.mean(jax.jit(jax.vmap(one))(goals, jax.random.split(jax.random.key(1), tasks)), 0)


if __name__ == "__main__":
    sure = jnp.array([100.0, 0.0, 0.0, 0.0, 0.0])  # a policy that always takes action 0
    print("cross-entropy of the action that a certain policy takes, by what it is given")
    print(f"  logits {-log_likelihood(sure, jnp.array(0)) + 0:.3f}, softmax outputs ", end="")
    print(f"{-log_likelihood(jax.nn.softmax(sure), jnp.array(0)):.3f}")
    print("two arms that pay 1 and 0.1: the loss of three policies, and what they earn")
    for p in (1.0, 0.5, 0.0):
        choice, pay = jnp.array([p, 1 - p]), jnp.array([1.0, 0.1])
        loss = jnp.sum(pay * jax.scipy.special.entr(choice))  # the expectation of −log π(a) · reward
        print(f"  P(better arm) {p:.1f}: loss {loss:.2f}, earned {jnp.sum(choice * pay):.2f}")
    correct = Policy(PLAN, FAMILY.spaces, hidden=(128, 64), lr=0.5)
    forms = {
        "correct": correct,
        "softmax twice": replace(correct, twice=True),
        "rewards, not returns": replace(correct, weights="reward"),
        "returns, no baseline": replace(correct, weights="return"),
        "all of it: naive": replace(correct, twice=True, weights="reward"),
    }
    print("return of an episode, first and last ten updates")
    for name, inner in forms.items():
        returns = curve(inner)
        print(f"  {name:21} {jnp.mean(returns[:10]):5.1f} → {jnp.mean(returns[-10:]):5.1f}")
