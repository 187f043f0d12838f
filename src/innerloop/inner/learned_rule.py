"""A learned update rule: LPG, the learned policy gradient (Oh et al. 2020, arXiv 2007.08794, §3 and its appendix).

The agent of a task begins with random parameters θ: a policy π_θ(a | s) and a prediction y_θ(s), a distribution over m
categories that means what the rule makes of it. `learn` is one step of

    Δθ ∝ E[ ∇ log π_θ(a | s) π̂ − α_y ∇ KL(y_θ(s) ‖ ŷ) ]

whose targets π̂ and ŷ come from a recurrent net that reads the chunk backwards: r, whether the episode ends, γ, π(a | s),
φ(y(s)), φ(y(s')). That net is what is meta-learned. Not what trains it: meta-gradients (`outer/meta_gradient.py`) or evolution.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Chunk, Decision, Discrete, Inner, Plan, Spaces, accept, at_least
from innerloop.core.spaces import encode, width
from innerloop.equations.returns import masked_mean
from innerloop.nets import memory as memories
from innerloop.nets.layers import ACTIVATIONS, Dense, Head, Perceptron

OPTIMISERS = ("adam", "sgd")


class Rule(NamedTuple):
    """What is meta-learned."""

    embed: Perceptron  # φ: m → 1, with its last layer
    embedded: Dense
    cell: memories.Cell
    policy: Dense  # H → 1, π̂
    prediction: Dense  # H → m, logits of ŷ


class AgentNet(NamedTuple):
    """Parameters θ of an agent."""

    body: Perceptron
    policy: Head
    prediction: Dense


class Agent(NamedTuple):
    """An agent under way."""

    net: Any  # AgentNet
    optimiser: Any
    cost: Array  # scalar, summed over its steps


class LearnedRule(Inner[Rule, Agent]):
    """`hidden`=() makes the agent tabular where observations are numbers, linear elsewhere."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True, default=())  # of the agent; paper, tabular grids: none
    activation: str = eqx.field(static=True, default="relu")
    optimiser: str = eqx.field(static=True, default="adam")  # of the agent
    lr: float = eqx.field(static=True, default=0.05)  # of the agent
    predictions: int = eqx.field(static=True, default=8)  # m; paper: 30, GROOVE: 8
    prediction_weight: float = eqx.field(static=True, default=0.5)  # α_y; GROOVE: 0.5
    discount: float = eqx.field(static=True, default=0.99)  # γ, an input of the rule
    width: int = eqx.field(static=True, default=64)  # H of the rule; paper: 256
    embed: int = eqx.field(static=True, default=16)  # units of φ; paper: 16
    policy_cost: float = eqx.field(static=True, default=0.005)  # weight of π̂²; paper: 0.001, GROOVE: 0.005
    target_cost: float = eqx.field(static=True, default=0.001)  # weight of |ŷ|²
    prediction_entropy: float = eqx.field(static=True, default=0.001)  # weight of the entropy of y, which is wanted

    def check(self) -> None:
        accept("inner.activation", self.activation, ACTIVATIONS)
        accept("inner.optimiser", self.optimiser, OPTIMISERS)
        for name, least in (("predictions", 2), ("width", 1), ("embed", 1), ("prediction_weight", 0)):
            at_least(f"inner.{name}", getattr(self, name), least)
        if not self.lr > 0:
            raise ValueError(f"inner.lr is {self.lr}; a step size must be above 0.")

    def init(self, key: Array) -> Rule:
        keys = jax.random.split(key, 5)
        m, size = self.predictions, self.width
        return Rule(
            Perceptron.init(keys[0], m, (self.embed,)),
            Dense.init(keys[1], self.embed, 1),
            memories.make("gru", keys[2], 6, size, 1, 1),
            Dense.init(keys[3], size, 1),
            Dense.init(keys[4], size, m),
        )

    def steps(self) -> optax.GradientTransformation:
        """The agent's optimiser. `eps_root` keeps its own derivative finite where a gradient is 0, as most are in a table."""
        return optax.adam(self.lr, eps_root=1e-8) if self.optimiser == "adam" else optax.sgd(self.lr)

    def begin(self, meta: Rule, key: Array) -> Agent:
        key_body, key_policy, key_prediction = jax.random.split(key, 3)
        inputs = width(self.spaces.obs)
        size = (inputs, *self.hidden)[-1]
        net: Any = AgentNet(
            Perceptron.init(key_body, inputs, self.hidden),
            Head.init(key_policy, size, self.spaces.action, scale=0.1, std=0.5),
            Dense.init(key_prediction, size, self.predictions),
        )
        return Agent(net, self.steps().init(net), jnp.zeros(()))

    def _read(self, net: AgentNet, obs: Any) -> tuple[Any, Array]:
        """The policy at observations [..., *obs], and log y [..., m]."""
        x = net.body(encode(self.spaces.obs, obs), self.activation)
        return net.policy(x), jax.nn.log_softmax(net.prediction(x))

    def decide(self, meta: Rule, fast: Agent, obs: Any) -> Decision:
        dist, _ = self._read(fast.net, obs)
        return Decision(dist, jnp.zeros(dist.entropy().shape))

    def unroll(self, meta: Rule, fast: Agent, steps: Any) -> tuple[Agent, Decision]:
        return fast, self.decide(meta, fast, steps.obs)

    def targets(self, meta: Rule, chunk: Chunk, log_prob: Array, y: Array, y_next: Array) -> tuple[Array, Array]:
        """π̂ [T, N] and log ŷ [T, N, m] of a chunk, from log π(a | s) [T, N], y(s) and y(s') [T, N, m]. Nothing crosses the end
        of an episode, nor a row that is no transition."""
        ends = chunk.terminated | chunk.truncated
        phi = [meta.embedded(meta.embed(x, "relu"))[..., 0] for x in (y, y_next)]
        likely = jnp.exp(log_prob) if isinstance(self.spaces.action, Discrete) else jax.nn.sigmoid(log_prob)
        gamma = jnp.full_like(log_prob, self.discount)
        seen = [chunk.reward, ends, gamma, likely, phi[0], jnp.where(chunk.terminated, 0.0, phi[1])]
        x = jnp.stack([jnp.where(chunk.mask, part, 0.0).astype(log_prob.dtype) for part in seen], -1)
        state = meta.cell.empty(ends.shape[1:], ends.shape[0])
        gap = ~chunk.mask | jnp.concatenate([~chunk.mask[1:], jnp.zeros_like(ends[:1])])
        _, read = meta.cell.unroll(state, x[::-1], (ends | gap)[::-1])
        read = jax.nn.relu(memories.wide(read)[::-1])
        return meta.policy(read)[..., 0], jax.nn.log_softmax(meta.prediction(read))

    def learn(self, meta: Rule, fast: Agent, chunk: Chunk, key: Array) -> Agent:
        _, following = self._read(fast.net, chunk.next_obs)

        def loss(net: AgentNet) -> tuple[Array, Array]:
            dist, log_y = self._read(net, chunk.step.obs)
            log_prob = dist.log_prob(chunk.action)
            seen = jax.lax.stop_gradient((log_prob, jnp.exp(log_y), jnp.exp(following)))
            policy, log_target = self.targets(meta, chunk, *seen)
            apart = jnp.sum(jnp.exp(log_y) * (log_y - log_target), -1)
            value = masked_mean(-log_prob * policy + self.prediction_weight * apart, chunk.mask)
            held = self.policy_cost * policy**2 + self.target_cost * jnp.sum(jnp.exp(2 * log_target), -1)
            held += self.prediction_entropy * jnp.sum(jnp.exp(log_y) * log_y, -1)
            return value, masked_mean(held, chunk.mask)

        gradient, cost = jax.grad(loss, has_aux=True)(fast.net)
        change, optimiser = self.steps().update(gradient, fast.optimiser, fast.net)
        return Agent(optax.apply_updates(fast.net, change), optimiser, fast.cost + cost)

    def cost(self, fast: Agent) -> Array:
        return fast.cost
