"""Two folds over a life: `live` acts and learns; `replay` runs the recorded life again, differentiably.

Not a batch: both are for one task, to be mapped by the caller (`per_task`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core.contract import Chunk, Cursor, Decision, DeviceEnv, Inner, Lifetime, Plan, Step, Task
from innerloop.core.spaces import Spaces, zeros


def select(mask: Array, yes: Any, no: Any) -> Any:
    """Tree-wise `where`; `mask` has the leading axes of every leaf."""
    return jax.tree.map(lambda a, b: jnp.where(jnp.reshape(mask, mask.shape + (1,) * (jnp.ndim(a) - mask.ndim)), a, b), yes, no)


def life_keys(key: Array, plan: Plan) -> tuple[Array, Array]:
    """What `begin` and each chunk's `learn` draw from, out of `Lifetime.key`."""
    key_begin, key_learn = jax.random.split(key)
    return key_begin, jax.random.split(key_learn, plan.chunks)


def each_key(key: Array, count: int) -> Array:
    """A key for each of `count` lives: those given, [count], or one that is split."""
    single = 0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1
    return key if key.ndim > single else jax.random.split(key, count)


def birth(spaces: Spaces, obs: Any, streams: int) -> Step:
    """The first step of a life: nothing lies behind it."""
    no, yes = jnp.zeros(streams, bool), jnp.ones(streams, bool)
    return Step(obs, zeros(spaces.action, (streams,)), jnp.zeros(streams), obs, yes, no, yes)


def newborn(spaces: Spaces, step: Step, which: Array) -> Step:
    """`step` with nothing behind it in the streams `which` [N], where a trial begins."""
    return select(which, birth(spaces, step.obs, which.shape[0]), step)


def _chunks(scan_chunk: Callable[..., Any], carry: Any, xs: Any, last: Callable[..., Any]) -> tuple[Any, Any]:
    """Scan all chunks but the last, then `last` on it, and stack what they return. (A scan cannot drop its final call of
    `learn`, and one that nothing reads made a meta-gradient 2.4 times as dear. A scan of one call is called: it is quicker
    to compile and to differentiate.)"""
    count = jax.tree.leaves(xs)[0].shape[0]
    parts = []
    if count == 2:
        carry, y = scan_chunk(carry, jax.tree.map(lambda x: x[0], xs))
        parts = [jax.tree.map(lambda a: a[None], y)]
    elif count > 2:
        carry, ys = jax.lax.scan(scan_chunk, carry, jax.tree.map(lambda x: x[:-1], xs))
        parts = [ys]
    carry, y = last(carry, jax.tree.map(lambda x: x[-1], xs))
    parts = [p for p in parts if p is not None] + [jax.tree.map(lambda a: a[None], y)]
    return carry, jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


def live(
    inner: Inner[Any, Any],
    env: DeviceEnv,
    spaces: Spaces,
    meta: Any,
    task: Task,
    key: Array,
    cursor: Cursor | None = None,
    fresh: Array | bool = True,
    *,
    learn_last: bool = True,
    stochastic: bool = True,
) -> tuple[Lifetime, Cursor]:
    """Live one life of `inner.plan` in one task on device.

    Args:
        cursor: where an earlier segment ended; None begins a new life.
        fresh: bool scalar, may be traced: begin anew in spite of `cursor`.
        learn_last: whether `learn` is called after the last chunk (training needs it not).
        stochastic: False acts by the mode of every distribution.

    Returns:
        The life and the cursor from which it goes on.
    """
    plan = inner.plan
    n = plan.streams
    key_inner, key_steps, key_reset = jax.random.split(key, 3)
    key_begin, keys_learn = life_keys(key_inner, plan)
    reset = jax.vmap(env.reset, (None, 0))
    state, obs = reset(task, jax.random.split(key_reset, n))
    start = Cursor(inner.begin(meta, key_begin), state, birth(spaces, obs, n), jnp.zeros(n, jnp.int32))
    fresh = jnp.asarray(True if cursor is None else fresh)
    if cursor is not None:
        start = select(fresh, start, cursor)

    def act(c: Cursor, key: Array) -> tuple[Cursor, Chunk]:
        keys = jax.random.split(key, 1 + 2 * n)
        fast = inner.observe(meta, c.fast, c.step)
        dist, value, _ = inner.decide(meta, fast, c.step.obs)
        action = dist.sample(keys[0]) if stochastic else dist.mode()
        state, arrived, reward, terminated, truncated = jax.vmap(env.step, (None, 0, 0, 0))(
            task, c.world, action, keys[1 : 1 + n]
        )
        ended = terminated | truncated
        state, obs = select(ended, reset(task, keys[1 + n :]), (state, arrived))
        row = Chunk(
            c.step, action, dist, dist.log_prob(action), value, reward, terminated, truncated, arrived, jnp.ones(n, bool)
        )
        step, episode = Step(obs, action, reward, arrived, ended, terminated, jnp.zeros(n, bool)), c.episode + ended
        if plan.episodes:
            over = ended & (episode >= plan.episodes)
            step, episode = newborn(spaces, step, over), jnp.where(over, 0, episode)
        return Cursor(fast, state, step, episode), row

    def restart(c: Cursor, rows: Chunk, key: Array) -> tuple[Cursor, Chunk]:
        state, obs = reset(task, jax.random.split(key, n))
        step = c.step._replace(obs=obs, first=jnp.ones(n, bool))
        cut = rows.truncated.at[-1].set(rows.truncated[-1] | ~rows.terminated[-1])
        return c._replace(world=state, step=step), rows._replace(truncated=cut)

    def chunk(c: Cursor, xs: tuple[Array, Array], learns: bool) -> tuple[Cursor, Chunk]:
        key_chunk, key_learn = xs
        key_rows, key_restart = jax.random.split(key_chunk)
        c, rows = jax.lax.scan(act, c, jax.random.split(key_rows, plan.steps))
        if plan.restart:
            c, rows = restart(c, rows, key_restart)
        return (c._replace(fast=inner.learn(meta, c.fast, rows, key_learn)) if learns else c), rows

    xs = (jax.random.split(key_steps, plan.chunks), keys_learn)
    end, chunks = _chunks(lambda c, x: chunk(c, x, True), start, xs, lambda c, x: chunk(c, x, learn_last))
    return Lifetime(chunks, end.step, key_inner, start.fast, fresh, task), end


