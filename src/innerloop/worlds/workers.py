"""Worker processes: benches of environments elsewhere, watched over, and put back where they were when they die.

Not a scheduler: all workers step in lock step, and the owner waits for the slowest. Free of JAX.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

import numpy as np

from innerloop.worlds.bench import FINE, MAKE, RESET_FAULT, STEP, STEP_FAULT, Bench, Layout, Slots

log = logging.getLogger("innerloop.worlds")

_MESSAGE = struct.Struct("<cQ")  # command or answer, sequence number
_HISTORY = 256 << 20  # bytes of actions kept to bring a dead worker's episodes back
_PR_SET_PDEATHSIG = 1


def serve(conn: Connection, memory: Any, layout: Layout, worker: int, make: Any, assign: Any, parent: int) -> None:
    """A worker's life: obey one command after the other until told to stop or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    slots = Slots(layout, memory)
    bench = Bench(make, assign, slots, worker)
    while True:
        try:
            command, sequence = _MESSAGE.unpack(conn.recv_bytes())
            if command == b"q":
                break
            slots.beat[worker] = sequence, -1, MAKE
            if command == b"a":
                bench.assign(conn.recv())
            elif command == b"r":
                bench.reset()
            else:
                bench.step()
            conn.send_bytes(_MESSAGE.pack(b"k", sequence))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            break
    bench.close()


class WorkersFailed(RuntimeError):
    """Worker processes cannot be started or die again and again."""


