"""Dark rooms: an empty grid in which nothing shows where the goal is; it must be bumped into, and then remembered.

Definition (Laskin et al. 2022, Algorithm Distillation, arXiv 2210.14215): the agent sees its own cell alone; five actions, stay
and four moves (`grid.py`); a reward is for the cell after the move, and is else 0; nothing but its length ends an episode.

* `dark-room`: 9 × 9, start in the centre, 20 steps, 1 on every step on the goal: at most 21 − max(d, 1) at distance d.
* `dark-room-hard`: 17 × 17, start in the centre, 20 steps, 1 in an episode, when the goal is first reached.
* `dark-key-to-door`: 9 × 9, start anywhere, 50 steps, 1 when the key's cell is first reached and 1 when the door's is first
  reached with it: at most 2. Key and door may share a cell, which then pays 2 at once (81² = 6561 tasks, as the paper counts).
  That the key is held is seen by the reward alone.

The paper leaves open, and ours is: the order of actions; that a cell is given as its number x · side + y and encoded by its
coordinates, one-hot each (by the number alone, a memory that has met 57 goals looks for no other); that the start is a goal
like others; that the door does not end an episode (it does in github.com/corl-team/toy-meta-gym); the split; and the trial's
length `n`, which is a field and a name (`dark-room-n20`): 10 episodes, for four sweeps of 20 cells search the small room and
more remain to profit than were spent; 30 for the hard room, which takes eighteen sweeps; 10 with key and door.

Splits: goals in order of their distance from the start (key and door: from each other), at random within a distance by numpy's
RandomState(2022); of each ten in a row the third and the eighth are for testing and the fifth for validation, so that all
splits are as far away: 57 / 8 / 16, 202 / 29 / 58 and 4593 / 656 / 1312. The test pairs of key and door are unmet; either
cell was met with others.

Not to be confused with the Dark Room of Lee et al. 2023 (DPT, arXiv 2306.14892): 10 × 10, start in the corner (0, 0), 100
steps, one episode, 80 goals to train and 20 to test.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Cells, Discrete, Spaces, Task
from innerloop.tasks.chart import Chart, cells
from innerloop.tasks.family import Family, deal, evenly
from innerloop.tasks.grid import ACTIONS, move, towards

_SIDE, _HARD_SIDE = 9, 17


def _cells(side: int) -> np.ndarray:
    return np.array([(x, y) for x in range(side) for y in range(side)], np.int32)


def _split(tasks: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, dict[str, range]]:
    """Tasks [size, ...] in the order train, validation, test, and the rows of each; `far` [size] is a task's distance."""
    shuffled = np.random.RandomState(2022).permutation(len(tasks))
    ordered = shuffled[np.argsort(far[shuffled], kind="stable")]
    place = np.arange(len(tasks)) % 10
    parts = {"validation": place == 4, "test": (place == 2) | (place == 7)}
    rows = {"train": ordered[~(parts["validation"] | parts["test"])]} | {name: ordered[part] for name, part in parts.items()}
    ends = np.cumsum([0, *map(len, rows.values())])
    return tasks[np.concatenate(list(rows.values()))], {
        name: range(int(begin), int(end)) for name, begin, end in zip(rows, ends, ends[1:], strict=False)
    }


