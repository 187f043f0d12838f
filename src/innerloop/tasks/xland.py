"""XLand-MiniGrid: a room with objects, hidden rules by which they change, and a hidden goal, to be found out in a few episodes.

Definition (Nikulin et al. 2023, XLand-MiniGrid, arXiv 2312.12044), by the authors' package `xminigrid`, an extra: one room of
9 × 9 (`XLand-MiniGrid-R1-9x9`); forward, two turns, pick up, put down, toggle; seen are tile and colour of the 5 × 5 cells
ahead; the reward is 1 − 0.9 t/243 when the goal is met after t steps, which terminates the episode, and else 0; truncated after
243 steps; objects and agent stand elsewhere in every episode. A trial is `n` = 4 episodes' length (ours).

A task is a ruleset: a goal, the rules that lead to it, distracting rules, and the objects to begin with. They are drawn here by
the procedure of the authors' `ruleset_generator.py` at its settings for trivial, small, medium and high, by a seed of their own
that no reset ever draws from (the authors' baseline used one key for both until May 2025), and nothing is downloaded. Of 20,000
drawn the first of each kind is kept, two being of a kind if goal and rules are the same, in whatever order; `size` counts what
remains: 665, 18,200, 19,705 and 19,785. (The authors' loop let repetitions through until December 2025: a million trivial
rulesets were at most some 21,000.) So no goal with the same rules stands in two splits: 80 % train, 10 % validation, 10 % test.

Not comparable with returns on the authors' benchmark files: these are other rulesets of the same law.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Discrete, Spaces, Task
from innerloop.tasks.family import Family, deal

SIDE, VIEW, STEPS, DRAWN = 9, 5, 3 * 9 * 9, 20_000
_TILES, _COLOURS, _MOVES = 13, 12, 6  # the package's numbers of kinds, colours and actions
_USED = (1, 2, 3, 4, 5, 6, 9)  # red, green, blue, purple, yellow, grey, white
_HELD = tuple(product((3, 4, 5, 7), _USED))  # ball, square, pyramid, key
_NEAR = (*_HELD, *product((6,), _USED))  # and goals, which cannot be picked up
_MADE = (*_HELD, (1, 7))  # a black floor: the object disappears

Tile = tuple[int, int]


class Law(NamedTuple):
    """How rulesets of a level are drawn; the authors' settings."""

    depth: int  # of the tree of rules above the goal
    prune: float  # probability that a branch ends early
    rules: int  # distracting ones at most
    objects: int  # distracting ones
    seed: int


LAWS = {
    "trivial": Law(0, 0.0, 0, 3, 0),
    "small": Law(1, 0.3, 2, 2, 1),
    "medium": Law(2, 0.1, 3, 2, 2),
    "high": Law(3, 0.1, 4, 1, 3),
}


class Rules(NamedTuple):
    """One task in the package's encoding, uint8: `goal` [5], `rules` [R, 7] and `objects` [M, 2], padded with zeros."""

    goal: Array | np.ndarray
    rules: Array | np.ndarray
    objects: Array | np.ndarray


def _package() -> Any:
    """The package, imported when it is first needed."""
    try:
        with jax.ensure_compile_time_eval():  # its modules make arrays, which must not be born inside a trace
            return importlib.import_module("xminigrid")
    except ImportError:
        raise ValueError("xland families need the package xminigrid: pip install 'innerloop[xland]'") from None


def _near(rng: np.random.RandomState, used: set[Tile], *, first: int) -> tuple[list[int], list[Tile]]:
    """A condition, as code and tiles: holding one (`first`), being next to one, or two next to each other."""

    def one(tiles: tuple[Tile, ...]) -> Tile:
        left = [tile for tile in tiles if tile not in used]
        return left[rng.randint(len(left))]

    kind = rng.randint(3)
    if kind == 0:
        tiles = [one(_HELD)]
    elif kind == 1:
        tiles = [one(_NEAR)]
    else:
        tiles = [one(_NEAR), one(_HELD)]
    code = (1, 3, 4)[kind] if first else (1, 2, 3)[kind]
    return [code, *(x for tile in sorted(tiles) for x in tile)], tiles


def draw(rng: np.random.RandomState, law: Law) -> tuple[list[int], list[list[int]], list[Tile]]:
    """One ruleset: goal, rules and the objects to begin with."""
    goal, tiles = _near(rng, set(), first=1)
    used, wanted, rules, objects = set(tiles), list(tiles), [], []
    for _ in range(law.depth):
        deeper: list[Tile] = []
        for made in wanted:
            if rng.random_sample() < law.prune:
                objects.append(made)
                continue
            rule, tiles = _near(rng, used, first=0)
            used |= set(tiles)
            deeper += tiles
            rules.append([*rule, *made])
        wanted = deeper
    objects += wanted
    spare = [tile for tile in _NEAR if tile not in used]
    objects += [spare[rng.randint(len(spare))] for _ in range(law.objects)]
    for _ in range(rng.randint(law.rules + 1)):
        left = [tile for tile in _MADE if tile not in used]
        rule, tiles = _near(rng, set(), first=0)
        rules.append([*rule, *left[rng.randint(len(left))]])
        objects += tiles
    return goal, rules, objects