class Workers:
    """W supervised processes behind the same three verbs as a `Bench`: assign, reset, step.

    A process that dies or exceeds a deadline is killed and replaced; its other environments are brought back by resetting
    them with the same seeds and repeating the recorded actions of their current episodes, so that they go on as if nothing
    had happened. The slot that was being served is reported in `slots.status`.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        assign: Callable[[Any, Any], None],
        layout: Layout,
        step_deadline: float,
        reset_deadline: float,
    ):
        self._make, self._assign, self._layout = make, assign, layout
        self._deadline = {STEP: step_deadline}
        self._slow = reset_deadline
        self._context = multiprocessing.get_context("spawn")
        self._memory = self._context.RawArray(ctypes.c_uint8, Slots.nbytes(layout))
        self.slots = Slots(layout, self._memory)
        self._processes: list[Any] = [None] * layout.workers
        self._pipes: list[Any] = [None] * layout.workers
        self._sequence = 0
        self._params: Sequence[Any] = ()
        self.respawns = 0
        self._falls = np.zeros(layout.workers, np.int64)  # consecutive deaths of each worker, for the backoff
        # What it takes to bring episodes back:
        self._history: deque[np.ndarray] = deque()
        self._clock = 0  # steps so far; `_history` ends here
        self._running = np.zeros(layout.size, bool)
        self._began = np.zeros(layout.size, np.int64)  # clock at the first action of the current episode
        self._seen = [o.copy() for o in self.slots.obs]
        self._worker_of = np.arange(layout.size) % layout.workers

    # -- the three verbs ------------------------------------------------------------------------------------------------

    def assign(self, params: Sequence[Any]) -> None:
        """The task of every slot; starts the processes that do not run."""
        self._params = params
        self._running[:] = False
        self._history.clear()
        self._began[:] = self._clock
        for w, process in enumerate(self._processes):
            if process is None or not process.is_alive():
                self._kill(w)
                self._start(w)
        lost = self._command(b"a", range(self._layout.workers))
        for w, (_, reason) in lost.items():
            self._replace(w, reason)

    def reset(self) -> None:
        """Begin the current episode of every slot in `todo`."""
        self._supervised(b"r")
        todo, slots = self.slots.todo, self.slots
        self._running[todo] = slots.status[todo] == FINE
        self._began[todo] = self._clock
        for seen, obs in zip(self._seen, slots.obs, strict=True):
            seen[todo] = obs[todo]

    def step(self) -> None:
        """One step of every slot in `todo`, with SAME_STEP autoreset."""
        slots = self.slots
        episode = slots.episode.copy()
        self._supervised(b"s", episode)
        self._history.append(slots.action.copy())
        self._clock += 1
        begun = slots.episode != episode
        self._began[begun] = self._clock
        self._running[slots.todo & (slots.status != FINE)] = False
        for seen, obs in zip(self._seen, slots.obs, strict=True):
            seen[...] = obs
        oldest = int(self._began[self._running].min()) if self._running.any() else self._clock
        most = _HISTORY // slots.action.nbytes
        while self._history and (self._clock - len(self._history) < oldest or len(self._history) > most):
            self._history.popleft()

    def close(self) -> None:
        """Stop every process; those that do not listen are killed."""
        for w, process in enumerate(self._processes):
            if process is not None:
                try:
                    self._pipes[w].send_bytes(_MESSAGE.pack(b"q", 0))
                except OSError:
                    pass
        for w, process in enumerate(self._processes):
            if process is not None:
                process.join(2.0)
                self._kill(w)

    # -- processes ------------------------------------------------------------------------------------------------------

    def _start(self, w: int) -> None:
        self.slots.beat[w] = 0, -1, MAKE  # starting is slow, and no slot's fault
        here, there = self._context.Pipe()
        arguments = (there, self._memory, self._layout, w, self._make, self._assign, os.getpid())
        process = self._context.Process(target=serve, args=arguments, name=f"innerloop-worker-{w}", daemon=True)
        with _main_hidden(self._make, self._assign):
            process.start()
        there.close()
        self._processes[w], self._pipes[w] = process, here

    def _kill(self, w: int) -> None:
        process, self._processes[w] = self._processes[w], None
        if process is not None:
            process.kill()
            process.join()
            process.close()
            self._pipes[w].close()

    def _replace(self, w: int, reason: str) -> None:
        """Kill, wait a little longer each time, start again and assign the same tasks."""
        while True:
            self._kill(w)
            self._falls[w] += 1
            self.respawns += 1
            if self._falls[w] > 30:
                raise WorkersFailed(f"worker {w} was replaced {self._falls[w] - 1} times without one good step: it {reason}")
            if self._falls[w] > 1:
                time.sleep(min(0.05 * 2.0 ** (self._falls[w] - 2), 5.0))
            self._start(w)
            lost = self._command(b"a", [w])
            if not lost:
                return
            if self._falls[w] >= 3:
                why = f"it {lost[w][1]}; can the environment be made in a new process?"
                raise WorkersFailed(f"worker {w} does not start: {why}")

    def _command(self, code: bytes, workers: Sequence[int]) -> dict[int, tuple[int, str]]:
        """Send a command and wait for the answers; the workers that were lost, with the slot at fault and the reason."""
        self._sequence += 1
        message = _MESSAGE.pack(code, self._sequence)
        lost: dict[int, tuple[int, str]] = {}
        pending: dict[Any, int] = {}
        for w in workers:
            try:
                self._pipes[w].send_bytes(message)
                if code == b"a":
                    self._pipes[w].send(self._params)
                pending[self._pipes[w]] = w
            except OSError:
                lost[w] = -1, self._post_mortem(w)[1]
        watch = {w: (self.slots.beat[w].copy(), time.monotonic()) for w in pending.values()}
        patience = min(1.0, 0.25 * min(*self._deadline.values(), self._slow))
        while pending:
            ready = wait(list(pending), patience)
            for pipe in ready:
                w = pending[pipe]  # type: ignore[index]  (wait returns what it was given)
                try:
                    _, sequence = _MESSAGE.unpack(pipe.recv_bytes())  # type: ignore[union-attr]
                except (EOFError, OSError):
                    lost[w] = self._post_mortem(w)
                    del pending[pipe]
                    continue
                if sequence == self._sequence:
                    del pending[pipe]
            if ready:
                continue
            now = time.monotonic()
            for pipe, w in list(pending.items()):
                beat, since = watch[w]
                current = self.slots.beat[w].copy()
                if not np.array_equal(beat, current):
                    watch[w] = current, now
                    continue
                activity = int(current[2])
                limit = self._deadline.get(activity, self._slow)
                if now - since > limit:
                    doing = "step" if activity == STEP else "reset"
                    lost[w] = int(current[1]), f"hung past its deadline of {limit:g} s for a {doing}"
                    del pending[pipe]
        return lost

    def _post_mortem(self, w: int) -> tuple[int, str]:
        process = self._processes[w]
        process.join(5.0)
        sequence, slot, _ = self.slots.beat[w].tolist()
        return (slot if sequence == self._sequence else -1), f"died (exit code {process.exitcode})"

    # -- bringing episodes back -------------------------------------------------------------------------------------------

    def _supervised(self, code: bytes, episode: np.ndarray | None = None) -> None:
        """A command for `todo`; a worker that is lost is replaced, and the command done for its innocent slots."""
        slots = self.slots
        todo = slots.todo.copy()
        episode = slots.episode.copy() if episode is None else episode
        lost = self._command(code, np.unique(self._worker_of[todo]).tolist())
        for w in set(self._worker_of[todo].tolist()) - set(lost):
            self._falls[w] = 0
        for w, (slot, reason) in lost.items():
            self._revive(w, code, todo, episode, slot, reason)
        slots.todo[:] = todo

    def _revive(self, w: int, code: bytes, todo: np.ndarray, episode: np.ndarray, slot: int, reason: str) -> None:
        slots, mine = self.slots, self._worker_of == w
        guilty: dict[int, str] = {}
        action = slots.action.copy()
        while True:
            if slot >= 0:
                guilty[slot] = reason
                self._running[slot] = False
            log.warning("worker %d %s%s; it is replaced", w, reason, f" at slot {slot}" if slot >= 0 else "")
            self._replace(w, reason)
            slots.episode[mine] = episode[mine]
            again = self._repeat(w, mine)
            if not again:
                slots.action[...] = action
                slots.todo[:] = mine & todo & ~np.isin(np.arange(len(mine)), list(guilty))
                if code == b"s":
                    slots.todo &= self._running
                again = self._command(code, [w]) if slots.todo.any() else {}
            if not again:
                break
            slot, reason = again[w]
        slots.action[...] = action
        for i, why in guilty.items():
            slots.fail(i, STEP_FAULT if code == b"s" else RESET_FAULT, why)
            slots.remake[i] = False
        if code == b"s":
            for i in np.flatnonzero(mine & todo & ~self._running):
                if i not in guilty:
                    slots.fail(int(i), STEP_FAULT, "its worker was lost, and the same seed and actions led elsewhere")

    def _repeat(self, w: int, mine: np.ndarray) -> dict[int, tuple[int, str]]:
        """Reset worker w's running episodes with their seeds and repeat their actions up to now."""
        slots = self.slots
        start = self._clock - len(self._history)
        alive = mine & self._running
        self._running[alive & (self._began < start)] = False  # their actions are no longer known
        alive &= self._running
        if not alive.any():
            return {}
        episode = slots.episode.copy()
        slots.todo[:] = alive
        lost = self._command(b"r", [w])
        strayed = alive & (slots.status != FINE)
        for at in range(int(self._began[alive].min()), self._clock):
            if lost:
                return lost
            slots.todo[:] = alive & ~strayed & (self._began <= at)
            slots.action[...] = self._history[at - start]
            if slots.todo.any():
                lost = self._command(b"s", [w])
                strayed |= slots.todo & ((slots.status != FINE) | (slots.episode != episode))
        for seen, obs in zip(self._seen, slots.obs, strict=True):
            strayed |= alive & ~np.array([np.array_equal(a, b) for a, b in zip(seen, obs, strict=True)])
        self._running[strayed] = False
        return lost


@contextmanager
def _main_hidden(*callables: Any) -> Iterator[None]:
    """Keep a starting process from importing the user's script again, unless an environment is defined in it: a script
    without `if __name__ == "__main__"` would otherwise start itself anew in every worker."""

    def home(f: Any) -> str:
        f = getattr(f, "func", f)
        owner = getattr(f, "__self__", None)
        return str((type(owner) if owner is not None else f).__module__)

    if any(home(f) == "__main__" for f in callables):
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
