"""A discovered update rule: DiscoRL (Oh et al. 2025, Nature, doi 10.1038/s41586-025-09761-x, Methods), the form of Disco103.

The agent of a task begins with random parameters θ: a policy π(s), a prediction y(s), and, by a model of one step, a prediction
z(s, a), action values q(s, a) and the policy after each action. `learn` takes steps on

    KL(π̂ ‖ π) + KL(ŷ ‖ y) + KL(ẑ ‖ z_a) + KL(π(s') ‖ following_a) + α_q CE(two-hot of a Retrace target, q_a)

whose targets π̂, ŷ, ẑ come from a net that reads the chunk backwards and remembers the lifetime (`nets/disco.py`). That net is
what is meta-learned, or read from a published file. Not what trains it (`outer/meta_gradient.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Categorical, Chunk, Decision, Discrete, Inner, Plan, Spaces, at_least
from innerloop.core.spaces import encode, width
from innerloop.equations.returns import masked_mean, retrace
from innerloop.equations.two_hot import hyperbolic, mean_of, parabolic, two_hot
from innerloop.nets.disco import DiscoNet, Outlook, Row, Targets, taken
from innerloop.nets.layers import Dense, Perceptron
from innerloop.nets.memory.lstm import LSTM, Held


class AgentNet(NamedTuple):
    """Parameters θ of an agent. Of the torso's layers the last has no activation, as in the published agent."""

    body: Perceptron
    last: Dense
    policy: Dense
    y: Dense
    root: Dense
    model: LSTM
    z: tuple[Dense, Dense]
    following: tuple[Dense, Dense]
    q: tuple[Dense, Dense]


class Moments(NamedTuple):
    """Running moments, by an exponential average that begins at 0; scalars."""

    first: Array
    second: Array
    unseen: Array  # the weight that is still on that 0

    @staticmethod
    def empty() -> Moments:
        return Moments(jnp.zeros(()), jnp.zeros(()), jnp.ones(()))

    def absorb(self, x: Array, mask: Array, decay: float) -> Moments:
        first = decay * self.first + (1.0 - decay) * masked_mean(x, mask)
        second = decay * self.second + (1.0 - decay) * masked_mean(x**2, mask)
        return Moments(first, second, self.unseen * decay)

    def standardise(self, x: Array) -> Array:
        mean, square = self.first / (1.0 - self.unseen), self.second / (1.0 - self.unseen)
        return (x - mean) / (jnp.sqrt(jnp.maximum(square - mean**2, 0.0) + 1e-12) + 1e-6)


class Apprentice(NamedTuple):
    """An agent under way."""

    net: Any  # AgentNet
    slow: Any  # AgentNet, following it
    optimiser: Any
    held: Held  # the rule's memory of the lifetime
    advantages: Moments


