"""A user's own environment as a family: `make(**task)` returns a `gymnasium.Env`, and ranges or lists say what varies.

Its name holds all of it, so that a run finds it again: `env:package.module:make?gravity=5:15&lanes=2,3&max-steps=200`. What
varies may stand beside the function instead: `make.varies = {"gravity": (5.0, 15.0), "lanes": [2, 3]}`, or
`make.tasks = [{"gravity": 9.8}, …]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks import switching
from innerloop.tasks.family import SPLITS, Family, deal
from innerloop.tasks.single import single
from innerloop.tasks.varying import Choice, Range, Varies, count, many, parsed, told_by

PREFIX = "env:"
SHARES = (0.6, 0.2, 0.2)  # of a finite set of tasks, in train, validation and test
LONGEST = 10_000  # steps walked to see whether an episode is cut
FEW = 5  # tasks below which all of them stand in every split
OPTIONS = {"max-steps": "steps after which an episode is cut", "episodes": "episodes in a trial"}


class Facts(NamedTuple):
    """What one environment told."""

    spaces: Spaces
    limit: int  # steps in an episode, by its own TimeLimit, or where it cut one of random actions; 0: not known


def named(source: str, vary: list[str], options: dict[str, int | None]) -> str:
    """The family's name from `--env SOURCE`, `--vary NAME=VALUES` … and options; ValueError where they are not well formed."""
    parts = []
    for text in vary:
        name, equals, values = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--vary takes NAME=VALUES, for example gravity=5:15 or lanes=2,3; given {text!r}.")
        parsed(name, values)
        parts.append(f"{name}={values}")
    parts += [f"{name}={value}" for name, value in options.items() if value is not None]
    return PREFIX + source + (("&" if "?" in source else "?") + "&".join(parts) if parts else "")


def family(name: str) -> Own:
    """The family behind a name; ValueError, saying what is accepted, where it is none."""
    source, _, query = name.removeprefix(PREFIX).partition("?")
    varies, options = [], {}
    for text in filter(None, query.split("&")):
        key, _, value = text.partition("=")
        if key in OPTIONS:
            if not value.isdigit() or int(value) < 1:
                raise ValueError(f"{name}: {key} is {value!r}; accepted: a whole number from 1.")
            options[key.replace("-", "_")] = int(value)
        else:
            varies.append((key, parsed(key, value)))
    from innerloop.tasks.traced import Traced, kind_of

    return (Traced if kind_of(source) else Own)(source, tuple(varies), query, **options)


@cache
def _facts(source: str, task: tuple[tuple[str, Any], ...]) -> Facts:
    make = switching.maker(source)
    try:
        env = single(make(**dict(task)))
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in task)
        raise ValueError(f"--env {source}: make({given}) raised {type(error).__name__}: {error}.") from None
    if not isinstance(env, gymnasium.Env):
        raise ValueError(f"--env {source}: make returned {type(env).__name__}; accepted: a gymnasium.Env.")
    try:
        action = _space(switching.Acting(env.action_space).agent)
        obs = _space(switching.plain(env.observation_space))
        limit = env.spec.max_episode_steps if env.spec is not None else None
        inside: Any = env
        while limit is None and isinstance(inside, gymnasium.Wrapper):
            limit, inside = getattr(inside, "_max_episode_steps", None), inside.env
        return Facts(Spaces(obs, action), limit or _cut(env))
    except ValueError as error:
        raise ValueError(f"--env {source}: {error}") from None
    except Exception as error:
        raise ValueError(f"--env {source}: an episode of random actions raised {type(error).__name__}: {error}.") from None
    finally:
        env.close()


def _cut(env: gymnasium.Env) -> int:
    """Steps after which an episode of random actions was truncated; 0 where it ended otherwise, or not at all."""
    env.action_space.seed(0)
    env.reset(seed=0)
    for step in range(1, LONGEST + 1):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            return 0 if terminated else step
    return 0


def _space(space: Any) -> Any:
    """A plain Gymnasium space as one of ours. A Box has one pair of bounds: what bounds all entries, and none where they
    differ."""
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.Dict):
        return {name: _space(part) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_space(part) for part in space)
    kind = "uint8" if space.dtype == np.uint8 else "float32"
    alike = np.ptp(space.low) == 0 and np.ptp(space.high) == 0 if np.all(np.isfinite([space.low, space.high])) else False
    low, high = (float(space.low.min()), float(space.high.max())) if alike else (-math.inf, math.inf)
    return Box(tuple(space.shape), low, high, kind)


