"""How one environment lives a plan that was made for several streams of a task side by side.

Not the agent (`agent.py`). Methods that learn from chunks need as much experience as they were trained to learn from: one
environment gives it one episode after the other.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Chunk, Inner, birth
from innerloop.core.spaces import zeros


def chunk_shape(inner: Inner[Any, Any], meta: Any) -> Chunk:
    """The shapes and types of one chunk of the inner's plan, leaves [T, N, ...] of jax.ShapeDtypeStruct."""
    t, n = inner.plan.steps, inner.plan.streams
    space = inner.spaces

    def one(meta: Any, key: Any) -> Chunk:
        fast = inner.begin(meta, key)
        step = birth(space, zeros(space.obs, (n,)), n)
        decision = inner.decide(meta, inner.observe(meta, fast, step), step.obs)
        no, none = jnp.zeros(n, bool), jnp.zeros(n)
        action = decision.dist.sample(key)
        log_prob = decision.dist.log_prob(action)
        row = Chunk(step, action, decision.dist, log_prob, decision.value, none, no, no, step.obs, no)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (t, *x.shape)), row)

    return jax.eval_shape(one, meta, jax.random.key(0))


def learns(inner: Inner[Any, Any], meta: Any) -> bool:
    """Whether `learn` changes anything: read off what it computes, so that wrappers need not say it."""
    key = jax.random.key(0)
    fast = jax.eval_shape(inner.begin, meta, key)
    count = len(jax.tree.leaves(fast))
    traced = jax.make_jaxpr(lambda fast, meta, chunk, key: inner.learn(meta, fast, chunk, key))
    program = traced(fast, meta, chunk_shape(inner, meta), key).jaxpr
    return any(out is not given for out, given in zip(program.outvars, program.invars[:count], strict=True))


def alone(inner: Inner[Any, Any], meta: Any, horizon: int | None = None) -> tuple[Inner[Any, Any], int]:
    """The inner as one stream lives it, and how many rows of a chunk one episode may take (0: a chunk may cut episodes).

    One who learns fills a chunk of the same number of transitions, K × (T · N) × 1, by episodes one after the other. Of plans
    that compare whole episodes (`restart`) a chunk then ends with an episode, once there is no room for another of full
    length; what is left of its rows is masked. One who only remembers has a memory for each stream: K × T × 1.

    Args:
        horizon: steps in an episode of the environment at most, where that is not the plan's; of `restart` plans only.
    """
    plan = inner.plan
    if not learns(inner, meta):
        return inner.with_plan(plan._replace(streams=1)), 0
    longest = (horizon or plan.steps) if plan.restart else 0
    steps = (longest or plan.steps) * plan.streams
    return inner.with_plan(plan._replace(steps=steps, streams=1)), longest


def spare(shape: Chunk) -> Chunk:
    """A chunk in numpy none of whose rows is a transition: what is written into it counts, the rest is masked."""
    rows = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shape)
    rows.truncated[:] = True
    rows.step.first[:] = True
    return rows
