"""The world of recorded histories: its lives are windows cut out of what others lived.

Not a world to be evaluated in: nothing answers there, whatever the inner would do.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Categorical, Chunk, Cursor, Discrete, Inner, Lifetime, Normal, Plan, Step, Task
from innerloop.worlds.histories import FIRST, SOUND, TERMINATED, TRUNCATED, Histories, HistoryError


class HistoryWorld:
    """Lives of `plan.steps` · `plan.chunks` steps in a row, beginning with a random episode of a random history, across the
    episodes that follow. Nothing lies behind a window's first step."""

    jittable = False

    def __init__(self, histories: Histories, tasks: Any, thin: int = 1):
        """`tasks`: the family; `thin`: keep every so-manieth episode of a history, so that a window shows more progress
        (AD's subsampling)."""
        self.histories, self.tasks, self.thin = histories, tasks, thin

    def check(self, plan: Plan) -> None:
        """HistoryError where a window of `plan` is longer than what is kept of some history."""
        wanted = plan.chunks * plan.steps
        shortest = self.histories.steps
        if self.thin > 1:
            shortest = min(len(self._kept(self.histories.flags(i))) for i in range(len(self.histories)))
        if shortest < wanted:
            raise HistoryError(
                f"windows of {wanted} steps are asked for, and the shortest history in {self.histories.folder} keeps "
                f"{shortest} (thin = {self.thin}); record longer ones, keep more of them, or lower inner.plan.steps."
            )

    def _kept(self, flags: np.ndarray) -> np.ndarray:
        """The steps of the episodes that are kept, in order."""
        episode = np.cumsum(flags & FIRST) - 1
        return np.flatnonzero(np.maximum(episode, 0) % self.thin == 0)

    def live(
        self,
        inner: Inner[Any, Any],
        meta: Any,
        tasks: Task,
        key: Array,
        cursor: Any = None,
        fresh: Any = True,
        **options: Any,
    ) -> tuple[Lifetime, Cursor]:
        """One window of each stream for as many tasks as are given; which tasks is the histories' choice, and the key's.

        Distributions are not recorded: a uniform one stands for them, with log-probability and value 0.
        """
        plan = inner.plan
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
        count, length = jax.tree.leaves(tasks)[0].shape[0], plan.chunks * plan.steps
        chosen = rng.choice(len(self.histories), count, replace=count > len(self.histories))
        cut = [[self._window(int(i), length, rng) for _ in range(plan.streams)] for i in chosen]
        rows = {name: np.stack([np.stack([s[name] for s in streams], 1) for streams in cut]) for name in cut[0][0]}
        structure = jax.tree.structure(jax.eval_shape(lambda k: self.tasks.sample(k, 1), jax.random.key(0)))
        task = jax.tree.unflatten(
            structure, [np.stack(x) for x in zip(*map(self.histories.task, map(int, chosen)), strict=True)]
        )
        chunks, last = self._lived(rows, plan)
        lives = Lifetime(chunks, last, jax.random.split(key, count), (), jnp.ones(count, bool), task)
        return lives, Cursor((), (), last, jnp.zeros((count, plan.streams), jnp.int32))

    def _window(self, history: int, length: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """`length` rows and one more, to be the step after the last; leaves [length + 1, ...]."""
        flags = self.histories.flags(history)
        kept = self._kept(flags)
        begins = np.flatnonzero(flags[kept] & FIRST)
        begins = begins[begins + length <= len(kept)]
        if not begins.size:
            raise HistoryError(
                f"history {history} of {self.histories.folder} has no {length} steps from an episode's begin on."
            )
        at = int(rng.choice(begins))
        steps = kept[at : at + length + 1]
        found = self.histories.rows(history, steps)
        if len(steps) > length:
            return found
        after = {name: x[-1:] for name, x in found.items()}  # a history's end: the step after it is where it led
        after |= {name: after[name.replace("obs", "next")] for name in found if name.startswith("obs-")}
        ended = bool(after["flags"][0] & (TERMINATED | TRUNCATED))
        after["flags"] = np.full(1, FIRST if ended else 0, np.uint8)
        return {name: np.concatenate([x, after[name]]) for name, x in found.items()}

    def _lived(self, rows: dict[str, Any], plan: Plan) -> tuple[Chunk, Step]:
        """Chunks [B, K, T, N, ...] and the step after them, from rows [B, L + 1, N, ...]."""
        spaces = self.tasks.spaces
        structure = jax.tree.structure(spaces.obs, is_leaf=lambda x: hasattr(x, "width"))

        def tree(name: str) -> Any:
            leaves = [rows[f"{name}-{i}"] for i in range(structure.num_leaves)]
            return jax.tree.unflatten(structure, [x.astype(np.float32 if x.dtype.kind == "f" else np.int32) for x in leaves])

        obs, after, flags = tree("obs"), tree("next"), rows["flags"]
        action = rows["action-0"].astype(np.int32 if isinstance(spaces.action, Discrete) else np.float32)
        first, terminated, truncated, sound = ((flags & bit) > 0 for bit in (FIRST, TERMINATED, TRUNCATED, SOUND))

        def behind(x: Any, at_birth: Any = None) -> Any:
            begin = np.zeros_like(x[:, :1]) if at_birth is None else at_birth[:, :1]
            return np.concatenate([begin, x[:, :-1]], 1)

        born = np.zeros_like(first)
        born[:, 0] = True
        arrived = jax.tree.map(behind, after, obs)
        step = Step(obs, behind(action), behind(rows["reward"]), arrived, first, behind(terminated), born)
        lead = flags.shape
        if isinstance(spaces.action, Discrete):
            dist: Any = Categorical(jnp.zeros((*lead, spaces.action.n)))
        else:
            dist = Normal(*jnp.zeros((2, *lead, spaces.action.width)))
        nothing = jnp.zeros(lead)
        chunk = Chunk(step, action, dist, nothing, nothing, rows["reward"], terminated, truncated, after, sound)
        shaped = lambda x: x[:, :-1].reshape(x.shape[0], plan.chunks, plan.steps, *x.shape[2:])  # noqa: E731
        return jax.tree.map(shaped, chunk), jax.tree.map(lambda x: x[:, -1], step)

    def close(self) -> None:
        """Nothing to release."""