@lru_cache
def rulesets(level: str) -> Rules:
    """The distinct rulesets of a level among DRAWN, in the order in which they came; numpy leaves [U, ...]."""
    rng, law = np.random.RandomState(LAWS[level].seed), LAWS[level]
    kept: dict[tuple[Any, ...], tuple[list[int], list[list[int]], list[Tile]]] = {}
    for _ in range(DRAWN):
        goal, rules, objects = draw(rng, law)
        kept.setdefault((tuple(goal), *sorted(map(tuple, rules))), (goal, rules, objects))
    most_rules = max(1, *(len(rules) for _, rules, _ in kept.values()))
    most_objects = max(len(objects) for *_, objects in kept.values())
    out = Rules(*(np.zeros((len(kept), *shape), np.uint8) for shape in ((5,), (most_rules, 7), (most_objects, 2))))
    for i, (goal, rules, objects) in enumerate(kept.values()):
        out.goal[i, : len(goal)] = goal
        for j, rule in enumerate(rules):
            out.rules[i, j, : len(rule)] = rule
        out.objects[i, : len(objects)] = objects
    return out


@dataclass(frozen=True)
class _XLand(Family):
    """What the levels share; params: Rules; Task.index is the row in `rulesets(level)`."""

    n: int = 4  # episodes in a trial; ours

    @property
    @abstractmethod
    def level(self) -> str:
        """One of LAWS."""

    @property
    def name(self) -> str:
        return f"xland-{self.level}" if self.n == _XLand.n else f"xland-{self.level}-n{self.n}"

    @property
    def size(self) -> int:  # type: ignore[override]  # counted, not known beforehand
        return len(rulesets(self.level).goal)

    @property
    def spaces(self) -> Spaces:
        _package()  # whoever asks for spaces is about to live in them: say here what is missing
        seen = (Discrete(_TILES),) * VIEW**2 + (Discrete(_COLOURS),) * VIEW**2
        return Spaces(seen, Discrete(_MOVES))

    @property
    def horizon(self) -> int:
        return STEPS

    @property
    def episodes(self) -> int:
        return self.n

    @property
    def ids(self) -> range:
        """The rulesets of this split."""
        ends = [0, self.size * 8 // 10, self.size * 9 // 10, self.size]
        at = ("train", "validation", "test").index(self.which)
        return range(ends[at], ends[at + 1])

    def sample(self, key: Array, n: int) -> Task:
        index = self.ids.start + deal(self.stream(key), len(self.ids), n)
        return Task(index, jax.tree.map(lambda x: jnp.asarray(x)[index], rulesets(self.level)))

    def reset(self, task: Task, key: Array) -> tuple[Any, Any]:
        env, params = _made(task.params)
        with jax.numpy_rank_promotion("allow"):
            start = env.reset(params, key)
        return _plain(start.state), _seen(start.observation)

    def step(self, task: Task, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        env, params = _made(task.params)
        none = jnp.zeros(())
        with jax.numpy_rank_promotion("allow"):
            now = env.step(params, _package().types.TimeStep(state, jnp.uint8(1), none, none, none), action)
        reward, over = now.reward.astype(jnp.float32), (now.discount == 0.0).astype(bool)
        return _plain(now.state), _seen(now.observation), reward, over, now.state.step_num >= STEPS


def _made(rules: Rules) -> tuple[Any, Any]:
    """The package's environment, and its parameters with these rules."""
    package = _package()
    env, params = package.make(f"XLand-MiniGrid-R1-{SIDE}x{SIDE}")
    ruleset = package.types.RuleSet(goal=rules.goal, rules=rules.rules, init_tiles=rules.objects)
    return env, params.replace(max_steps=STEPS, ruleset=ruleset)


def _plain(state: Any) -> Any:
    """A state without the key it was drawn from, and of types that a step keeps."""
    without = state.replace(key=jnp.zeros((), jnp.uint32))
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), without)


def _seen(view: Array) -> tuple[Array, ...]:
    """[5, 5, 2] → 25 tiles and 25 colours."""
    flat = jnp.reshape(view, (VIEW**2, 2)).astype(jnp.int32)
    return tuple(flat[i, layer] for layer in range(2) for i in range(VIEW**2))


@dataclass(frozen=True)
class XLandTrivial(_XLand):
    """A goal, the objects that it takes, and three others."""

    @property
    def level(self) -> str:
        return "trivial"


@dataclass(frozen=True)
class XLandSmall(_XLand):
    """Up to one rule in the way of each object of the goal, and up to two distracting ones."""

    @property
    def level(self) -> str:
        return "small"


@dataclass(frozen=True)
class XLandMedium(_XLand):
    """Trees of rules two deep, and up to three distracting ones."""

    @property
    def level(self) -> str:
        return "medium"


@dataclass(frozen=True)
class XLandHigh(_XLand):
    """Trees of rules three deep, and up to four distracting ones."""

    @property
    def level(self) -> str:
        return "high"
