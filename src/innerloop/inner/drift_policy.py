"""A policy optimiser with a learned drift: LPO, learned policy optimisation (Lu et al. 2022, arXiv 2210.05639).

The agent of a task begins with random parameters: a policy and a critic, each a net of its own. `learn` is epochs of minibatch
steps on

    − mean ( r A − f(r, A) ),      f = ReLU( f_0(r, A) + g_φ(x(r, A)) − ξ ),      r = π(a | s) / π_acted(a | s)

as PPO makes them, with the drift f in place of its clip. g_φ is what is meta-learned, by lives as long as one likes. Not what
trains it: that is evolution (`outer/evolution.py`), for a life has too many steps to differentiate through.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Chunk, Decision, Inner, Plan, Spaces, accept, at_least
from innerloop.core.spaces import encode, width
from innerloop.equations.clipping import clipped_drift, discovered_drift
from innerloop.equations.returns import gae, masked_mean, standardise
from innerloop.nets.layers import ACTIVATIONS, Dense, Head, Perceptron

BASES = ("ppo", "dpo", "none")
FEATURES = 8


class Drift(NamedTuple):
    """g_φ, what is meta-learned: one hidden layer, and no biases, so that g_φ(0) = 0."""

    hidden: Array  # [8, W]
    out: Array  # [W]


class Net(NamedTuple):
    """Parameters of an agent; policy and critic share nothing, for the critic's errors are in units of the reward."""

    body: Perceptron
    policy: Head
    critic: Perceptron
    value: Dense


class Learner(NamedTuple):
    """An agent under way."""

    net: Any  # Net
    optimiser: Any


class Batch(NamedTuple):
    """What the steps of one call of `learn` are made on, leaves [M, ...]."""

    obs: Array
    action: Any
    log_prob: Array
    advantage: Array
    target: Array
    mask: Array


