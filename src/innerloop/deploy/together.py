"""Many agents of one run act in one call of the device.

Not their sessions (`sessions.py`). Blocks are of one width, filled up where fewer ask, so that one program is compiled and what
an agent does never depends on who asks beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.deploy.agent import Agent, Question


class Together:
    """Acts for copies of one agent: the same inner and the same meta-parameters."""

    def __init__(self, agent: Agent, width: int = 8):
        """`width`: agents in one call of the device."""
        if width < 1:
            raise ValueError(f"width is {width}; accepted: the agents in one call of the device, at least 1.")
        self.width, self.meta = width, agent.meta
        act = {stochastic: agent.policy(stochastic).act for stochastic in (True, False)}

        def block(meta: Any, fasts: tuple[Any, ...], steps: Any, keys: Any, stochastic: bool) -> tuple[list[Any], Any]:
            fast: Any = jax.tree.map(lambda *x: jnp.concatenate(x), *fasts)
            fast, *rest = act[stochastic](meta, fast, steps, keys)
            return [jax.tree.map(lambda x, i=i: x[i : i + 1], fast) for i in range(width)], rest

        self._block = jax.jit(block, static_argnums=4)

    def act(self, asked: Sequence[tuple[Agent, Question, bool]]) -> list[Any]:
        """Of every (agent, what it asked, whether it acts by the mode): the action, or the FloatingPointError that its answer
        raised."""
        answers: list[Any] = [None] * len(asked)
        for deterministic in (False, True):
            at = [i for i, one in enumerate(asked) if one[2] == deterministic]
            for start in range(0, len(at), self.width):
                rows = at[start : start + self.width]
                some = [asked[i][1] for i in rows]
                full = some + [some[0]] * (self.width - len(some))
                steps = jax.tree.map(lambda *x: np.concatenate(x), *(q.step for q in full))
                keys = np.concatenate([np.asarray(q.key) for q in full])
                fasts, rest = self._block(self.meta, tuple(q.fast for q in full), steps, keys, not deterministic)
                rest = jax.tree.map(np.asarray, rest)
                for row, i in enumerate(rows):
                    agent, question, _ = asked[i]
                    one = jax.tree.map(lambda x, row=row: x[row : row + 1], rest)
                    try:
                        answers[i] = agent.answer(question, (fasts[row], *one), deterministic)
                    except FloatingPointError as error:
                        answers[i] = error
        return answers
