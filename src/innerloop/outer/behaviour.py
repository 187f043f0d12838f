"""Who lives in training where that is not the learner alone: what supervised and off-policy outers may learn from.

Not a way to adapt, and no agent that knows the task: labels are what an outer adds afterwards.

* "learner": the inner itself (with labels: DAgger, Ross et al. 2011).
* "uniform": uniformly random actions (DPT's Dark Room, Lee et al. 2023, arXiv 2306.14892).
* "habitual": every action drawn with frequencies that are each life's own, (1 − ω) Dirichlet(1) + ω a random action alone,
  ω ~ U{0, 0.1, …, 1} (DPT's bandits). A uniform agent never shows what much experience of one arm looks like.
* "mixed": the learner's actions and uniform ones, at a rate that each life draws anew from U[least, most].
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Categorical, Chunk, Decision, Inner, Lifetime, Normal, Plan, Spaces, Step, Uniform, life_keys
from innerloop.core.spaces import encode

BEHAVIOURS = ("learner", "uniform", "habitual", "mixed")


def behaviour(name: str, inner: Inner[Any, Any], least: float = 0.0, most: float = 1.0) -> Inner[Any, Any]:
    """The agent of this name around `inner`, with the same meta and plan; `least` and `most` for "mixed" only."""
    if name == "learner":
        return inner
    make: Any = Mixed  # its `plan` and `spaces` are properties, which a type checker takes for missing arguments
    return make(inner, least, most) if name == "mixed" else make(inner, 1.0, 1.0, name == "habitual")


def relived(inner: Inner[Any, Any], meta: Any, life: Lifetime) -> Lifetime:
    """What another agent lived, as experience of `inner` from its beginning: `replay` needs a fast state of its kind."""
    start = inner.begin(meta, life_keys(life.key, inner.plan)[0])
    return life._replace(start=start, fresh=jnp.ones_like(life.fresh))


class MixedFast(NamedTuple):
    """The learner's fast state (none where it never acts), and how this life's actions are drawn."""

    fast: Any
    rate: Array  # [N], the share of actions that are not the learner's
    habit: Array  # [N, A], the frequencies of those; [N, 0] for boxes


class Mixed(Inner[Any, MixedFast]):
    """`inner` with a share of its actions replaced. In a box the share widens its noise instead, up to half the box; alone it
    is uniform."""

    inner: Inner[Any, Any]
    least: float = eqx.field(static=True, default=0.0)
    most: float = eqx.field(static=True, default=1.0)
    habitual: bool = eqx.field(static=True, default=False)

    @property
    def plan(self) -> Plan:  # pyright: ignore[reportIncompatibleVariableOverride]  # abstract there; read from `inner` here
        return self.inner.plan

    @property
    def spaces(self) -> Spaces:  # pyright: ignore[reportIncompatibleVariableOverride]  # as above
        return self.inner.spaces

    @property
    def _blind(self) -> bool:
        """Whether the learner never acts."""
        return self.least >= 1.0

    def with_plan(self, plan: Plan) -> Mixed:
        return replace(self, inner=self.inner.with_plan(plan))

    def init(self, key: Array) -> Any:
        return self.inner.init(key)

    def begin(self, meta: Any, key: Array) -> MixedFast:
        key_inner, key_rate, key_habit = jax.random.split(key, 3)
        lead = (self.plan.streams,)
        fast = () if self._blind else self.inner.begin(meta, key_inner)
        rate = jax.random.uniform(key_rate, lead, minval=self.least, maxval=max(self.most, self.least))
        return MixedFast(fast, rate, self._habit(key_habit, lead))

    def _habit(self, key: Array, lead: tuple[int, ...]) -> Array:
        if isinstance(self.spaces.action, Box):
            return jnp.zeros((*lead, 0))
        n = self.spaces.action.n
        if not self.habitual:
            return jnp.full((*lead, n), 1.0 / n)
        key_many, key_one, key_share = jax.random.split(key, 3)
        many = jax.random.dirichlet(key_many, jnp.ones(n), lead)
        one = jax.nn.one_hot(jax.random.randint(key_one, lead, 0, n), n)
        share = jax.random.randint(key_share, lead, 0, 11)[..., None] / 10.0
        return (1.0 - share) * many + share * one

    def observe(self, meta: Any, fast: MixedFast, step: Step) -> MixedFast:
        return fast if self._blind else fast._replace(fast=self.inner.observe(meta, fast.fast, step))

    def learn(self, meta: Any, fast: MixedFast, chunk: Chunk, key: Array) -> MixedFast:
        return fast if self._blind else fast._replace(fast=self.inner.learn(meta, fast.fast, chunk, key))

    def decide(self, meta: Any, fast: MixedFast, obs: Any) -> Decision:
        lead, space = encode(self.spaces.obs, obs).shape[:-1], self.spaces.action
        if self._blind:
            if isinstance(space, Box):
                low, high = (space.low, space.high) if space.bounded else (-1.0, 1.0)
                flat = jnp.zeros((*lead, space.width))
                return Decision(Uniform(flat + low, flat + high), jnp.zeros(lead))
            return Decision(_categorical(jnp.broadcast_to(fast.habit, (*lead, space.n))), jnp.zeros(lead))
        decision = self.inner.decide(meta, fast.fast, obs)
        dist: Any = decision.dist
        rate = jnp.broadcast_to(fast.rate, lead)[..., None]
        if isinstance(space, Box):
            half = (space.high - space.low) / 2 if space.bounded else 1.0
            dist = Normal(dist.mean, jnp.log(jnp.exp(dist.log_std) + half * jnp.broadcast_to(rate, dist.mean.shape)))
        else:
            own = jax.nn.softmax(dist.logits)
            dist = _categorical((1.0 - rate) * own + rate * jnp.broadcast_to(fast.habit, own.shape))
        return Decision(dist, decision.value)


def _categorical(frequencies: Array) -> Categorical:
    return Categorical(jnp.log(jnp.maximum(frequencies, 1e-7)))
