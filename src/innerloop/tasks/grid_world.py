"""Grid worlds in which learning rules are learned: small random rooms to train on, larger mazes held out.

Definition (after Oh et al. 2020, LPG, arXiv 2007.08794, appendix; the laws of sizes, walls, rewards, ends and returns are those
of the `small` and `mazes` settings of Jackson et al. 2023, GROOVE, arXiv 2310.02782): objects lie on a grid; whoever steps onto
one is paid its reward, and takes it. With the object's probability that ends the episode; with another one it comes back, at
every step, to where it lay. What is seen is the number of the tabular state: the cell, and which objects are there. Five moves,
stay and four (`grid.py`); walls, of the grid or within it, are bumped into.

* train: rooms of side 4 to 6 with 7 cells of wall (some of which may fall outside a smaller room); one or two objects, of which
  the first pays U(0, 1) and the second U(−1, 1); ends log-uniform in [0.01, 1], returns in [0.001, 0.1]; episodes of 20 to 50
  steps, log-uniform. An object, or the start, may be walled in.
* validation: 16 mazes of side 7; test: 32 mazes of side 9. Two objects that pay U(0, 1) each, episodes of 25 to 50 steps. Mazes
  are spanning trees of their rooms (every cell is reached, in one way), drawn once by numpy's RandomState(2020).

Ours: at most two objects, where GROOVE's small rooms have three and its mazes are 13 × 13 by hand; the time is not seen (there
it is, times 0.001); the mazes; the splits. Stays in one place for the whole of a life: start, objects and walls are the task's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Discrete, Spaces, Task
from innerloop.tasks.family import Family
from innerloop.tasks.grid import ACTIONS, move

SIDE = 9  # of the largest grid; all share its numbering of cells
OBJECTS = 2
ROOMS = (4, 6)
WALLS = 7
ENDS, RETURNS = (1e-2, 1.0), (1e-3, 1e-1)
SHORT, LONG = (20, 50), (25, 50)  # steps of an episode, in rooms and in mazes


class Level(NamedTuple):
    """One task."""

    wall: Array  # bool [SIDE²], by x · SIDE + y; all that lies outside the grid is wall
    start: Array  # int32
    place: Array  # int32 [OBJECTS], of each object
    there: Array  # bool [OBJECTS]: which of them there are
    pays: Array  # float [OBJECTS]
    ends: Array  # float [OBJECTS], probability
    returns: Array  # float [OBJECTS], probability at each step
    limit: Array  # int32, steps in an episode


class Standing(NamedTuple):
    """Where an episode stands."""

    cell: Array  # int32
    there: Array  # bool [OBJECTS]
    time: Array  # int32


def _maze(rng: np.random.RandomState, side: int) -> np.ndarray:
    """Walls bool [SIDE²] of a spanning tree over the rooms at even coordinates, by depth-first search."""
    wall = np.ones((SIDE, SIDE), bool)
    at, stack = (0, 0), [(0, 0)]
    wall[0, 0] = False
    while stack:
        at = stack[-1]
        around = [(at[0] + dx, at[1] + dy) for dx, dy in ((2, 0), (-2, 0), (0, 2), (0, -2))]
        fresh = [to for to in around if 0 <= to[0] < side and 0 <= to[1] < side and wall[to]]
        if not fresh:
            stack.pop()
            continue
        to = fresh[rng.randint(len(fresh))]
        wall[to] = wall[(at[0] + to[0]) // 2, (at[1] + to[1]) // 2] = False
        stack.append(to)
    return wall.ravel()


def _mazes() -> dict[str, np.ndarray]:
    rng = np.random.RandomState(2020)
    sizes = {"validation": (7, 16), "test": (9, 32)}
    return {name: np.stack([_maze(rng, side) for _ in range(count)]) for name, (side, count) in sizes.items()}


MAZES = _mazes()


def _log_uniform(key: Array, shape: tuple[int, ...], low: float, high: float) -> Array:
    return jnp.exp(jax.random.uniform(key, shape, minval=math.log(low), maxval=math.log(high)))


@dataclass(frozen=True)
class GridWorld(Family):
    """Params: Level."""

    n: int = 10  # episodes in a trial, of full length: as long as a life that is evaluated may be is the recipe's affair

    unit: ClassVar[str] = "step"
    name: ClassVar[str] = "grid-world"
    spaces: ClassVar[Spaces] = Spaces(Discrete(SIDE**2 * 2**OBJECTS), Discrete(ACTIONS))
    horizon: ClassVar[int] = LONG[1]

    @property
    def episodes(self) -> int:
        return self.n

    def sample(self, key: Array, n: int) -> Task:
        draw = self._room if self.which == "train" else self._in_maze
        return Task(jnp.full(n, -1, jnp.int32), jax.vmap(draw)(jax.random.split(self.stream(key), n)))

    def _room(self, key: Array) -> Level:
        key_side, key_wall, key_many, key_rest = jax.random.split(key, 4)
        side = jax.random.randint(key_side, (), ROOMS[0], ROOMS[1] + 1)
        x, y = jnp.arange(SIDE**2) // SIDE, jnp.arange(SIDE**2) % SIDE
        built = jnp.argsort(jnp.where((x < ROOMS[1]) & (y < ROOMS[1]), jax.random.uniform(key_wall, (SIDE**2,)), 2.0))[:WALLS]
        wall = ((x >= side) | (y >= side)).at[built].set(True)
        many = jax.random.randint(key_many, (), 1, OBJECTS + 1)
        return self._furnished(key_rest, wall, many, -1.0, SHORT)

    def _in_maze(self, key: Array) -> Level:
        key_maze, key_rest = jax.random.split(key)
        walls = jnp.asarray(MAZES[self.which])
        wall = walls[jax.random.randint(key_maze, (), 0, len(walls))]
        return self._furnished(key_rest, wall, jnp.int32(OBJECTS), 0.0, LONG)

    def _furnished(self, key: Array, wall: Array, many: Array, least: float, steps: tuple[int, int]) -> Level:
        key_place, key_pays, key_ends, key_returns, key_limit = jax.random.split(key, 5)
        free = jnp.argsort(jnp.where(wall, 2.0, jax.random.uniform(key_place, wall.shape))).astype(jnp.int32)
        pays = jax.random.uniform(key_pays, (OBJECTS,), minval=jnp.array([0.0, *[least] * (OBJECTS - 1)]))
        ends, returns = (_log_uniform(k, (OBJECTS,), *law) for k, law in ((key_ends, ENDS), (key_returns, RETURNS)))
        limit = jnp.round(_log_uniform(key_limit, (), *steps)).astype(jnp.int32)
        return Level(wall, free[0], free[1 : 1 + OBJECTS], jnp.arange(OBJECTS) < many, pays, ends, returns, limit)

    def reset(self, task: Task, key: Array) -> tuple[Standing, Array]:
        state = Standing(task.params.start, task.params.there, jnp.zeros((), jnp.int32))
        return state, self._seen(state)

    def step(self, task: Task, state: Standing, action: Array, key: Array) -> tuple[Standing, Array, Array, Array, Array]:
        level: Level = task.params
        key_end, key_back = jax.random.split(key)
        x, y = move(state.cell // SIDE, state.cell % SIDE, action, SIDE)
        to = x * SIDE + y
        cell = jnp.where(level.wall[to], state.cell, to)
        taken = state.there & (level.place == cell)
        reward = jnp.sum(jnp.where(taken, level.pays, 0.0))
        terminated = jnp.any(taken & jax.random.bernoulli(key_end, level.ends))
        back = level.there & jax.random.bernoulli(key_back, level.returns)
        after = Standing(cell, (state.there | back) & ~taken, state.time + 1)
        return after, self._seen(after), reward, terminated, after.time >= level.limit

    def _seen(self, state: Standing) -> Array:
        objects = jnp.sum(state.there * 2 ** jnp.arange(OBJECTS))
        return (objects * SIDE**2 + state.cell).astype(jnp.int32)