class DiscoveredRule(Inner[DiscoNet, Apprentice]):
    """Sizes of the rule are Disco103's, and of the agent the published one's."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    predictions: int = eqx.field(static=True, default=600)  # P
    width: int = eqx.field(static=True, default=256)  # H of the rule, along a trajectory
    life_width: int = eqx.field(static=True, default=128)  # M of the rule, along a lifetime
    hidden: tuple[int, ...] = eqx.field(static=True, default=(512, 512))  # of the agent's torso
    model_width: int = eqx.field(static=True, default=128)  # of the agent's model of one step
    head_width: int = eqx.field(static=True, default=128)  # of the heads behind that model
    lr: float = eqx.field(static=True, default=3e-4)  # of the agent; the published example on Catch: 1e-2
    max_step: float = eqx.field(static=True, default=1.0)  # of a parameter, in units of lr
    passes: int = eqx.field(static=True, default=1)  # updates on each chunk
    discount: float = eqx.field(static=True, default=0.997)
    td_lambda: float = eqx.field(static=True, default=0.95)
    bins: int = eqx.field(static=True, default=601)  # of action values
    largest: float = eqx.field(static=True, default=300.0)  # the last bin, in squashed units
    value_weight: float = eqx.field(static=True, default=0.2)  # α_q
    slowness: float = eqx.field(static=True, default=0.9)  # of the slow copy, per update
    decay: float = eqx.field(static=True, default=0.99)  # of the running moments, per update

    def check(self) -> None:
        if not isinstance(self.spaces.action, Discrete):
            raise ValueError(f"a discovered rule is of Discrete actions; these are {self.spaces.action}.")
        for name in ("predictions", "width", "life_width", "model_width", "head_width", "passes"):
            at_least(f"inner.{name}", getattr(self, name), 1)
        at_least("inner.bins", self.bins, 2)
        if not self.hidden:
            raise ValueError("inner.hidden is empty; the agent's torso has at least one layer.")
        if not self.lr > 0:
            raise ValueError(f"inner.lr is {self.lr}; a step size must be above 0.")

    def init(self, key: Array) -> DiscoNet:
        return DiscoNet.init(key, self.predictions, self.width, self.life_width)

    def begin(self, meta: DiscoNet, key: Array) -> Apprentice:
        keys = iter(jax.random.split(key, 12))
        actions, size = self.spaces.action.width, self.hidden[-1]
        before = (width(self.spaces.obs), *self.hidden[:-1])

        def flat(outputs: int) -> Dense:
            drawn = jax.nn.initializers.truncated_normal(0.01)(next(keys), (size, outputs), jnp.float32)
            return Dense(drawn, jnp.zeros(outputs))

        def head(outputs: int) -> tuple[Dense, Dense]:
            return (
                Dense.init(next(keys), self.model_width, self.head_width),
                Dense.init(next(keys), self.head_width, outputs),
            )

        net: Any = AgentNet(
            Perceptron.init(next(keys), before[0], before[1:]),
            Dense.init(next(keys), before[-1], size),
            flat(actions),
            flat(self.predictions),
            Dense.init(next(keys), size, self.model_width),
            LSTM.init(next(keys), actions, self.model_width),
            head(self.predictions),
            head(actions),
            head(self.bins),
        )
        return Apprentice(net, net, _adam_init(net), meta.born(), Moments.empty())

    def _torso(self, net: AgentNet, obs: Any) -> Array:
        return net.last(net.body(encode(self.spaces.obs, obs), "relu"))

    def outlook(self, net: AgentNet, obs: Any) -> Outlook:
        """At observations [..., *obs]."""
        x = self._torso(net, obs)
        cell = net.root(x)
        count, lead = self.spaces.action.width, x.shape[:-1]
        each = (*lead, count)
        root = Held(*(jnp.broadcast_to(x[..., None, :], (*each, x.shape[-1])) for x in (jnp.tanh(cell), cell)))
        after, _ = net.model.step(root, jnp.broadcast_to(jnp.eye(count), (*each, count)), jnp.zeros(each, bool))

        def head(layers: tuple[Dense, Dense]) -> Array:
            return layers[1](jax.nn.relu(layers[0](after.h)))

        return Outlook(net.policy(x), net.y(x), head(net.z), head(net.following), head(net.q))

    def _cut(self, net: AgentNet, obs: Any) -> Outlook:
        """What the rule reads: in meta-training only what y and z mean is credited through it, as in the published one."""
        outlook = self.outlook(net, obs)
        return outlook._replace(policy=jax.lax.stop_gradient(outlook.policy))

    def decide(self, meta: DiscoNet, fast: Apprentice, obs: Any) -> Decision:
        dist = Categorical(fast.net.policy(self._torso(fast.net, obs)))
        return Decision(dist, jnp.zeros(dist.entropy().shape))

    def unroll(self, meta: DiscoNet, fast: Apprentice, steps: Any) -> tuple[Apprentice, Decision]:
        return fast, self.decide(meta, fast, steps.obs)

    def _values(self, q: Array) -> Array:
        """Action values in units of the reward, of logits [..., bins]."""
        return parabolic(mean_of(q, self._bins))

    @property
    def _bins(self) -> Array:
        return jnp.linspace(-self.largest, self.largest, self.bins)

    def row(
        self, chunk: Chunk, now: Outlook, then: Outlook, slow: Outlook, slow_then: Outlook, moments: Moments
    ) -> tuple[Row, Array, Moments]:
        """What the rule reads of a chunk besides the outlooks, the targets of q [T, N], and the moments after it. Nothing
        crosses an episode's end, nor a row that is no transition."""
        action, mask = chunk.action, chunk.mask
        policy, arrived = jax.nn.softmax(now.policy), jax.nn.softmax(then.policy)
        q, slow_q, slow_q_then = self._values(now.q), self._values(slow.q), self._values(slow_then.q)
        value, value_then = jnp.sum(policy * q, -1), jnp.sum(arrived * self._values(then.q), -1)
        slow_value, slow_value_then = jnp.sum(policy * slow_q, -1), jnp.sum(arrived * slow_q_then, -1)
        ratio = jnp.exp(Categorical(now.policy).log_prob(action) - chunk.log_prob)
        gap = ~mask | jnp.concatenate([~mask[1:], jnp.zeros_like(mask[:1])])
        ends = chunk.terminated | chunk.truncated | gap
        reward = jnp.where(mask, chunk.reward, 0.0)
        discount = self.discount * (1.0 - chunk.terminated)
        parts = (reward, discount, slow_value_then, taken(slow_q, action), self.td_lambda * jnp.minimum(ratio, 1.0), ends)
        target = jax.vmap(retrace, 1, 1)(*(jnp.where(mask, x, 0) if x.dtype != bool else x for x in parts))
        advantage = target - slow_value
        moments = moments.absorb(advantage, mask, self.decay)
        gain = slow_q - slow_value[..., None]
        row = Row(
            reward,
            chunk.terminated.astype(reward.dtype),
            ends,
            mask,
            action,
            chunk.dist.logits,
            value,
            value_then,
            advantage,
            moments.standardise(advantage),
            slow_q,
            gain,
            moments.standardise(gain),
        )
        return row, target, moments

    def losses(self, outlook: Outlook, chunk: Chunk, targets: Targets, q_target: Array, following: Array) -> Array:
        """Of every row [T, N]. `q_target` in units of the reward; `following`: logits of the policy where the action led."""
        action = chunk.action
        total = _apart(targets.policy, outlook.policy) + _apart(targets.y, outlook.y)
        total += _apart(targets.z, taken(outlook.z, action))
        total += jnp.where(chunk.terminated, 0.0, _apart(following, taken(outlook.following, action)))
        code = two_hot(hyperbolic(q_target), self._bins)
        return total - self.value_weight * jnp.sum(code * jax.nn.log_softmax(taken(outlook.q, action)), -1)

    def learn(self, meta: DiscoNet, fast: Apprentice, chunk: Chunk, key: Array) -> Apprentice:
        def update(fast: Apprentice, _: None) -> tuple[Apprentice, None]:
            now, then = (self._cut(fast.net, obs) for obs in (chunk.step.obs, chunk.next_obs))
            slow, slow_then = (self._cut(fast.slow, obs) for obs in (chunk.step.obs, chunk.next_obs))
            row, q_target, moments = jax.lax.stop_gradient(self.row(chunk, now, then, slow, slow_then, fast.advantages))
            targets, held = meta.targets(fast.held, row, now, then, slow, slow_then)

            def loss(net: AgentNet) -> Array:
                outlook = self.outlook(net, chunk.step.obs)
                return masked_mean(self.losses(outlook, chunk, targets, q_target, then.policy), chunk.mask)

            change, optimiser = _adam(jax.grad(loss)(fast.net), fast.optimiser)
            net = jax.tree.map(lambda x, step: x - self.lr * jnp.clip(step, -self.max_step, self.max_step), fast.net, change)
            slow = jax.tree.map(lambda old, new: self.slowness * old + (1.0 - self.slowness) * new, fast.slow, fast.net)
            return Apprentice(net, slow, optimiser, held, moments), None

        return jax.lax.scan(update, fast, length=self.passes)[0]


def _apart(target: Array, logits: Array) -> Array:
    """KL between softmaxes, the target's first; [..., K] → [...]."""
    log_target = jax.nn.log_softmax(target)
    return jnp.sum(jnp.exp(log_target) * (log_target - jax.nn.log_softmax(logits)), -1)


def _adam_init(net: Any) -> Any:
    return optax.scale_by_adam().init(net)


def _adam(gradient: Any, state: Any) -> tuple[Any, Any]:
    """Adam's direction, its denominator a constant to meta-gradients: where a gradient is 0, the root has no derivative."""
    count = state.count + 1
    mu = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mu, gradient)
    nu = jax.lax.stop_gradient(jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, state.nu, gradient))
    first, second = 1.0 - 0.9**count, 1.0 - 0.999**count
    step = jax.tree.map(lambda m, v: (m / first) / (jax.lax.stop_gradient(jnp.sqrt(v / second)) + 1e-8), mu, nu)
    return step, state._replace(count=count, mu=mu, nu=nu)