def replay(
    inner: Inner[Any, Any], meta: Any, life: Lifetime, *, learn_last: bool = False, every: bool = True
) -> tuple[Decision, Array, Any]:
    """Run a recorded life again with its recorded actions; differentiable in `meta`.

    `every`: False leaves out the decisions of all chunks but the last (the adapted policy's), and what they would cost a
    gradient.

    Returns:
        decisions [K, T, N, ...], or [1, T, N, ...] of the last chunk; the value of the step after the last row [N]; Fast at
        the end.
    """
    key_begin, keys_learn = life_keys(life.key, inner.plan)
    fast = select(life.fresh, inner.begin(meta, key_begin), life.start)

    def chunk(fast: Any, xs: tuple[Chunk, Array]) -> tuple[Any, Decision | None]:
        rows, key = xs
        fast, decision = inner.unroll(meta, fast, rows.step)
        return inner.learn(meta, fast, rows, key), decision if every else None

    def last(fast: Any, xs: tuple[Chunk, Array]) -> tuple[tuple[Any, Array], Decision]:
        rows, key = xs
        fast, decision = inner.unroll(meta, fast, rows.step)
        ahead = inner.decide(meta, inner.observe(meta, fast, life.last), life.last.obs).value
        return ((inner.learn(meta, fast, rows, key) if learn_last else fast), ahead), decision

    (fast, ahead), decisions = _chunks(chunk, fast, (life.chunks, keys_learn), last)
    return decisions, ahead, fast


def adapt(inner: Inner[Any, Any], meta: Any, life: Lifetime) -> Any:
    """Fast after all of a life's experience: the adapted policy, to be read by `inner.decide`."""
    return replay(inner, meta, life, learn_last=True)[2]


def stages(inner: Inner[Any, Any], meta: Any, life: Lifetime) -> Any:
    """Fast on entering each chunk, leaves [K, ...]: the agent before, between and after all steps of `learn` but the last."""
    key_begin, keys_learn = life_keys(life.key, inner.plan)

    def chunk(fast: Any, xs: tuple[Chunk, Array]) -> tuple[Any, Any]:
        rows, key = xs
        after, _ = inner.unroll(meta, fast, rows.step)
        return inner.learn(meta, after, rows, key), fast

    start = select(life.fresh, inner.begin(meta, key_begin), life.start)
    return jax.lax.scan(chunk, start, (life.chunks, keys_learn))[1]


def per_task(f: Callable[..., Any], *batches: Any, how: str = "vmap") -> Any:
    """Apply `f` to each task of batches [B, ...]. "map" runs them in turn and keeps a task's intermediates in cache
    (gradients of gradients on CPU: 2.3 times faster); "vmap" runs them side by side (small recurrent nets, GPUs)."""
    if how == "map":
        return jax.lax.map(lambda xs: f(*xs), batches)
    return jax.vmap(f)(*batches)
