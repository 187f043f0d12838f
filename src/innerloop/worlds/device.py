"""The device world: lives of a family that JAX can trace, side by side.

Not jitted by itself: the caller jits `live` together with the update that follows.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import Array

from innerloop.core import Cursor, Inner, Lifetime, Task, live
from innerloop.core.life import each_key


class DeviceWorld:
    """One life per task by `core.live`, vmapped."""

    jittable = True

    def __init__(self, tasks: Any):
        """`tasks`: an on-device family."""
        self.tasks = tasks

    def live(
        self,
        inner: Inner,
        meta: Any,
        tasks: Task,
        key: Array,
        cursor: Cursor | None = None,
        fresh: Array | bool = True,
        *,
        learn_last: bool = True,
        stochastic: bool = True,
        metas: Any = None,
    ) -> tuple[Lifetime, Cursor]:
        """One life in each of the tasks [B].

        Args:
            meta: shared by all tasks, but for the leaves that `metas` (as `in_axes` of vmap) says are [B, ...], one for each.
            key: one, to be split, or one for each of the tasks [B].
            cursor: where an earlier segment of the same lives ended, leaves [B, ...].
            fresh: bool scalar, or [B]: begin anew in spite of `cursor`.
        """

        def one(meta: Any, task: Task, key: Array, cursor: Cursor | None, fresh: Array | bool) -> tuple[Lifetime, Cursor]:
            options = {"learn_last": learn_last, "stochastic": stochastic}
            return live(inner, self.tasks, self.tasks.spaces, meta, task, key, cursor, fresh, **options)

        keys = each_key(key, tasks.index.shape[0])
        axes = (metas, 0, 0, 0, 0 if jax.numpy.ndim(fresh) else None)
        return jax.vmap(one, axes)(meta, tasks, keys, cursor, fresh)

    def close(self) -> None:
        """Nothing to release."""
