"""Faults of host environments: what went wrong where, and when it is too much.

Not their detection (`boundary.py`, `workers.py`) nor what a life makes of them (`host.py`).
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import NamedTuple

import numpy as np

log = logging.getLogger("innerloop.worlds")

SHARE = 0.2  # of the slots that may fail again and again before the world gives up
AGAIN = 3  # a slot's score at which it fails "again and again": a fault adds 1, a clean episode takes CLEAN away,
CLEAN = 0.2  # so that whoever loses more than one episode in six gets there
LOUD = 20  # warnings per life; the rest is only counted


class Fault(NamedTuple):
    """One fault: which environment, and why its episode was discarded."""

    family: str
    task: int  # row in the batch of tasks
    index: int  # Task.index, -1 where the family is unbounded
    stream: int
    episode: int  # counted from the beginning of the life
    reason: str

    def __str__(self) -> str:
        where = f"task row {self.task}, index {self.index}, stream {self.stream}, episode {self.episode}"
        return f"{self.family} ({where}): {self.reason}"


class HostFaults(RuntimeError):
    """Too many environments fail again and again."""


class Ledger:
    """The faults of one world: the last thousand in full, all of them counted."""

    def __init__(self, family: str):
        self.family = family
        self.faults: deque[Fault] = deque(maxlen=1000)
        self.count = 0
        self.discarded = 0  # rows of lives that do not count because their episode was discarded
        self.fails = np.zeros(0)  # per slot: the score
        self._said = 0

    def open(self, slots: int) -> None:
        """A life begins, with so many slots."""
        self._said = 0
        if len(self.fails) != slots:
            self.fails = np.zeros(slots)

    def record(self, slot: int, fault: Fault) -> None:
        """Count a fault and say so."""
        self.fails[slot] += 1
        self.count += 1
        self.faults.append(fault)
        self._said += 1
        if self._said <= LOUD:
            log.warning("%s; the episode is discarded", fault)
        elif self._said == LOUD + 1:
            log.warning("more faults in this life are counted, not reported")

    def clean(self, slots: np.ndarray) -> None:
        """These slots (a mask or indices) ended an episode without a fault."""
        self.fails[slots] = np.maximum(0.0, self.fails[slots] - CLEAN)

    def check(self) -> None:
        """HostFaults if more than a fifth of the slots fail again and again."""
        down = int((self.fails >= AGAIN).sum())
        if down > SHARE * len(self.fails):
            reasons = Counter(f.reason for f in self.faults).most_common(3)
            listed = "; ".join(f"{n}× {reason}" for reason, n in reasons)
            raise HostFaults(
                f"{down} of {len(self.fails)} environments of {self.family} fail again and again ({self.count} faults so far: "
                f"{listed}). Try one alone: env = tasks.make(); tasks.assign(env, params); env.reset(seed=0); env.step(action)"
            )
