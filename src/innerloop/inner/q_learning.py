"""Q-learning (Watkins 1989), linear in the encoded observation: a table where observations are discrete.

Not meta-learned: it has no meta-parameters, and begins every task anew. It is a teacher, whose histories show an agent that
gets better (Algorithm Distillation), and a reference for what a learner without prior knowledge needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Categorical, Decision, Discrete, Inner, Plan, Spaces, Step, select
from innerloop.core.spaces import encode, width


class Learned(NamedTuple):
    """What one life has learned; all [N, ...], each stream by itself."""

    weights: Array  # [N, D, A], Q(o, a) = x(o) · weights[:, a]
    seen: Array  # [N, D], x of the last observation
    steps: Array  # int32 [N], decisions so far


class QLearning(Inner[tuple[()], Learned]):
    """One step of Q-learning after every environment step; ε-greedy, with ε falling linearly over the life. What is credited
    is the last action by the next observation's values: where observations hide what was done before (probe-across), it
    does not get better."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    lr: float = eqx.field(static=True, default=0.5)  # α, divided by |x|²; 1 forgets all but the last target
    discount: float = eqx.field(static=True, default=0.9)
    optimism: float = eqx.field(static=True, default=1.0)  # initial Q of every action: what was not tried is tried
    epsilon: float = eqx.field(static=True, default=0.3)  # at first
    least: float = eqx.field(static=True, default=0.02)  # ε at last
    explores: float = eqx.field(static=True, default=0.6)  # share of the life in which ε falls

    def check(self) -> None:
        if not isinstance(self.spaces.action, Discrete):
            raise ValueError(f"Q-learning chooses among discrete actions; this family's are {self.spaces.action}.")
        if not (0.0 < self.least <= self.epsilon <= 1.0 and self.explores > 0.0 and self.lr > 0.0):
            raise ValueError(
                f"epsilon ({self.epsilon}) falls to least ({self.least}) in the share explores ({self.explores}) of a life; "
                "accepted: 0 < least ≤ epsilon ≤ 1, and explores and lr above 0."
            )

    def _features(self, obs: Any) -> Array:
        """One-hot for discrete observations, else their encoding and a 1; [..., D]."""
        if isinstance(self.spaces.obs, Discrete):
            return jax.nn.one_hot(obs, self.spaces.obs.n)
        x = encode(self.spaces.obs, obs)
        return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1))], -1)

    @property
    def _width(self) -> int:
        return self.spaces.obs.n if isinstance(self.spaces.obs, Discrete) else width(self.spaces.obs) + 1

    def init(self, key: Array) -> tuple[()]:
        return ()

    def begin(self, meta: tuple[()], key: Array) -> Learned:
        n, d = self.plan.streams, self._width
        weights = jnp.zeros((n, d, self.spaces.action.width))
        everywhere = slice(None) if isinstance(self.spaces.obs, Discrete) else slice(-1, None)
        return Learned(weights.at[:, everywhere].set(self.optimism), jnp.zeros((n, d)), jnp.zeros(n, jnp.int32))

    def observe(self, meta: tuple[()], fast: Learned, step: Step) -> Learned:
        best = jnp.max(_values(fast.weights, self._features(step.arrived)), -1)
        target = step.reward + self.discount * jnp.where(step.terminated, 0.0, best)
        taken = jax.nn.one_hot(step.action, self.spaces.action.width)
        error = target - jnp.sum(_values(fast.weights, fast.seen) * taken, -1)
        size = jnp.maximum(jnp.sum(fast.seen**2, -1), 1.0)
        change = (self.lr * error / size)[:, None, None] * fast.seen[:, :, None] * taken[:, None, :]
        seen = self._features(step.obs).astype(fast.seen.dtype)
        learned = Learned(fast.weights + change, seen, fast.steps + 1)
        anew = self.begin(meta, jax.random.key(0))._replace(seen=seen, steps=jnp.ones_like(fast.steps))
        return select(step.born, anew, learned)

    def decide(self, meta: tuple[()], fast: Learned, obs: Any) -> Decision:
        values = _values(fast.weights, self._features(obs))
        best = values > jnp.max(values, -1, keepdims=True) - 1e-5
        greedy = best / jnp.sum(best, -1, keepdims=True)
        total = self.explores * self.plan.chunks * self.plan.steps
        rate = jnp.maximum(self.epsilon * (1.0 - fast.steps / total), self.least)
        rate = jnp.broadcast_to(rate, greedy.shape[:-1])[..., None]
        return Decision(Categorical(jnp.log((1.0 - rate) * greedy + rate / greedy.shape[-1])), jnp.max(values, -1))


def _values(weights: Array, x: Array) -> Array:
    """Q of every action [..., A]; weights [..., D, A], x [..., D]."""
    return jnp.squeeze(x[..., None, :] @ weights, -2)
