"""Two colours: what pays and what costs change places now and again, for as long as an agent lives.

Definition (after Flennerhag et al. 2022, *Bootstrapped meta-learning*, arXiv 2109.04504, §5.1): an agent and two things, one of
each colour, lie on a 5 × 5 grid. Stepping onto a thing pays 1 or costs 1, by its colour, and puts it into another cell, drawn
anew; every step costs 0.04. Colours change places every 4,000 steps. Five moves, stay and four (`grid.py`). Nothing says when
the colours have changed but what things pay: an agent has to find it out, and a policy that no longer explores has lost.

A task is which of the two pays first. Ours: 4,000 steps in place of 100,000, for agents that live in several streams and
learn from all of them; cells are drawn anywhere, but not on the agent or the other thing.

No episode ends before the life does, at 32,000 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Discrete, Spaces, Task
from innerloop.tasks.family import Family, deal
from innerloop.tasks.grid import ACTIONS, move

SIDE = 5
PERIOD, PERIODS = 4_000, 8
COST = 0.04  # of a step


class Board(NamedTuple):
    """What is seen, as a tuple, int32: numbers of cells, x · 5 + y."""

    agent: Array
    one: Array
    other: Array


class Moment(NamedTuple):
    """Where a life stands; time in steps, int32."""

    board: Board
    time: Array


def _place(key: Array, *taken: Array) -> Array:
    """A cell that is none of those taken."""
    free = jnp.ones(SIDE**2, bool)
    for cell in taken:
        free &= jnp.arange(SIDE**2) != cell
    return jnp.argmax(jnp.where(free, jax.random.uniform(key, (SIDE**2,)), -1.0)).astype(jnp.int32)


@dataclass(frozen=True)
class TwoColours(Family):
    """Params: bool, whether `one` pays in the beginning."""

    size: ClassVar[int] = 2
    tiny: ClassVar[bool] = True
    unit: ClassVar[str] = "step"
    name: ClassVar[str] = "two-colours"
    spaces: ClassVar[Spaces] = Spaces((Discrete(SIDE**2),) * 3, Discrete(ACTIONS))
    horizon: ClassVar[int] = PERIOD * PERIODS
    episodes: ClassVar[int] = 1

    def sample(self, key: Array, n: int) -> Task:
        index = deal(self.stream(key), self.size, n)
        return Task(index, index == 0)

    def reset(self, task: Task, key: Array) -> tuple[Moment, tuple[Array, ...]]:
        key_one, key_other = jax.random.split(key)
        agent = jnp.int32(SIDE**2 // 2)
        one = _place(key_one, agent)
        state = Moment(Board(agent, one, _place(key_other, agent, one)), jnp.zeros((), jnp.int32))
        return state, tuple(state.board)

    def step(
        self, task: Task, state: Moment, action: Array, key: Array
    ) -> tuple[Moment, tuple[Array, ...], Array, Array, Array]:
        key_one, key_other = jax.random.split(key)
        board, time = state
        x, y = move(board.agent // SIDE, board.agent % SIDE, action, SIDE)
        agent = x * SIDE + y
        met, met_other = agent == board.one, agent == board.other
        pays = jnp.where(task.params ^ ((time // PERIOD) % 2 == 1), 1.0, -1.0)  # of `one`; the other's is opposite
        one = jnp.where(met, _place(key_one, agent, board.other), board.one)
        other = jnp.where(met_other, _place(key_other, agent, one), board.other)
        after = Moment(Board(agent, one, other), time + 1)
        reward = pays * (met.astype(jnp.float32) - met_other) - COST
        return after, tuple(after.board), reward, jnp.zeros((), bool), after.time >= self.horizon
