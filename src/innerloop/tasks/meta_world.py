"""Meta-World (Yu et al. 2019, arXiv 1910.10897): an arm that manipulates things, and meta-learning over their places and uses.

Definition: the authors' package, metaworld 3 (an extra), through its own classes `ML1`, `ML10` and `ML45` and their tasks of
seed 0: 50 places of goal and object for every class of environment, which is hidden (the goal is zeros in the observation).
[39] numbers: hand, grip, up to two things and how they are turned, now and one step earlier, and the hidden goal. 4 actions in
±1: how the hand moves, and the grip. Rewards from 0 to 10 by the package's functions "v2", or "v1" (`-r1`). Nothing
terminates; an episode is 500 steps, or `-tT` where a name says so (ours). Every episode of a task begins alike. A trial is 10
episodes, as the paper's RL² has them.

`ml1-CLASS`: one class; tests on 50 places that training has not met. `ml10`, `ml45`: 10 and 45 classes to train on, five
others to test on. The validation split (ours) is ten of the fifty places of every training class, which training does not get.
Batches of tasks deal classes evenly.

Judged by success, at any step of an episode and at its last, as the package says it. Its vector environments serve the wrong
split, and its ML25 tests on a class that it trains on: neither is used here, and `ml25` is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces, Task, Transitions
from innerloop.tasks import sawyer_env
from innerloop.tasks.family import Family, Measure, deal

PUBLISHED, SEED, PLACES, VALIDATED = 500, 0, 50, 10  # steps in an episode; of the goals; of a class; of them, for validation
SIZES = {10: (10, 5), 45: (45, 5)}  # classes of training and of the test
CLASSES = (
    *("assembly", "basketball", "bin-picking", "box-close", "button-press", "button-press-topdown"),
    *("button-press-topdown-wall", "button-press-wall", "coffee-button", "coffee-pull", "coffee-push", "dial-turn"),
    *("disassemble", "door-close", "door-lock", "door-open", "door-unlock", "drawer-close", "drawer-open"),
    *("faucet-close", "faucet-open", "hammer", "hand-insert", "handle-press", "handle-press-side", "handle-pull"),
    *("handle-pull-side", "lever-pull", "peg-insert-side", "peg-unplug-side", "pick-out-of-hole", "pick-place"),
    *("pick-place-wall", "plate-slide", "plate-slide-back", "plate-slide-back-side", "plate-slide-side", "push"),
    *("push-back", "push-wall", "reach", "reach-wall", "shelf-place", "soccer", "stick-pull", "stick-push", "sweep"),
    *("sweep-into", "window-close", "window-open"),
)  # without the package's "-v3"


class Target(NamedTuple):
    """One task: `kind` int32, the number of its class; `place` float32 [6], where goal and object are, zeros behind."""

    kind: Array
    place: Array


@dataclass(frozen=True)
class _MetaWorld(Family):
    """What the benchmarks share; params: Target."""

    r: int = 2  # version of the rewards, of the package's 1 and 2
    t: int = PUBLISHED  # steps in an episode
    n: int = 10  # episodes in a trial

    on_device = False
    told: ClassVar[tuple[str, ...]] = ("success",)
    measures: ClassVar[Mapping[str, Measure]] = {
        "success at any step": Measure("%", "any"),
        "success at the last step": Measure("%", "last"),
    }

    def __post_init__(self) -> None:
        if self.r not in (1, 2):
            raise ValueError(f"{self.name}: there are no rewards of version {self.r}; accepted: 1 and 2, the default.")

    @property
    def _benchmark(self) -> str:
        """As `sawyer_env.goals` takes it."""
        raise NotImplementedError

    @property
    def _title(self) -> str:
        """The name without settings."""
        raise NotImplementedError

    @property
    def _classes(self) -> tuple[int, int]:
        """Of training, and of the test."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        told = {"r": (self.r, _MetaWorld.r), "t": (self.t, _MetaWorld.t), "n": (self.n, _MetaWorld.n)}
        return self._title + "".join(f"-{key}{value}" for key, (value, usual) in told.items() if value != usual)

    @property
    def spaces(self) -> Spaces:
        sawyer_env.package()  # whoever asks for spaces is about to live in them: say here what is missing
        return Spaces(Box((sawyer_env.WIDTH,)), Box((sawyer_env.MOTORS,), -1.0, 1.0))

    @property
    def horizon(self) -> int:
        return self.t

    @property
    def episodes(self) -> int:
        return self.n

    @property
    def size(self) -> int:  # type: ignore[override]
        return PLACES * sum(self._classes)

    @property
    def protocol(self) -> dict[str, str]:
        steps = str(self.t) if self.t == PUBLISHED else f"{self.t} (published: {PUBLISHED})"
        told = {"steps in an episode": steps, "rewards": f"v{self.r}", "goals of seed": str(SEED)}
        return told | sawyer_env.versions()

    @property
    def goals(self) -> sawyer_env.Goals:
        """The package's tasks; `Task.index` is the row."""
        return sawyer_env.goals(self._benchmark, SEED)

    @property
    def ids(self) -> list[int]:
        """The tasks of this split."""
        return [row for rows in self._rows for row in rows]

    @property
    def _rows(self) -> list[range]:
        """The tasks of this split, by class."""
        first, count = (0, self._classes[0]) if self.which != "test" else self._classes
        within = {"train": (0, PLACES - VALIDATED), "validation": (PLACES - VALIDATED, PLACES), "test": (0, PLACES)}[self.which]
        return [range(PLACES * c + within[0], PLACES * c + within[1]) for c in range(first, first + count)]

    def sample(self, key: Array, n: int) -> Task:
        rows, goals = jnp.asarray(self._rows, jnp.int32), self.goals
        key_kinds, *keys = jax.random.split(self.stream(key), 1 + len(rows))
        order = jnp.stack([jax.random.permutation(k, row) for k, row in zip(keys, rows, strict=True)])
        kind, turn = deal(key_kinds, len(rows), n), jnp.arange(n) // len(rows)
        index = order[kind, turn % order.shape[1]]
        return Task(index, Target(jnp.asarray(goals.kind)[index], jnp.asarray(goals.place, jnp.float32)[index]))

    def measure(self, task: Task, seen: Transitions) -> dict[str, Array]:
        return {name: 100.0 * seen.told[0] for name in self.measures}

    @property
    def make(self) -> Callable[[], Any]:
        return partial(sawyer_env.SawyerEnv, self.goals.kinds, self.r, self.t)

    @property
    def assign(self) -> Callable[[Any, Any], None]:
        return partial(sawyer_env.assign, self.goals)


