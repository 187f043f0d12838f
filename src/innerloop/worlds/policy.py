"""What is jitted of a life on the host: acting, and learning from a chunk.

Not the loop around it (`host.py`). Unbatched code, vmapped over tasks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Inner, Step, life_keys


class Policy:
    """The jitted functions of one inner; leaves [B, ...], except those of a shared meta."""

    def __init__(self, inner: Inner, metas: Any, stochastic: bool, impl: str):
        """`impl`: the kind of random key."""
        plan = inner.plan
        over = metas  # in_axes of vmap

        def keys(key: Array) -> tuple[Array, Array, Array, Array, Array]:
            """The keys that `core.live` would use, so that a device life and a host life draw the same actions."""
            key_inner, key_steps, key_reset = jax.random.split(key, 3)
            key_begin, keys_learn = life_keys(key_inner, plan)

            def rows(key_chunk: Array) -> Array:
                keys = jax.random.split(jax.random.split(key_chunk)[0], plan.steps)
                return jax.vmap(lambda k: jax.random.split(k, 1 + 2 * plan.streams)[0])(keys)

            keys = jax.vmap(rows)(jax.random.split(key_steps, plan.chunks))
            return key_inner, keys_learn, key_begin, _data(keys), _data(key_reset)

        def act(meta: Any, fast: Any, step: Step, key: Array) -> tuple[Any, Any, Any, Array, Array]:
            fast = inner.observe(meta, fast, step)
            dist, value, _ = inner.decide(meta, fast, step.obs)
            action = dist.sample(jax.random.wrap_key_data(key, impl=impl)) if stochastic else dist.mode()
            return fast, action, dist, dist.log_prob(action), value

        # Integers, whose bits no optimisation changes: level 0 compiles seven times faster and runs in milliseconds.
        self.keys = jax.jit(jax.vmap(keys), compiler_options={"xla_backend_optimization_level": 0})
        self.begin = jax.jit(jax.vmap(inner.begin, (over, 0)))
        self.act = jax.jit(jax.vmap(act, (over, 0, 0, 0)))
        self.learn = jax.jit(jax.vmap(inner.learn, (over, 0, 0, 0)))


def _data(key: Array) -> Array:
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key


@lru_cache(maxsize=64)
def policy_of(inner: Inner, metas: Any, stochastic: bool, impl: str) -> Policy:
    """The functions of equal inners are compiled once, whichever world asks."""
    return Policy(inner, metas, stochastic, impl)
