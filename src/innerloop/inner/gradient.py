"""MAML's inner loop: policy-gradient steps from meta-learned parameters (Finn et al. 2017, §5.3).

Not the outer loop: that differentiates `learn` through `replay`. The surrogate is the log-likelihood one of the paper,
whose value means nothing and whose gradient is exact at the sampling parameters only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Chunk, Decision, Dist, Inner, Lifetime, Plan, Spaces
from innerloop.core.spaces import encode, width
from innerloop.equations.linear_baseline import advantages
from innerloop.equations.returns import discounted_returns, masked_mean
from innerloop.nets.layers import Head, Perceptron
from innerloop.nets.moments import Moments


class PolicyNet(NamedTuple):
    """Body and action head, and the statistics of observations where the inner normalises."""

    body: Perceptron
    head: Head
    obs: Moments | None = None


class GradientFast(NamedTuple):
    """The task's own parameters, and how many inner steps made them."""

    net: PolicyNet
    steps: Array


class Gradient(Inner[PolicyNet, GradientFast]):
    """`learn` is one step of policy gradient on the chunk, with a linear-feature baseline fitted to the chunk and advantages
    standardised over it."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(100, 100))  # paper: 100-100
    activation: str = eqx.field(static=True, default="relu")  # paper: ReLU
    lr: float = eqx.field(static=True, default=0.1)  # α of the first step; paper: 0.1, point-goal 0.5
    later: float = eqx.field(static=True, default=0.5)  # factor on α after the first step; paper's test protocol: 0.5
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=1.0)
    normalise: str = eqx.field(static=True, default="std")  # of advantages: std, variance or none
    first_order: bool = eqx.field(static=True, default=False)  # FOMAML: no gradient through the inner gradient
    normalise_obs: bool = eqx.field(static=True, default=False)  # by running statistics; paper: no
    std: float = eqx.field(static=True, default=1.0)  # initial, learned; paper: 1
    weights: str = eqx.field(static=True, default="advantage")  # of log-likelihoods; "return": the bare reward-to-go
    inherits: bool = eqx.field(static=True, default=True)  # False: every task starts from random parameters (a baseline)

    def init(self, key: Array) -> PolicyNet:
        key_body, key_head = jax.random.split(key)
        body = Perceptron.init(key_body, width(self.spaces.obs), self.hidden)
        features = (width(self.spaces.obs), *self.hidden)[-1]
        head = Head.init(key_head, features, self.spaces.action, std=self.std)
        return PolicyNet(body, head, Moments.empty(width(self.spaces.obs)) if self.normalise_obs else None)

    def absorb(self, meta: PolicyNet, lives: Lifetime) -> PolicyNet:
        if meta.obs is None:
            return meta
        rows = lives.chunks
        return meta._replace(obs=meta.obs.absorb(encode(self.spaces.obs, rows.step.obs), rows.mask))

    def _see(self, net: PolicyNet, obs: Any) -> Array:
        x = encode(self.spaces.obs, obs)
        return x if net.obs is None else net.obs.standardise(x)

    def begin(self, meta: PolicyNet, key: Array) -> GradientFast:
        return GradientFast(meta if self.inherits else self.init(key), jnp.zeros((), jnp.int32))

    def decide(self, meta: PolicyNet, fast: GradientFast, obs: Any) -> Decision:
        x = self._see(fast.net, obs)
        return Decision(self._policy(fast.net, x), jnp.zeros(x.shape[:-1]))

    def _policy(self, net: PolicyNet, x: Array) -> Dist:
        """x [..., D] → distribution [...]. Rows are one axis inside: transposes of products with more are half as fast."""
        dist = net.head(net.body(x.reshape(-1, x.shape[-1]), self.activation))
        return jax.tree.map(lambda y: y.reshape(*x.shape[:-1], *y.shape[1:]), dist)

    def unroll(self, meta: PolicyNet, fast: GradientFast, steps: Any) -> tuple[GradientFast, Decision]:
        return fast, self.decide(meta, fast, steps.obs)

    def learn(self, meta: PolicyNet, fast: GradientFast, chunk: Chunk, key: Array) -> GradientFast:
        x = self._see(fast.net, chunk.step.obs)
        ends = chunk.terminated | chunk.truncated
        if self.weights == "return":
            cut, reward = ends | ~chunk.mask, jnp.where(chunk.mask, chunk.reward, 0.0)
            advantage = jax.vmap(discounted_returns, (1, 1, None), 1)(reward, cut, self.discount)
        else:
            advantage = advantages(
                x, chunk.reward, chunk.step.first, ends, chunk.mask, self.discount, self.gae_lambda, self.normalise
            )

        def surrogate(net: PolicyNet) -> Array:
            log_prob = self._policy(net, x).log_prob(chunk.action)
            return -masked_mean(log_prob * advantage, chunk.mask)

        gradient = jax.grad(surrogate)(fast.net)
        if self.first_order:
            gradient = jax.lax.stop_gradient(gradient)
        rate = self.lr * jnp.where(fast.steps == 0, 1.0, self.later)
        return GradientFast(jax.tree.map(lambda p, g: p - rate * g, fast.net, gradient), fast.steps + 1)
