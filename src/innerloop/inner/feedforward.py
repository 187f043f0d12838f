"""A policy net with a critic, which remembers nothing: what it does depends on what it sees alone.

Not a method of adaptation: a member of a population (`performance_model.py`), of which the best fitting is chosen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax import Array

from innerloop.core import Decision, Inner, Lifetime, Plan, Spaces, Step, accept
from innerloop.core.spaces import encode, width
from innerloop.nets.layers import ACTIVATIONS, Dense, Head, Perceptron
from innerloop.nets.moments import Moments


class FeedforwardMeta(NamedTuple):
    """Parameters of policy and critic, which share their hidden layers."""

    body: Perceptron
    policy: Head
    value: Dense
    obs: Moments | None = None


class Feedforward(Inner[FeedforwardMeta, tuple[()]]):
    """One net; nothing changes in a task."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    activation: str = eqx.field(static=True, default="tanh")
    normalise_obs: bool = eqx.field(static=True, default=False)  # by running statistics
    std: float = eqx.field(static=True, default=0.5)  # initial, in units of the action space; Box actions only

    def check(self) -> None:
        accept("inner.activation", self.activation, ACTIVATIONS)

    def init(self, key: Array) -> FeedforwardMeta:
        key_body, key_policy, key_value = jax.random.split(key, 3)
        inputs = width(self.spaces.obs)
        size = (inputs, *self.hidden)[-1]
        return FeedforwardMeta(
            Perceptron.init(key_body, inputs, self.hidden),
            Head.init(key_policy, size, self.spaces.action, scale=0.1, std=self.std),
            Dense.init(key_value, size, 1, scale=0.1),
            Moments.empty(inputs) if self.normalise_obs else None,
        )

    def begin(self, meta: FeedforwardMeta, key: Array) -> tuple[()]:
        return ()

    def absorb(self, meta: FeedforwardMeta, lives: Lifetime) -> FeedforwardMeta:
        if meta.obs is None:
            return meta
        rows = lives.chunks
        return meta._replace(obs=meta.obs.absorb(encode(self.spaces.obs, rows.step.obs), rows.mask))

    def decide(self, meta: FeedforwardMeta, fast: tuple[()], obs: Any) -> Decision:
        x = encode(self.spaces.obs, obs)
        y = meta.body(x if meta.obs is None else meta.obs.standardise(x), self.activation)
        return Decision(meta.policy(y), meta.value(y)[..., 0])

    def unroll(self, meta: FeedforwardMeta, fast: tuple[()], steps: Step) -> tuple[tuple[()], Decision]:
        return fast, self.decide(meta, fast, steps.obs)
