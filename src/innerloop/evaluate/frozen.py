"""An adapted agent as it stands: acts with given fast weights and adapts no further. Not a method: the evaluator's.

It is how policies after so many gradient steps are judged by the mode of their actions: what they adapt to has to be sampled,
since the gradient of a log-likelihood is zero at its mode.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Decision, Inner, Plan, Spaces


class Frozen(Inner[tuple[Any, Any], Any]):
    """`inner` whose meta is (its meta, the fast weights to act with). It observes what `inner` observes, and never learns."""

    inner: Inner[Any, Any]

    @property
    def plan(self) -> Plan:  # pyright: ignore[reportIncompatibleVariableOverride]  # abstract there; read from `inner` here
        return self.inner.plan

    @property
    def spaces(self) -> Spaces:  # pyright: ignore[reportIncompatibleVariableOverride]  # as above
        return self.inner.spaces

    def with_plan(self, plan: Plan) -> Frozen:
        return replace(self, inner=self.inner.with_plan(plan))

    def init(self, key: Array) -> tuple[Any, Any]:
        key_meta, key_begin = jax.random.split(key)
        meta = self.inner.init(key_meta)
        return meta, self.inner.begin(meta, key_begin)

    def begin(self, meta: tuple[Any, Any], key: Array) -> Any:
        return meta[1]

    def observe(self, meta: tuple[Any, Any], fast: Any, step: Any) -> Any:
        return self.inner.observe(meta[0], fast, step)

    def decide(self, meta: tuple[Any, Any], fast: Any, obs: Any) -> Decision:
        return self.inner.decide(meta[0], fast, obs)


class Carried(Frozen):
    """The same agent in the middle of a life: whatever begins, it remembers what it has met before."""

    def observe(self, meta: tuple[Any, Any], fast: Any, step: Any) -> Any:
        return super().observe(meta, fast, step._replace(born=jnp.zeros_like(step.born)))
