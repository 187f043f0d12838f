"""The same net without adaptation: the baseline that says whether adaptation matters at all.

Not a method: it wraps one, and lets it keep no experience from one unit to the next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from innerloop.core import Decision, Inner, Plan, Spaces, Step, select
from innerloop.core.spaces import zeros


class ForgetfulFast(NamedTuple):
    """The wrapped inner's fast state now, and as it was on entering the task."""

    now: Any
    blank: Any


class Forgetful(Inner[Any, ForgetfulFast]):
    """`inner` that never learns and whose memory is emptied at every episode's begin ("episode") or at every step
    ("step"); "never" is for inners that have no memory beside what `learn` changes."""

    inner: Inner[Any, Any]
    every: str = eqx.field(static=True, default="episode")

    @property
    def plan(self) -> Plan:  # pyright: ignore[reportIncompatibleVariableOverride]  # abstract there; read from `inner` here
        return self.inner.plan

    @property
    def spaces(self) -> Spaces:  # pyright: ignore[reportIncompatibleVariableOverride]  # as above
        return self.inner.spaces

    def with_plan(self, plan: Plan) -> Forgetful:
        return replace(self, inner=self.inner.with_plan(plan))

    def init(self, key: Array) -> Any:
        return self.inner.init(key)

    def begin(self, meta: Any, key: Array) -> ForgetfulFast:
        fast = self.inner.begin(meta, key)
        return ForgetfulFast(fast, fast)

    def observe(self, meta: Any, fast: ForgetfulFast, step: Step) -> ForgetfulFast:
        now = fast.now
        if self.every != "never":
            reset = jnp.ones_like(step.first) if self.every == "step" else step.first
            lead = step.first.shape
            unborn = step._replace(
                action=zeros(self.spaces.action, lead),
                reward=jnp.zeros(lead),
                arrived=step.obs,
                terminated=jnp.zeros(lead, bool),
                first=jnp.ones(lead, bool),
                born=jnp.ones(lead, bool),
            )
            now, step = select(reset, (fast.blank, unborn), (now, step))
        return fast._replace(now=self.inner.observe(meta, now, step))

    def decide(self, meta: Any, fast: ForgetfulFast, obs: Any) -> Decision:
        return self.inner.decide(meta, fast.now, obs)