def _around(side: int) -> tuple[np.ndarray, dict[str, range]]:
    cells = _cells(side)
    return _split(cells, np.abs(cells - side // 2).sum(1))


def _pairs() -> tuple[np.ndarray, dict[str, range]]:
    cells = _cells(_SIDE)
    pairs = np.stack([np.repeat(cells, len(cells), 0), np.tile(cells, (len(cells), 1))], axis=1)
    return _split(pairs, np.abs(pairs[:, 0] - pairs[:, 1]).sum(1))


GOALS, GOAL_IDS = _around(_SIDE)  # [81, 2]
HARD_GOALS, HARD_GOAL_IDS = _around(_HARD_SIDE)  # [289, 2]
PAIRS, PAIR_IDS = _pairs()  # [6561, 2, 2]: key, door


class Stand(NamedTuple):
    """Where an episode stands: cell, steps taken and rewards earned, int32."""

    x: Array
    y: Array
    time: Array
    earned: Array


@dataclass(frozen=True)
class _Dark(Family):
    """What the rooms share; params: where rewards lie, int32 [..., 2] or [..., 2, 2]."""

    n: int = 10  # episodes in a trial; ours

    side: ClassVar[int] = _SIDE
    length: ClassVar[int] = 20
    bare: ClassVar[str]  # the name without the number of episodes
    tasks: ClassVar[np.ndarray]
    rows: ClassVar[dict[str, range]]

    @property
    def name(self) -> str:
        return self.bare if self.n == type(self)().n else f"{self.bare}-n{self.n}"

    @property
    def spaces(self) -> Spaces:
        return Spaces(Cells(self.side**2), Discrete(ACTIONS))

    @property
    def horizon(self) -> int:
        return self.length

    @property
    def episodes(self) -> int:
        return self.n

    @property
    def ids(self) -> range:
        """The tasks of this split."""
        return self.rows[self.which]

    def sample(self, key: Array, n: int) -> Task:
        index = self.ids.start + deal(self.stream(key), len(self.ids), n)
        return Task(index, jnp.asarray(self.tasks)[index])

    def reset(self, task: Task, key: Array) -> tuple[Stand, Array]:
        zero, middle = jnp.zeros((), jnp.int32), jnp.full((), self.side // 2, jnp.int32)
        return self._shown(Stand(middle, middle, zero, zero))

    def step(self, task: Task, state: Stand, action: Array, key: Array) -> tuple[Stand, Array, Array, Array, Array]:
        x, y = move(state.x, state.y, action, self.side)
        paid = self._paid(task.params, jnp.stack([x, y]), state.earned)
        time = state.time + 1
        stand, obs = self._shown(Stand(x, y, time, state.earned + paid))
        return stand, obs, paid.astype(jnp.float32), jnp.zeros((), bool), time >= self.length

    def _shown(self, stand: Stand) -> tuple[Stand, Array]:
        return stand, stand.x * self.side + stand.y

    @abstractmethod
    def _paid(self, params: Array, cell: Array, earned: Array) -> Array:
        """The reward, int32, on entering `cell` [2] after `earned` in this episode."""

    @abstractmethod
    def _aim(self, params: Array, earned: Array) -> tuple[Array, Array]:
        """Where to go next, int32 [..., 2], and whether there is nothing left to earn, bool [...]; params [..., *]."""

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        """Every shortest way to what pays next, also where the episode is too short for it; any action when all is earned."""
        shape = self.tasks.shape[1:]
        tasks = jnp.shape(task.params)[: jnp.ndim(task.params) - len(shape)]
        lead = jnp.broadcast_shapes(tasks, jnp.shape(obs), jnp.shape(time), jnp.shape(earned))
        at, got = jnp.broadcast_to(jnp.asarray(obs, jnp.int32), lead), jnp.broadcast_to(earned, lead)
        aim, done = self._aim(jnp.broadcast_to(task.params, (*lead, *shape)), got)
        best = towards(at // self.side, at % self.side, aim[..., 0], aim[..., 1], self.side)
        return evenly(best | done[..., None])


@dataclass(frozen=True)
class DarkRoom(_Dark):
    """The goal pays on every step; params: its cell, int32 [2]; Task.index is its row in GOALS."""

    size: ClassVar[int] = len(GOALS)
    bare: ClassVar[str] = "dark-room"
    tasks: ClassVar[np.ndarray] = GOALS
    rows: ClassVar[dict[str, range]] = GOAL_IDS

    def best(self, task: Task) -> Array:
        """Return of one episode that walks straight to the goal and stays; [...]."""
        far = jnp.sum(jnp.abs(task.params - self.side // 2), axis=-1)
        return (self.length + 1 - jnp.maximum(far, 1)).astype(jnp.float32)

    @property
    def chart(self) -> Chart:
        return cells(
            self.tasks,
            lambda goal, xy: jnp.all(goal == xy, axis=-1).astype(jnp.float32),
            lambda obs: jnp.stack([obs // self.side, obs % self.side], -1).astype(jnp.float32),
            lambda xy: (xy[..., 0] * self.side + xy[..., 1]).astype(jnp.int32),
        )

    def _paid(self, params: Array, cell: Array, earned: Array) -> Array:
        return jnp.all(cell == params).astype(jnp.int32)

    def _aim(self, params: Array, earned: Array) -> tuple[Array, Array]:
        return params, jnp.zeros(earned.shape, bool)


@dataclass(frozen=True)
class DarkRoomHard(_Dark):
    """The goal pays once in an episode; params: its cell, int32 [2]; Task.index is its row in HARD_GOALS."""

    n: int = 30  # episodes in a trial; ours

    size: ClassVar[int] = len(HARD_GOALS)
    side: ClassVar[int] = _HARD_SIDE
    bare: ClassVar[str] = "dark-room-hard"
    tasks: ClassVar[np.ndarray] = HARD_GOALS
    rows: ClassVar[dict[str, range]] = HARD_GOAL_IDS

    def best(self, task: Task) -> Array:
        """One, for no goal is further than 16 steps; [...]."""
        return jnp.ones(jnp.shape(task.params)[:-1])

    def _paid(self, params: Array, cell: Array, earned: Array) -> Array:
        return (jnp.all(cell == params) & (earned == 0)).astype(jnp.int32)

    def _aim(self, params: Array, earned: Array) -> tuple[Array, Array]:
        return params, earned > 0.5


@dataclass(frozen=True)
class DarkKeyToDoor(_Dark):
    """First the key, then the door; params: their cells, int32 [2, 2]; Task.index is their row in PAIRS."""

    size: ClassVar[int] = len(PAIRS)
    length: ClassVar[int] = 50
    bare: ClassVar[str] = "dark-key-to-door"
    tasks: ClassVar[np.ndarray] = PAIRS
    rows: ClassVar[dict[str, range]] = PAIR_IDS

    def reset(self, task: Task, key: Array) -> tuple[Stand, Array]:
        cell, zero = jax.random.randint(key, (2,), 0, self.side, jnp.int32), jnp.zeros((), jnp.int32)
        return self._shown(Stand(cell[0], cell[1], zero, zero))

    def best(self, task: Task) -> Array:
        """Two, for no start, key and door are further apart than 32 steps; [...]."""
        return jnp.full(jnp.shape(task.params)[:-2], 2.0)

    def _paid(self, params: Array, cell: Array, earned: Array) -> Array:
        found = (jnp.all(cell == params[0]) & (earned == 0)).astype(jnp.int32)
        opened = jnp.all(cell == params[1]) & (earned + found == 1)
        return found + opened.astype(jnp.int32)

    def _aim(self, params: Array, earned: Array) -> tuple[Array, Array]:
        held = (earned > 0.5)[..., None]
        return jnp.where(held, params[..., 1, :], params[..., 0, :]), earned > 1.5
