"""Atari 2600 games in their flavours: the modes and difficulties that a player would set at the console.

Definition: a game of the Arcade Learning Environment (Bellemare et al. 2013; ale-py, an extra) as Machado et al. 2018 play it,
with sticky actions (each frame repeats the action of the one before with probability 0.25), no sign of lost lives, and the
game's minimal set of actions. A step is 4 frames, ale-py's default (Machado et al.: 5), and the reward the sum of theirs, not
clipped. Seen is one grey picture, the brighter of the last two frames pixel by pixel, averaged over blocks of 5 × 4 pixels:
[H/5, 40, 1] uint8, mostly 42 × 40 (the field's 84 × 84 has four times as many). Every episode begins in the same state of the
emulator.

A task is a flavour. The 64 games with three or more of them are here; `data/flavours.json` says which train, validate and test,
60 / 20 / 20 %, disjoint. `atari-GAME-buttons`: a task is a flavour and an order of the actions, drawn uniformly: what each
button does is to be found out as well. Orders are fresh draws in every split.

Ours: the length of an episode, 200 steps (13 s of play) if the game does not end before; three episodes in a trial; the size of
the picture. Returns do not compare with those of whole games.
"""

from __future__ import annotations

import difflib
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks import atari_env, flavours
from innerloop.tasks.family import SPLITS, Family, deal


class Setting(NamedTuple):
    """One task: `flavour` int32, its number in `Game.flavours`; `order` int32 [A], the action that each number stands for."""

    flavour: Array
    order: Array


@dataclass(frozen=True)
class _Atari(Family):
    """What both kinds share; params: Setting."""

    game: str  # as in the name: space-invaders
    k: int = 4  # frames in a step
    t: int = 200  # steps in an episode at most
    n: int = 3  # episodes in a trial

    on_device = False

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ValueError(f"atari-{self.game}: a step of {self.k} frame; accepted: 2 at least, of which two make a picture.")
        games = flavours.listed()["games"]
        if self._rom not in games:
            known = [name.replace("_", "-") for name in games]
            near = difflib.get_close_matches(self.game, known, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"atari-{self.game}: no Atari game of this name has three flavours to split.{hint} Accepted: "
                f"{', '.join(known)}."
            )

    @property
    def _rom(self) -> str:
        return self.game.replace("-", "_")

    @property
    def _game(self) -> flavours.Game:
        return flavours.game(self._rom)

    @property
    @abstractmethod
    def kind(self) -> str:
        """What the name says behind the game."""

    @property
    def name(self) -> str:
        frames = "" if self.k == _Atari.k else f"-k{self.k}"
        length = "" if self.t == _Atari.t else f"-t{self.t}"
        episodes = "" if self.n == _Atari.n else f"-n{self.n}"
        return f"atari-{self.game}{self.kind}{frames}{length}{episodes}"

    @property
    def spaces(self) -> Spaces:
        atari_env.package()  # whoever asks for spaces is about to play: say here what is missing
        height, width = self._game.screen
        shape = height // atari_env.ROWS, width // atari_env.COLUMNS, 1
        return Spaces(Box(shape, 0.0, 255.0, "uint8"), Discrete(self._game.actions))

    @property
    def horizon(self) -> int:
        return self.t

    @property
    def episodes(self) -> int:
        return self.n

    @property
    def ids(self) -> range:
        """The flavours of this split, by their number."""
        counts, at = [len(split) for split in self._game.splits], SPLITS.index(self.which)
        return range(sum(counts[:at]), sum(counts[: at + 1]))

    def _flavours(self, key: Array, n: int) -> Array:
        return self.ids.start + deal(key, len(self.ids), n)

    @property
    def make(self) -> Any:
        return partial(atari_env.AtariEnv, self._rom, self.t, self.k)

    @property
    def assign(self) -> Any:
        return partial(atari_env.assign, self._game.flavours)


@dataclass(frozen=True)
class Atari(_Atari):
    """The task is the flavour; the buttons are the game's."""

    kind = ""

    @property
    def size(self) -> int:  # type: ignore[override]  # of the game
        return len(self._game.flavours)

    def sample(self, key: Array, n: int) -> Task:
        index = self._flavours(self.stream(key), n)
        order = jnp.arange(self._game.actions, dtype=jnp.int32)
        return Task(index, Setting(index, jnp.broadcast_to(order[None], (n, len(order)))))


@dataclass(frozen=True)
class AtariButtons(_Atari):
    """The task is the flavour, and what each button does."""

    kind = "-buttons"

    def sample(self, key: Array, n: int) -> Task:
        key_flavour, key_order = jax.random.split(self.stream(key))
        keys = jax.random.split(key_order, n)
        order = jax.vmap(lambda k: jax.random.permutation(k, self._game.actions))(keys).astype(jnp.int32)
        return Task(jnp.full(n, -1, jnp.int32), Setting(self._flavours(key_flavour, n), order))