@dataclass(frozen=True)
class Own(Family):
    """`source` names a function of the task. Finite sets of tasks are dealt to the splits; ranges are drawn from anew, the same
    range in every split (`innerloop evaluate --on` takes another one). Params: float [P], for each argument a value of its
    range or the number of an alternative; [1] the number of a listed task."""

    source: str  # package.module:make
    given: Varies = ()  # by name; else what the function says of itself
    query: str = ""  # as it was written
    max_steps: int = 0  # in an episode; 0: by the environment's own TimeLimit
    episodes: int = 3  # type: ignore[assignment]  # in a trial

    on_device = False

    @property
    def name(self) -> str:
        return PREFIX + self.source + (f"?{self.query}" if self.query else "")

    @property
    def variation(self) -> Varies | tuple[dict[str, Any], ...]:
        """What varies, or the listed tasks."""
        return self.given or _told(self.source)

    @property
    def varies(self) -> Varies:
        found = self.variation
        return () if found and isinstance(found[0], dict) else found  # pyright: ignore[reportReturnType]

    @property
    def listed(self) -> tuple[dict[str, Any], ...]:
        found = self.variation
        return found if found and isinstance(found[0], dict) else ()  # pyright: ignore[reportReturnType]

    @property
    def size(self) -> int:  # type: ignore[override]
        return len(self.listed) or count(self.varies)

    @property
    def tiny(self) -> bool:  # type: ignore[override]
        return 0 <= self.size < FEW

    @property
    def _facts(self) -> Facts:
        first = self.listed[0] if self.listed else {name: x.at(0.5) for name, x in self.varies}
        return _facts(self.source, tuple(first.items()))

    @property
    def spaces(self) -> Spaces:
        return self._facts.spaces

    @property
    def horizon(self) -> int:
        limit = self.max_steps or self._facts.limit
        if not limit:
            raise ValueError(
                f"--env {self.source}: nothing says how long an episode may be. Give --max-steps, or wrap the environment in "
                "gymnasium.wrappers.TimeLimit."
            )
        return limit

    @property
    def ids(self) -> np.ndarray:
        """Numbers of this split's tasks, where they are finite; in an order that has nothing to do with their values."""
        if self.tiny:
            return np.arange(self.size)
        order = np.random.default_rng(0).permutation(self.size)
        ends = np.round(np.cumsum((0.0, *SHARES)) * self.size).astype(int)
        at = SPLITS.index(self.which)
        return order[ends[at] : max(ends[at + 1], ends[at] + 1)]

    def corners(self) -> list[dict[str, Any]]:
        """Some tasks that differ as much as may be: arguments of `make`."""
        if self.listed:
            return [dict(one) for one in self.listed[:3]]
        return [{name: x.at(share) for name, x in self.varies} for share in ((0.0, 1.0, 0.5) if self.varies else (0.0,))]

    def sample(self, key: Array, n: int) -> Task:
        if self.size >= 0:
            ids = jnp.asarray(self.ids, jnp.int32)
            index = ids[deal(self.stream(key), len(self.ids), n)]
            return Task(index, self._numbered(index))
        shares = jax.random.uniform(self.stream(key), (n, len(self.varies)))
        columns = [_drawn(x, shares[:, i]) for i, (_, x) in enumerate(self.varies)]
        return Task(jnp.full(n, -1, jnp.int32), jnp.stack(columns, -1))

    def _numbered(self, index: Array) -> Array:
        """Parameters of tasks by their numbers, [n, P]: the last argument varies fastest."""
        if self.listed:
            return index[:, None].astype(jnp.float32)
        columns = []
        for _, x in reversed(self.varies):
            columns.append((index % many(x)) + (0 if isinstance(x, Choice) else int(x.low)))
            index = index // many(x)
        return jnp.stack(columns[::-1], -1).astype(jnp.float32) if columns else jnp.zeros((len(index), 0))

    @property
    def make(self) -> Any:
        return partial(switching.Switching, self.source, self.horizon)

    @property
    def assign(self) -> Any:
        return partial(switching.assign, self.varies, self.listed)


def _drawn(x: Range | Choice, share: Array) -> Array:
    if isinstance(x, Choice):
        return jnp.floor(share * len(x.options))
    if x.log:
        return jnp.clip(jnp.exp(math.log(x.low) + share * (math.log(x.high) - math.log(x.low))), x.low, x.high)
    return x.low + (jnp.floor(share * (x.high - x.low + 1)) if x.whole else share * (x.high - x.low))


@cache
def _told(source: str) -> Any:
    return told_by(switching.maker(source))