class DriftPolicy(Inner[Drift, Learner]):
    """PPO with a drift from meta; every drift is valid (nowhere negative, and flat and 0 at r = 1), whatever meta is."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))  # of policy and critic
    activation: str = eqx.field(static=True, default="tanh")
    lr: float = eqx.field(static=True, default=3e-3)  # Adam
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)  # of rows of the chunk
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=0.95)
    value_weight: float = eqx.field(static=True, default=0.5)
    entropy_weight: float = eqx.field(static=True, default=0.01)
    max_norm: float = eqx.field(static=True, default=0.5)  # of the policy's gradient, and of the critic's
    std: float = eqx.field(static=True, default=0.5)  # initial, in units of the action space; Box actions only
    width: int = eqx.field(static=True, default=128)  # W of g_φ
    scale: float = eqx.field(static=True, default=0.01)  # of g_φ's initial last layer: begin near f_0
    base: str = eqx.field(static=True, default="ppo")  # f_0: the drift of PPO's clip, DPO's, or none
    clip: float = eqx.field(static=True, default=0.2)  # of PPO's f_0
    slack: float = eqx.field(static=True, default=1e-4)  # ξ: the drift is 0 all around r = 1

    def check(self) -> None:
        accept("inner.activation", self.activation, ACTIVATIONS)
        accept("inner.base", self.base, BASES)
        for name in ("epochs", "minibatches", "width"):
            at_least(f"inner.{name}", getattr(self, name), 1)
        for name in ("lr", "max_norm", "slack", "std"):
            if not getattr(self, name) > 0:
                raise ValueError(f"inner.{name} is {getattr(self, name)}; it must be above 0.")
        rows = self.plan.steps * self.plan.streams
        if rows % self.minibatches:
            raise ValueError(
                f"a chunk has {rows} rows (inner.plan.steps × streams); inner.minibatches ({self.minibatches}) must divide it."
            )

    def init(self, key: Array) -> Drift:
        key_hidden, key_out = jax.random.split(key)
        out = Dense.init(key_out, self.width, 1, self.scale).weight[:, 0]
        return Drift(Dense.init(key_hidden, FEATURES, self.width).weight, out)

    def _steps(self) -> optax.GradientTransformation:
        """The agent's optimiser. `eps_root` keeps its own derivative finite where a gradient is 0."""
        return optax.adam(self.lr, eps=1e-5, eps_root=1e-12)

    def begin(self, meta: Drift, key: Array) -> Learner:
        key_body, key_policy, key_critic, key_value = jax.random.split(key, 4)
        inputs = width(self.spaces.obs)
        size = (inputs, *self.hidden)[-1]
        net: Any = Net(
            Perceptron.init(key_body, inputs, self.hidden, orthogonal=True),
            Head.init(key_policy, size, self.spaces.action, scale=0.01, std=self.std),
            Perceptron.init(key_critic, inputs, self.hidden, orthogonal=True),
            Dense.init(key_value, size, 1),
        )
        return Learner(net, self._steps().init(net))

    def _value(self, net: Net, x: Array) -> Array:
        return net.value(net.critic(x, self.activation))[..., 0]

    def decide(self, meta: Drift, fast: Learner, obs: Any) -> Decision:
        x = encode(self.spaces.obs, obs)
        return Decision(fast.net.policy(fast.net.body(x, self.activation)), self._value(fast.net, x))

    def unroll(self, meta: Drift, fast: Learner, steps: Any) -> tuple[Learner, Decision]:
        return fast, self.decide(meta, fast, steps.obs)

    def drift(self, meta: Drift, log_ratio: Array, advantage: Array) -> Array:
        """f(r, A), elementwise. Where r = 1 all features are 0, g_φ is 0, and ξ keeps ReLU shut with its slope."""
        x = features(log_ratio, advantage)
        learned = jnp.tanh(x @ meta.hidden) @ meta.out
        first = 0.0
        if self.base == "ppo":
            first = clipped_drift(log_ratio, advantage, self.clip)
        if self.base == "dpo":
            first = discovered_drift(log_ratio, advantage)
        return jax.nn.relu(first + learned - self.slack)

    def _batch(self, net: Net, chunk: Chunk) -> Batch:
        """Advantages and targets by the critic as it entered. Nothing crosses an episode's end, nor a row that is no
        transition."""
        x, mask = encode(self.spaces.obs, chunk.step.obs), chunk.mask
        v, following = self._value(net, x), self._value(net, encode(self.spaces.obs, chunk.next_obs))
        v, following, reward = (jnp.where(mask, part, 0.0) for part in (v, following, chunk.reward))
        gap = ~mask | jnp.concatenate([~mask[1:], jnp.zeros_like(mask[:1])])
        cuts, zero = chunk.terminated | chunk.truncated | gap, chunk.terminated | ~mask
        over = jax.vmap(gae, (1, 1, 1, 1, 1, None, None), 1)
        advantage = over(reward, v, following, cuts, zero, self.discount, self.gae_lambda)
        made = Batch(x, chunk.action, chunk.log_prob, standardise(advantage, mask), advantage + v, mask)
        return jax.lax.stop_gradient(jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), made))

    def loss(self, meta: Drift, net: Net, batch: Batch) -> Array:
        """Of a minibatch; a scalar."""
        dist = net.policy(net.body(batch.obs, self.activation))
        log_ratio = jnp.where(batch.mask, dist.log_prob(batch.action) - batch.log_prob, 0.0)
        gain = jnp.exp(log_ratio) * batch.advantage - self.drift(meta, log_ratio, batch.advantage)
        error = (self._value(net, batch.obs) - batch.target) ** 2
        total = -gain + 0.5 * self.value_weight * error - self.entropy_weight * dist.entropy()
        return masked_mean(total, batch.mask)

    def learn(self, meta: Drift, fast: Learner, chunk: Chunk, key: Array) -> Learner:
        batch, optimiser = self._batch(fast.net, chunk), self._steps()
        count = batch.mask.shape[0]

        def step(carry: Learner, rows: Array) -> tuple[Learner, None]:
            net, state = carry
            some = jax.tree.map(lambda x: x[rows], batch)
            gradient: Any = self._clipped(jax.grad(self.loss, 1)(meta, net, some))
            change, state = optimiser.update(gradient, state, net)
            return Learner(optax.apply_updates(net, change), state), None

        # The same orders in every chunk: what is learned is a function of the experience alone.
        orders = jax.vmap(lambda k: jax.random.permutation(k, count))(jax.random.split(jax.random.key(0), self.epochs))
        return jax.lax.scan(step, fast, orders.reshape(self.epochs * self.minibatches, -1))[0]

    def _clipped(self, gradient: Net) -> Net:
        def clip(parts: Any) -> Any:
            squared = sum(jnp.sum(x**2) for x in jax.tree.leaves(parts))
            factor = self.max_norm / jnp.sqrt(jnp.maximum(squared, self.max_norm**2))
            return jax.tree.map(lambda x: factor * x, parts)

        return Net(*clip(gradient[:2]), *clip(gradient[2:]))


def features(log_ratio: Array, advantage: Array) -> Array:
    """x(r, A) [..., 8], all 0 at r = 1: 1 − r and log r, their squares, and these four times A."""
    gap = -jnp.expm1(log_ratio)
    moved = jnp.stack([gap, gap**2, log_ratio, log_ratio**2], -1)
    return jnp.concatenate([moved, moved * advantage[..., None]], -1)
