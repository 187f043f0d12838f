"""Environments that fail: whose episode is discarded, who begins anew, and who is left alone for a while.

Not the detection of single faults (`boundary.py`, `workers.py`, `mujoco.py`) nor their count (`faults.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from innerloop.worlds.bench import FINE, RESET_FAULT, STEP_FAULT, Slots
from innerloop.worlds.boundary import Leaf, Transition, sound
from innerloop.worlds.faults import AGAIN, Fault, Ledger
from innerloop.worlds.record import Record


class Crew(Protocol):
    """Who steps the environments of all slots, into arrays of fixed shape: a bench, workers, or MuJoCo's own threads."""

    slots: Slots

    def assign(self, params: Sequence[Any]) -> None:
        """The task of every slot; those beyond its length stay unused."""
        ...

    def reset(self) -> None:
        """Begin the current episode of every slot in `slots.todo`."""
        ...

    def step(self) -> None:
        """One step of every slot in `slots.todo`, and the next episode's reset where one ended (SAME_STEP)."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True)
class Lot:
    """The tasks of one life each, and how many slots they take: slot = row of the task × streams + stream."""

    count: int
    streams: int
    index: np.ndarray
    params: Any

    @property
    def size(self) -> int:
        """Number of slots."""
        return self.count * self.streams


class Quarantine:
    """The slots of one world that cannot be trusted, and what becomes of their rows."""

    def __init__(self, family: str, leaves: Sequence[Leaf]):
        self.ledger = Ledger(family)
        self.down = np.zeros(0, bool)  # slots without an environment that works
        self._leaves = leaves
        self._due = np.zeros(0, np.int64)  # when each of them is tried again
        self._clock = 0  # steps so far

    def open(self, slots: int) -> None:
        """New lives in so many slots."""
        self.ledger.open(slots)
        self.down, self._due = np.zeros(slots, bool), np.zeros(slots, np.int64)

    def tick(self) -> None:
        """One step has passed."""
        self._clock += 1

    def examine(self, crew: Crew, s: int, got: Transition) -> tuple[dict[int, str], dict[int, str]]:
        """Slots whose step failed, and slots whose next episode failed to begin, with the reasons."""
        slots = crew.slots
        status = slots.status[:s]
        wrong = sound(self._leaves, got.arrived, got.reward)
        unsound = sound(self._leaves, got.obs) if got.first.any() else {}
        if not (status.any() or wrong or unsound):
            return {}, {}
        faults, unborn = {}, {}
        for i in np.flatnonzero(~self.down).tolist():
            if status[i] == STEP_FAULT:
                faults[i] = slots.reason(i)
            elif i in wrong:
                faults[i] = wrong[i]
            elif status[i] == RESET_FAULT:
                unborn[i] = slots.reason(i)
            elif got.first[i] and i in unsound:
                unborn[i] = unsound[i]
        return faults, unborn

    def isolate(
        self,
        crew: Crew,
        lot: Lot,
        record: Record,
        row: int,
        before: Sequence[np.ndarray],
        got: Transition,
        faults: dict[int, str],
        unborn: dict[int, str],
    ) -> None:
        """Put finite dummies where there is no transition, discard the episodes, and begin others.
        `before`: the observations [S, ...] that came before this row."""
        slots, renew = crew.slots, np.zeros(lot.size, bool)
        self.ledger.discarded += int(self.down.sum())
        for i in [*faults, *np.flatnonzero(self.down)]:
            for arrived, obs, last in zip(got.arrived, got.obs, before, strict=True):
                arrived[i] = obs[i] = last[i]
            got.reward[i], got.terminated[i], got.truncated[i], got.first[i], got.mask[i] = 0.0, False, True, True, False
        for i, reason in faults.items():
            self.ledger.discarded += record.discard(i, row)
            self._report(crew, lot, i, reason)
            renew[i] = True
        for i, reason in unborn.items():
            for arrived, obs in zip(got.arrived, got.obs, strict=True):
                obs[i] = arrived[i]
            self._report(crew, lot, i, reason)
            renew[i] = True
        renew |= self.down & (self._due <= self._clock)
        slots.episode[: lot.size][renew] += 1
        slots.remake[: lot.size][renew] = True
        self.begin(crew, lot, renew, got.obs)

    def begin(self, crew: Crew, lot: Lot, which: np.ndarray, obs: list[np.ndarray]) -> None:
        """Begin the current episode of some slots, into `obs`. Who fails tries the next episode on a new environment; who
        fails again and again is down, and tried again later, after twice as many steps each time."""
        s, slots, which = lot.size, crew.slots, which.copy()
        for _ in range(AGAIN):
            if not which.any():
                break
            slots.todo[:s], slots.todo[s:] = which, False
            crew.reset()
            unsound = sound(self._leaves, [o[:s] for o in slots.obs])
            bad = {i: slots.reason(i) for i in np.flatnonzero(which & (slots.status[:s] != FINE)).tolist()}
            bad = {i: why for i, why in unsound.items() if which[i]} | bad
            good = which.copy()
            good[list(bad)] = False
            for mine, theirs in zip(obs, slots.obs, strict=True):
                mine[good] = theirs[:s][good]
            self.down[good] = False
            which &= ~good
            for i, reason in bad.items():
                self._report(crew, lot, i, reason)
                slots.episode[i] += 1
                slots.remake[i] = True
        self.down |= which
        self._due[which] = self._clock + (2 ** np.minimum(self.ledger.fails[which], 20)).astype(np.int64)
        self.ledger.check()

    def _report(self, crew: Crew, lot: Lot, slot: int, reason: str) -> None:
        row, stream = divmod(slot, lot.streams)
        episode = int(crew.slots.episode[slot])
        self.ledger.record(slot, Fault(self.ledger.family, row, int(lot.index[row]), stream, episode, reason))
