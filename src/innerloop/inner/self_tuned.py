"""An actor-critic whose own settings are what is meta-learned: discount, λ, weight of the entropy, step size (Xu et al. 2018,
arXiv 1805.09801; Zahavy et al. 2020, STAC, arXiv 2002.12928).

`learn` is one step of advantage actor-critic on the chunk, differentiable in the settings. With `tunes`=() it is an ordinary
actor-critic that learns each task from scratch: the baseline of learned rules. Not what tunes: `outer/meta_gradient.py`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Chunk, Decision, Inner, Plan, Spaces, accept
from innerloop.core.spaces import encode, width
from innerloop.equations.returns import gae, masked_mean
from innerloop.nets.layers import ACTIVATIONS, Dense, Head, Perceptron

TUNED = ("discount", "gae_lambda", "entropy_weight", "lr")


class Tuning(NamedTuple):
    """Settings in the form in which they are unbounded: logits of discount and λ, logarithms of the others; scalars, or None
    where one is not tuned."""

    discount: Array | None
    gae_lambda: Array | None
    entropy_weight: Array | None
    lr: Array | None


class ActorCriticNet(NamedTuple):
    """Parameters θ of an agent."""

    body: Perceptron
    policy: Head
    value: Dense


class Learner(NamedTuple):
    """An agent under way."""

    net: Any  # ActorCriticNet
    optimiser: Any


class SelfTuned(Inner[Tuning, Learner]):
    """`hidden`=() makes the agent tabular where observations are numbers, linear elsewhere. Settings that are not tuned stay as
    given; those that are begin there."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True, default=())
    activation: str = eqx.field(static=True, default="relu")
    tunes: tuple[str, ...] = eqx.field(static=True, default=TUNED)
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=0.95)
    entropy_weight: float = eqx.field(static=True, default=0.003)
    lr: float = eqx.field(static=True, default=0.1)  # Adam; best with the weight above on the mazes of grid-world's validation
    value_weight: float = eqx.field(static=True, default=0.5)
    normalise: bool = eqx.field(static=True, default=False)  # advantages, to standard deviation 1 in each chunk

    def check(self) -> None:
        accept("inner.activation", self.activation, ACTIVATIONS)
        for name in self.tunes:
            accept("inner.tunes", name, TUNED)
        for name in ("discount", "gae_lambda"):
            value, open_ends = getattr(self, name), name in self.tunes
            if not (0 < value < 1 if open_ends else 0 <= value <= 1):
                raise ValueError(f"inner.{name} is {value}; accepted: from 0 to 1, without the ends where it is tuned.")
        if not self.lr > 0:
            raise ValueError(f"inner.lr is {self.lr}; a step size must be above 0.")
        if self.entropy_weight < 0 or (self.entropy_weight == 0 and "entropy_weight" in self.tunes):
            raise ValueError(f"inner.entropy_weight is {self.entropy_weight}; accepted: 0 or more, above 0 where it is tuned.")

    def init(self, key: Array) -> Tuning:
        raw = {name: math.log(x / (1 - x)) for name in TUNED[:2] if name in self.tunes for x in (getattr(self, name),)}
        raw |= {name: math.log(getattr(self, name)) for name in TUNED[2:] if name in self.tunes}
        return Tuning(*(jnp.float32(raw[name]) if name in raw else None for name in TUNED))

    def settings(self, meta: Tuning) -> dict[str, Any]:
        """By name, as numbers that mean what they are called."""
        shapes = {"discount": jax.nn.sigmoid, "gae_lambda": jax.nn.sigmoid, "entropy_weight": jnp.exp, "lr": jnp.exp}
        raw = meta._asdict()
        return {name: getattr(self, name) if raw[name] is None else shapes[name](raw[name]) for name in TUNED}

    def readings(self, meta: Tuning) -> dict[str, Array]:
        return {name: jnp.asarray(value) for name, value in self.settings(meta).items() if name in self.tunes}

    def begin(self, meta: Tuning, key: Array) -> Learner:
        key_body, key_policy, key_value = jax.random.split(key, 3)
        inputs = width(self.spaces.obs)
        size = (inputs, *self.hidden)[-1]
        net: Any = ActorCriticNet(
            Perceptron.init(key_body, inputs, self.hidden),
            Head.init(key_policy, size, self.spaces.action, scale=0.1, std=0.5),
            Dense.init(key_value, size, 1, scale=0.1),
        )
        return Learner(net, _direction().init(net))

    def _read(self, net: ActorCriticNet, obs: Any) -> tuple[Any, Array]:
        x = net.body(encode(self.spaces.obs, obs), self.activation)
        return net.policy(x), net.value(x)[..., 0]

    def decide(self, meta: Tuning, fast: Learner, obs: Any) -> Decision:
        return Decision(*self._read(fast.net, obs))

    def unroll(self, meta: Tuning, fast: Learner, steps: Any) -> tuple[Learner, Decision]:
        return fast, self.decide(meta, fast, steps.obs)

    def learn(self, meta: Tuning, fast: Learner, chunk: Chunk, key: Array) -> Learner:
        chosen = self.settings(meta)
        mask, ends = chunk.mask, chunk.terminated | chunk.truncated
        _, value = self._read(fast.net, chunk.step.obs)
        _, ahead = self._read(fast.net, chunk.next_obs)
        value, ahead, reward = (jnp.where(mask, x, 0.0) for x in (value, ahead, chunk.reward))
        over = jax.vmap(gae, (1, 1, 1, 1, 1, None, None), 1)
        advantage = over(reward, value, ahead, ends | ~mask, chunk.terminated, chosen["discount"], chosen["gae_lambda"])
        target = advantage + value
        if self.normalise:
            advantage = advantage / (jnp.sqrt(masked_mean(advantage**2, mask)) + 1e-6)

        def loss(net: ActorCriticNet) -> Array:
            dist, value = self._read(net, chunk.step.obs)
            policy = -masked_mean(dist.log_prob(chunk.action) * advantage, mask)
            entropy = masked_mean(dist.entropy(), mask)
            return policy + self.value_weight * masked_mean((value - target) ** 2, mask) - chosen["entropy_weight"] * entropy

        change, optimiser = _direction().update(jax.grad(loss)(fast.net), fast.optimiser)
        net = jax.tree.map(lambda p, c: p - chosen["lr"] * c, fast.net, change)
        return Learner(net, optimiser)


def _direction() -> optax.GradientTransformation:
    """Adam without its step size. `eps_root` keeps its own derivative finite where a gradient is 0, as most are in a table."""
    return optax.scale_by_adam(eps_root=1e-8)
