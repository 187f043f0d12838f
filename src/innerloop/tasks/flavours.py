"""The flavours of every Atari game, and which of them train, validate and test: a data file, and how it is made.

`python -m innerloop.tasks.flavours` writes it from the games of the installed ale-py. Not the environment (`atari_env.py`).
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from innerloop.tasks.atari_env import Flavour, console, package

FILE = Path(__file__).parent / "data" / "flavours.json"
SHARES = (0.6, 0.2)  # of a game's flavours, in train and validation; what is left tests
LEAST = 3  # flavours of a game, or there is none for some split


class Game(NamedTuple):
    """What is known of a game without playing it."""

    screen: tuple[int, int]  # pixels, height and width
    actions: int
    splits: tuple[tuple[Flavour, ...], ...]  # train, validation, test

    @property
    def flavours(self) -> tuple[Flavour, ...]:
        """All of them, split by split."""
        return tuple(flavour for split in self.splits for flavour in split)


@cache
def listed() -> dict[str, Any]:
    """The file: `ale_py`, the version whose games these are, and `games` by name."""
    return json.loads(FILE.read_text())


def game(name: str) -> Game:
    """A game by its ROM's name; KeyError where it has fewer than three flavours, or there is none."""
    told = listed()["games"][name]
    splits = tuple(tuple(Flavour(*one) for one in told[which]) for which in ("train", "validation", "test"))
    return Game(tuple(told["screen"]), told["actions"], splits)


def dealt(name: str, flavours: list[Flavour]) -> dict[str, list[Flavour]]:
    """Flavours in an order that depends on the game's name alone, 60 % train, 20 % validation, 20 % test, and one at least."""
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(flavours))
    held = max(1, round(SHARES[1] * len(flavours)))
    train = len(flavours) - 2 * held
    ends = (0, train, train + held, len(flavours))
    rows = [sorted(flavours[i] for i in order[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
    return dict(zip(("train", "validation", "test"), rows, strict=True))


def main() -> None:
    """Write the data file."""
    ale_py = package()
    games = {}
    for name in sorted(ale_py.roms.get_all_rom_ids()):
        if not ale_py.ALEInterface.isSupportedROM(Path(ale_py.roms.get_rom_path(name))):
            continue  # for several players
        ale = console(name)
        flavours = [Flavour(m, d) for m in ale.getAvailableModes() for d in ale.getAvailableDifficulties()]
        if len(flavours) >= LEAST:
            known = {"screen": ale.getScreenDims(), "actions": len(ale.getMinimalActionSet())}
            games[name] = known | dealt(name, flavours)
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(games[name])}" for name in games)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(f'{{"ale_py": {json.dumps(ale_py.__version__)},\n "games": {{\n{rows}\n }}}}\n')


if __name__ == "__main__":
    main()