@dataclass(frozen=True)
class ML1(_MetaWorld):
    """One class of environment: `ml1-reach`."""

    task: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in CLASSES:
            near = difflib.get_close_matches(self.task, CLASSES, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"ml1-{self.task}: Meta-World has no such class.{hint} Accepted: {', '.join(CLASSES)}.")

    @property
    def _benchmark(self) -> str:
        return f"{self.task}-v3"

    @property
    def _title(self) -> str:
        return f"ml1-{self.task}"

    @property
    def _classes(self) -> tuple[int, int]:
        return 1, 1


@dataclass(frozen=True)
class ML(_MetaWorld):
    """Many classes to train on, and five others to test on: `ml10`, `ml45`."""

    k: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k not in SIZES:
            why = {
                1: "ML1 takes a class: ml1-reach, for example",
                25: "its test has a class of its training (basketball), so that what it measures is not held out",
            }.get(self.k, "Meta-World has no such benchmark")
            raise ValueError(f"ml{self.k} is refused: {why}. Accepted: ml1-CLASS, ml10, ml45.")

    @property
    def _benchmark(self) -> str:
        return f"ML{self.k}"

    @property
    def _title(self) -> str:
        return f"ml{self.k}"

    @property
    def _classes(self) -> tuple[int, int]:
        return SIZES[self.k]
