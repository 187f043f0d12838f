"""The gradient inner loop: policy-gradient steps from meta-learned parameters (MAML, Finn et al. 2017, §5.3) and its kin.

Not the outer loop: that differentiates `learn` through `replay`. Which surrogate is stepped on decides the second order
(`estimator`), which parameters the task owns makes it ANIL or CAVIA (`adapts`), learned step sizes make it Meta-SGD (`rates`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Chunk, Decision, Dist, Inner, Lifetime, Plan, Spaces, accept, at_least
from innerloop.core.spaces import vectors
from innerloop.equations.linear_baseline import NORMALISE, WEIGHTS, credit
from innerloop.equations.surrogates import ESTIMATORS, surrogate
from innerloop.nets import keras_body, vision
from innerloop.nets.layers import ACTIVATIONS, Head, Perceptron
from innerloop.nets.moments import Moments

ADAPTS, RATES = ("all", "head", "context"), ("fixed", "parameter", "layer")


class PolicyNet(NamedTuple):
    """A policy's parameters. A task's own have None wherever the meta-learned ones stand."""

    body: Any  # Perceptron or KerasBody
    head: Any  # Head
    obs: Moments | None = None  # statistics of observations, where the inner normalises
    context: Array | None = None  # [C], the body's further inputs; a task's own only
    eyes: tuple[vision.Eye, ...] | None = None  # for images
    rates: Any = None  # learned step sizes, a tree like the adapted part; meta-learned only


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
    keras: str = eqx.field(static=True, default="")  # package.module:make of a Keras 3 model, in place of hidden and activation
    activation: str = eqx.field(static=True, default="relu")  # paper: ReLU
    lr: float = eqx.field(static=True, default=0.1)  # α of the first step; paper: 0.1, point-goal 0.5
    later: float = eqx.field(static=True, default=0.5)  # factor on α after the first step; paper's test protocol: 0.5
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=1.0)
    normalise: str = eqx.field(static=True, default="std")  # of advantages: std, variance or none
    estimator: str = eqx.field(static=True, default="vpg")  # of the second order: vpg, lvc or dice (equations/surrogates.py)
    adapts: str = eqx.field(static=True, default="all")  # what a step moves: all, head (ANIL) or context (CAVIA)
    context: int = eqx.field(static=True, default=0)  # context parameters, from 0 in every task; with adapts=context only
    rates: str = eqx.field(static=True, default="fixed")  # learned from lr on: one per parameter (Meta-SGD), per layer and step
    first_order: bool = eqx.field(static=True, default=False)  # FOMAML: no gradient through the inner gradient
    normalise_obs: bool = eqx.field(static=True, default=False)  # by running statistics; paper: no
    std: float = eqx.field(static=True, default=1.0)  # initial, learned; paper: 1
    scale: float = eqx.field(static=True, default=1.0)  # of the head's initial weights
    weights: str = eqx.field(static=True, default="advantage")  # of log-likelihoods; "return": the bare reward-to-go
    vision: str = eqx.field(static=True, default="auto")  # "conv": images by convolutions, as auto has it; "flat": as vectors
    inherits: bool = eqx.field(static=True, default=True)  # False: every task starts from random parameters (a baseline)

    def check(self) -> None:
        accept("inner.activation", self.activation, ACTIVATIONS)
        accept("inner.normalise", self.normalise, NORMALISE)
        accept("inner.estimator", self.estimator, ESTIMATORS)
        accept("inner.adapts", self.adapts, ADAPTS)
        accept("inner.rates", self.rates, RATES)
        accept("inner.weights", self.weights, WEIGHTS)
        vision.check(self.vision, self.spaces.obs)
        if self.keras:
            keras_body.model(self.keras, self._inputs)
        at_least("inner.context", self.context, 0)
        if (self.adapts == "context") != (self.context > 0):
            raise ValueError(
                f"inner.adapts is {self.adapts!r} and inner.context {self.context}; a context is adapted where there is one: "
                "set adapts to context and context to its size (CAVIA: 50 at most), or neither."
            )
        if not self.std > 0:
            raise ValueError(f"inner.std is {self.std}; a standard deviation must be above 0.")

    @property
    def sighted(self) -> bool:
        return True

    @property
    def _inputs(self) -> int:
        return vision.seen_width(self.vision, self.spaces.obs) + self.context

    def init(self, key: Array) -> PolicyNet:
        key_body, key_head = jax.random.split(key)
        if self.keras:
            body = keras_body.KerasBody.init(key_body, self.keras, self._inputs)
            features = keras_body.features(self.keras, self._inputs)
        else:
            body, features = Perceptron.init(key_body, self._inputs, self.hidden), (self._inputs, *self.hidden)[-1]
        head = Head.init(key_head, features, self.spaces.action, scale=self.scale, std=self.std)
        obs = Moments.empty(vision.flat_width(self.vision, self.spaces.obs)) if self.normalise_obs else None
        net = PolicyNet(body, head, obs, eyes=vision.make(self.vision, jax.random.fold_in(key, 2), self.spaces.obs))
        if self.rates == "fixed":
            return net
        each = max(self.plan.chunks - 1, 1)
        shaped = lambda p: p.shape if self.rates == "parameter" else (each,)  # noqa: E731
        return net._replace(rates=jax.tree.map(lambda p: jnp.full(shaped(p), self.lr), self._own(net)))

    def absorb(self, meta: PolicyNet, lives: Lifetime) -> PolicyNet:
        if meta.obs is None:
            return meta
        rows = lives.chunks
        return meta._replace(obs=meta.obs.absorb(vision.flat(meta.eyes, self.spaces.obs, rows.step.obs), rows.mask))

    def adapted(self, meta: PolicyNet, fast: GradientFast) -> PolicyNet | None:
        return None if self.adapts == "context" else _joined(meta, fast.net)

    def _own(self, net: PolicyNet) -> PolicyNet:
        """The part of `net` that a task has to itself, as it enters the task."""
        if self.adapts == "all":
            return PolicyNet(net.body, net.head, eyes=net.eyes)
        if self.adapts == "head":
            return PolicyNet(None, net.head)
        return PolicyNet(None, None, context=jnp.zeros(self.context))

    def _see(self, net: PolicyNet, obs: Any) -> Array:
        return vision.look(net.eyes, net.obs, self.spaces.obs, obs)

    def _policy(self, net: PolicyNet, x: Array) -> Dist:
        """The distribution at standardised observations x [..., O]. Rows are one axis inside: the transposes of products
        with more are half as fast."""
        rows = x.reshape(-1, x.shape[-1])
        if net.context is not None:
            rows = jnp.concatenate([rows, jnp.broadcast_to(net.context, (len(rows), self.context))], -1)
        dist = net.head(net.body(rows, self.activation))
        return jax.tree.map(lambda y: y.reshape(*x.shape[:-1], *y.shape[1:]), dist)

    def begin(self, meta: PolicyNet, key: Array) -> GradientFast:
        return GradientFast(self._own(meta if self.inherits else self.init(key)), jnp.zeros((), jnp.int32))

    def decide(self, meta: PolicyNet, fast: GradientFast, obs: Any) -> Decision:
        net = _joined(meta, fast.net)
        x = self._see(net, obs)
        return Decision(self._policy(net, x), jnp.zeros(x.shape[:-1]))

    def unroll(self, meta: PolicyNet, fast: GradientFast, steps: Any) -> tuple[GradientFast, Decision]:
        return fast, self.decide(meta, fast, steps.obs)

    def learn(self, meta: PolicyNet, fast: GradientFast, chunk: Chunk, key: Array) -> GradientFast:
        net = _joined(meta, fast.net)
        # The baseline is linear in vectors; of thousands of pixels it could not be solved.
        known = self._see(net, chunk.step.obs) if net.eyes is None else vectors(self.spaces.obs, chunk.step.obs)
        first, mask, ends = chunk.step.first, chunk.mask, chunk.terminated | chunk.truncated
        advantage = credit(self.weights, known, chunk.reward, first, ends, mask, self.discount, self.gae_lambda, self.normalise)

        def loss(own: PolicyNet) -> Array:
            net = _joined(meta, own)
            x = known if net.eyes is None else self._see(net, chunk.step.obs)
            log_prob = self._policy(net, x).log_prob(chunk.action)
            return surrogate(self.estimator, log_prob, chunk.log_prob, advantage, first, mask)

        gradient = jax.grad(loss)(fast.net)
        if self.first_order:
            gradient = jax.lax.stop_gradient(gradient)
        moved = jax.tree.map(lambda p, g, r: p - r * g, fast.net, gradient, self._rates(meta, fast))
        return GradientFast(moved, fast.steps + 1)

    def _rates(self, meta: PolicyNet, fast: GradientFast) -> PolicyNet:
        """The size of this step for every parameter; beyond the learned ones, `later` times the last of them."""
        if meta.rates is None or self.rates == "parameter":
            factor = jnp.where(fast.steps == 0, 1.0, self.later)
            rates = jax.tree.map(lambda _: self.lr, fast.net) if meta.rates is None else meta.rates
            return jax.tree.map(lambda r: r * factor, rates)
        return jax.tree.map(
            lambda r: r[jnp.minimum(fast.steps, r.size - 1)] * jnp.where(fast.steps < r.size, 1.0, self.later), meta.rates
        )


def _joined(meta: PolicyNet, own: PolicyNet) -> PolicyNet:
    """A task's own parameters, and the meta-learned ones wherever it has none."""
    pairs: Any = zip(meta, own, strict=True)
    return PolicyNet(*(shared if mine is None else mine for shared, mine in pairs))
