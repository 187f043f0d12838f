"""Semi-circles: a point robot whose goal lies on the upper half of the unit circle. Families that are not one.

All start at the origin and move by at most 0.1 along each axis (`point_robot.py`); nothing terminates.

* `semi-circle-pearl` (Rakelly et al. 2019, PEARL, §6.4, as its published code has it): 100 goals, evenly spaced in
  angle over [0, π] with both ends, shuffled by numpy's RandomState(1337); the first 80 are for training and the last
  20 for testing; 20 steps; reward 1 − distance within 0.2 of the goal, else 0. PEARL itself shows this reward to its
  encoder only and trains its critic on −distance, which recipe `pearl` does too (`privileged`); all other methods get the
  sparse one. Test is PEARL's test; of its
  80 training goals the last 10 are kept for validation, so that choosing a checkpoint never touches the test goals.
* `semi-circle-varibad` (Zintgraf et al. 2021, HyperX, as VariBAD's published code and HyperX's settings have it): a
  fresh angle ~ U(0, π) for every task; 100 steps; the same sparse reward, radius 0.2; 3 episodes a trial.
* `semi-circle-dense`: this library's own: angle ~ U(0, π), 20 steps, reward −distance; `semi-circle-dense-below` is the other
  half of the circle, for agents that were trained on the upper one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Task
from innerloop.tasks.chart import Chart, arc
from innerloop.tasks.family import deal
from innerloop.tasks.point_robot import PointRobot, length

RADIUS = 0.2  # within it the sparse reward is paid


def _pearl_goals() -> np.ndarray:
    angles = np.linspace(0.0, np.pi, 100)
    goals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.random.RandomState(1337).shuffle(goals)
    return goals.astype(np.float32)


PEARL_GOALS = _pearl_goals()  # [100, 2]
PEARL_SPLITS = {"train": (0, 70), "validation": (70, 80), "test": (80, 100)}  # half-open ranges of ids


@dataclass(frozen=True)
class _SemiCircle(PointRobot):
    """What the three share."""

    @property
    def chart(self) -> Chart:
        return arc(self.pays)


def _sparse(distance: Array) -> Array:
    return jnp.where(distance <= RADIUS, 1.0 - distance, 0.0)


def _on_arc(key: Array, n: int, begin: float = 0.0) -> Task:
    angle = begin + jax.random.uniform(key, (n,), maxval=jnp.pi)
    return Task(jnp.full(n, -1, jnp.int32), jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1))


@dataclass(frozen=True)
class SemiCirclePearl(_SemiCircle):
    """PEARL's 100 goals, sparse reward, 20 steps; Task.index is the goal's row in PEARL_GOALS."""

    size: ClassVar[int] = len(PEARL_GOALS)

    @property
    def name(self) -> str:
        return "semi-circle-pearl"

    @property
    def horizon(self) -> int:
        return 20

    @property
    def episodes(self) -> int:
        return 6  # PEARL explores for 5 and reports the next

    @property
    def ids(self) -> range:
        """The goals of this split."""
        return range(*PEARL_SPLITS[self.which])

    def sample(self, key: Array, n: int) -> Task:
        index = self.ids.start + deal(self.stream(key), len(self.ids), n)
        return Task(index, jnp.asarray(PEARL_GOALS)[index])

    def reward(self, distance: Array) -> Array:
        return _sparse(distance)

    def privileged(self, task: Task, arrived: Any) -> Array:
        return -length(arrived - task.params)


@dataclass(frozen=True)
class SemiCircleVaribad(_SemiCircle):
    """VariBAD's and HyperX's semi-circle: any angle, sparse reward, 100 steps, 3 episodes."""

    @property
    def name(self) -> str:
        return "semi-circle-varibad"

    @property
    def horizon(self) -> int:
        return 100

    @property
    def episodes(self) -> int:
        return 3

    def sample(self, key: Array, n: int) -> Task:
        return _on_arc(self.stream(key), n)

    def reward(self, distance: Array) -> Array:
        return _sparse(distance)


@dataclass(frozen=True)
class SemiCircleDense(_SemiCircle):
    """Any angle, reward −distance, 20 steps, 3 episodes."""

    @property
    def name(self) -> str:
        return "semi-circle-dense"

    @property
    def horizon(self) -> int:
        return 20

    @property
    def episodes(self) -> int:
        return 3

    def sample(self, key: Array, n: int) -> Task:
        return _on_arc(self.stream(key), n)

    def reward(self, distance: Array) -> Array:
        return -distance


@dataclass(frozen=True)
class SemiCircleDenseBelow(SemiCircleDense):
    """Goals on the lower half, where none of training lies."""

    @property
    def name(self) -> str:
        return "semi-circle-dense-below"

    @property
    def chart(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # its charts are of the upper half
        return None

    def sample(self, key: Array, n: int) -> Task:
        return _on_arc(self.stream(key), n, jnp.pi)
