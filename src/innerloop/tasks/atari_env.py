"""An Atari 2600 game as a Gymnasium environment: small grey frames, sticky actions, and a flavour of the game as its task.

Not the family of tasks (`atari.py`). The only file that imports ale-py (the extra `atari`), and free of JAX: worker processes
import it.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, NamedTuple

import gymnasium
import numpy as np

STICKY = 0.25  # probability that a frame repeats the action of the frame before (Machado et al. 2018, §4.3)
ROWS, COLUMNS = 5, 4  # of a screen's pixels, averaged into one of the observation


class Flavour(NamedTuple):
    """A game as a player would set it at the console."""

    mode: int
    difficulty: int


def package() -> Any:
    """ale-py, imported when it is first needed."""
    try:
        return importlib.import_module("ale_py")
    except ImportError:
        raise ValueError("atari families need the package ale-py: pip install 'innerloop[atari]'") from None


def console(game: str, sticky: float = 0.0) -> Any:
    """A console with a game in it, ALE's own random numbers seeded with 0."""
    ale_py = package()
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    _load(ale, game)
    return ale


def _load(ale: Any, game: str) -> None:
    ale.setInt("random_seed", 0)
    ale.loadROM(package().roms.get_rom_path(game))


def switch(ale: Any, flavour: Flavour) -> None:
    """Set a console's switches; they count from its next reset on."""
    ale.setMode(flavour.mode)
    ale.setDifficulty(flavour.difficulty)


@cache
def _start(game: str, flavour: Flavour) -> tuple[Any, np.ndarray]:
    """The emulator as an episode finds it, and its screen, which is no part of its state. Of a console of its own: what a reset
    leaves depends on what was played before."""
    ale = console(game)
    switch(ale, flavour)
    ale.reset_game()
    return ale.cloneState(), ale.getScreenGrayscale()


def smaller(screen: np.ndarray) -> np.ndarray:
    """Means of blocks of 5 × 4 pixels, rounded; uint8 [H, W] → [H // 5, W // 4, 1]. What is left over below is cut off."""
    rows, columns = screen.shape[0] // ROWS, screen.shape[1] // COLUMNS
    screen = screen[: rows * ROWS, : columns * COLUMNS]
    tall = sum(screen[k::ROWS].astype(np.uint16) for k in range(ROWS))
    whole = sum(tall[:, k::COLUMNS] for k in range(COLUMNS))
    return ((whole + ROWS * COLUMNS // 2) // (ROWS * COLUMNS)).astype(np.uint8)[..., None]


class AtariEnv(gymnasium.Env):
    """One console. Actions are the game's minimal set, in the order that the task gives them. An episode ends with the game, or
    is truncated after `length` steps of `skip` frames (two at least), and begins in the same state of the emulator always."""

    def __init__(self, game: str, length: int, skip: int = 4):
        self.game, self.length, self.skip, self.elapsed = game, length, skip, 0
        self.ale = console(game)
        self.buttons = self.ale.getMinimalActionSet()
        self.action_space = gymnasium.spaces.Discrete(len(self.buttons))
        self._frames = [np.zeros(self.ale.getScreenDims(), np.uint8) for _ in range(2)]
        self.observation_space = gymnasium.spaces.Box(0, 255, smaller(self._frames[0]).shape, np.uint8)
        self.become(
            Flavour(self.ale.getAvailableModes()[0], self.ale.getAvailableDifficulties()[0]), np.arange(len(self.buttons))
        )

    def become(self, flavour: Flavour, order: np.ndarray) -> None:
        """Take on a task, from the next reset on; `order` [A]: which of the game's actions each number stands for."""
        self.flavour, self.order = flavour, order

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """The flavour's own beginning; `seed` decides which frames repeat an action."""
        super().reset(seed=seed)
        switch(self.ale, self.flavour)
        state, screen = _start(self.game, self.flavour)
        self.ale.restoreState(state)
        self.elapsed, self._held = 0, self.buttons[0]
        return smaller(screen), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The reward is the sum of all frames', the picture the brighter of the last two."""
        wanted, reward = self.buttons[self.order[int(action)]], 0.0
        sticks = self.np_random.random(self.skip) < STICKY
        for k in range(self.skip):
            self._held = self._held if sticks[k] else wanted
            reward += self.ale.act(self._held)
            if k >= self.skip - 2:
                self.ale.getScreenGrayscale(self._frames[k % 2])
        self.elapsed += 1
        seen = smaller(np.maximum(*self._frames))
        return seen, reward, bool(self.ale.game_over()), self.elapsed >= self.length, {}

    def render(self) -> np.ndarray:
        """The screen in colour, uint8 [H, W, 3]."""
        return self.ale.getScreenRGB()


def assign(flavours: tuple[Flavour, ...], env: AtariEnv, params: Any) -> None:
    """Put a task into an environment; `params` as the family draws them, of one task."""
    env.become(flavours[int(params.flavour)], np.asarray(params.order))
