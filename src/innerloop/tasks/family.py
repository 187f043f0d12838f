"""What every family shares: names, and how splits draw their tasks.

Not the list of them: that is `tasks/names.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Spaces, Task, Transitions
from innerloop.tasks.chart import Chart

SPLITS = ("train", "validation", "test")


def deal(key: Array, count: int, n: int) -> Array:
    """n ids in [0, count): shuffled packs one after another, so distinct while n ≤ count and balanced beyond; int32 [n]."""
    packs = -(-n // count)
    order = jnp.argsort(jnp.reshape(jax.random.bits(key, (packs * count,)), (packs, count)), axis=-1)
    return jnp.reshape(order, -1)[:n].astype(jnp.int32)


def evenly(best: Array) -> Array:
    """bool [..., A], the best actions (one at least) → their probabilities, ties sharing evenly; float32 [..., A]."""
    weight = best.astype(jnp.float32)
    return weight / jnp.sum(weight, axis=-1, keepdims=True)


class Measure(NamedTuple):
    """What a family is judged by beside the return: time in range, collisions."""

    unit: str  # of the figure: "%", "m/s"; empty for a count
    per: str = "step"  # of an episode: the mean over its "step"s, the sum over the "episode", its greatest ("any"), its "last"


@dataclass(frozen=True)
class Family(ABC):
    """A task distribution: an immutable, hashable description, closed over by jitted functions.

    On-device families also define `reset` and `step` (core.DeviceEnv), host families `make` and `assign`
    (core.HostTasks). Splits: a continuous law draws fresh tasks from a separate key stream per split; a finite set deals
    disjoint ids; a handful of tasks (`tiny`) stands whole in every split, and reports say so.
    """

    which: str = field(default="train", kw_only=True)  # the split this view samples from

    size: ClassVar[int] = -1  # number of tasks; -1 where unbounded
    unit: ClassVar[str] = "episode"  # of experience: "step" or "episode"
    on_device: ClassVar[bool] = True
    tiny: ClassVar[bool] = False
    measures: ClassVar[Mapping[str, Measure]] = {}  # by name; what `measure` tells
    told: ClassVar[tuple[str, ...]] = ()  # numbers in a host environment's `info` that `measure` needs; no agent meets them

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that `--tasks` takes."""

    @property
    @abstractmethod
    def spaces(self) -> Spaces: ...

    @property
    @abstractmethod
    def horizon(self) -> int:
        """Steps in one episode at most."""

    @property
    @abstractmethod
    def episodes(self) -> int:
        """Episodes in a trial, by the family's definition."""

    @property
    def native(self) -> Any:
        """The family's `tasks.robot.Robot`, if MuJoCo can step it without Gymnasium; None for all others."""
        return None

    @abstractmethod
    def sample(self, key: Array, n: int) -> Task:
        """n tasks of this split, leaves [n, ...]; distinct indices where the family is finite and n ≤ size."""

    def best(self, task: Task) -> Any:
        """Return of the best policy that knows the task, per unit of experience; None where no closed form is known."""
        return None

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Any:
        """What the best policy that knows the task does: the labels of supervised in-context methods.

        Args:
            task: leaves [..., *]; its leading axes and those of the other arguments broadcast as numpy's do.
            obs: where the episode stands, [..., *obs].
            time: steps taken in this episode, int [...].
            earned: return of this episode so far, float [...].

        Returns:
            Probabilities [..., A] over the actions of a Discrete space, ties sharing evenly; jittable. Of policies with the
            same return the one that earns it soonest is meant. None (the default) where no closed form is known.
        """
        return None

    @property
    def chart(self) -> Chart | None:
        """Where goals may lie, if tasks are places on a plane; None (the default) for all others."""
        return None

    def privileged(self, task: Task, arrived: Any) -> Any:
        """A denser reward for having come to `arrived` that only training may see, of one row; jittable. Published settings
        give it to critics; no agent ever observes it. None (the default) where there is none."""
        return None

    def measure(self, task: Task, seen: Transitions) -> dict[str, Array]:
        """What one transition adds to each of `measures`, from what the agent met there; jittable.

        Args:
            task: of one row; its leaves are the family's.
            seen: of one row. `arrived` is the observation before any reset; `told` [M] what the family asked of `info`. On the
                host too this is all that is known.

        Returns:
            {name: float scalar}, with the names of `measures`. Evaluation gives their means in every unit of experience.
        """
        return {}

    @property
    def protocol(self) -> dict[str, str]:
        """What no figure of this family should be told without, {name: value}: versions, lengths. Default: nothing."""
        return {}

    def split(self, name: str) -> Self:
        """The same family with the tasks of one split; ValueError for an unknown name."""
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; accepted: {', '.join(SPLITS)}")
        return replace(self, which=name)

    def stream(self, key: Array) -> Array:
        """The split's own key stream: no two splits ever draw from the same key."""
        return jax.random.fold_in(key, SPLITS.index(self.which))
