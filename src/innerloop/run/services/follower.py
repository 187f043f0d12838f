"""Who follows a run's log.jsonl and passes its rows on: one thread for each service, which training never waits for.

Not the services (`sink.py`). The file is the queue: what a service has taken is kept in remote.json by the iteration of its
last row, so that a service which does not answer costs nothing but a warning, and what it missed is sent when it does, when the
run is resumed, or by `innerloop send`.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from innerloop.run.folder import FolderError, NoRun, RunFolder, read_json, write_json
from innerloop.run.rows import read_rows, whole
from innerloop.run.services.sink import SERVICES, About, Sink, checked, opened

_log = logging.getLogger(__name__)
PACE, LONGEST = 2.0, 300.0  # seconds between two batches; between two attempts at most
PATIENCE = {"finished": 30.0, "failed": 10.0, "interrupted": 5.0}  # seconds that the end of a run waits for
BATCH = 500  # rows at once
FILE = "remote.json"


class Follower:
    """Passes the rows of one run on to one service, in their order, each once (or again, where the process was killed between
    sending and noting it). `start`, `wake`, `rewind` and `close` are for the thread that trains, and return at once; `close`
    waits, PATIENCE at most.

    Args:
        service: its name. sink: the service. about: the run. pace: seconds between two batches.
    """

    def __init__(self, service: str, sink: Sink, about: About, *, pace: float = PACE):
        self.service, self.sink, self.about, self.pace = service, sink, about, pace
        self._path = about.folder / FILE
        self._kept: dict[str, Any] = {"key": secrets.token_hex(8), "sent": -1} | _remembered(self._path).get(service, {})
        self._at, self._sent, self._turn = 0, int(self._kept["sent"]), 0  # in the file; iteration; how often it was rewound
        self._guard, self._news, self._over = threading.Lock(), threading.Event(), threading.Event()
        self._safe, self._settling = self._sent, []  # what a kill cannot take any more; (when, iteration) of what it could
        self._begun, self._status, self._done = False, "failed", False
        self._problem: Exception | None = None
        self._warned = False
        self._thread = threading.Thread(target=self._follow, name=f"log-{service}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._news.set()
        self._thread.start()

    def wake(self) -> None:
        """There is another row. Says so, once, if the service does not answer."""
        self._news.set()
        if self._problem is not None and not self._warned:
            self._warned = True
            _log.warning(
                "%s does not take the log (%s: %s); training goes on, the rows are kept and sent when it does.",
                self.service, type(self._problem).__name__, _short(self._problem),
            )  # fmt: skip

    def rewind(self, iteration: int) -> None:
        """The rows after `iteration` are gone, and others will come in their place."""
        with self._guard:
            self._at, self._sent, self._turn = 0, min(self._sent, iteration), self._turn + 1
            self._safe = min(self._safe, iteration)
            self._settling = [(when, min(sent, iteration)) for when, sent in self._settling]

    def close(self, status: str) -> None:
        """Send what is left and tell the service how the run ended. A warning says what is missing."""
        self._status = status
        self._over.set()
        self._news.set()
        self._thread.join(PATIENCE[status])
        left = sum(row["iteration"] > self._sent for row in read_rows(self.about.folder / "log.jsonl"))
        if left or not self._done:
            why = "it did not answer in time" if self._problem is None else f"{type(self._problem).__name__}: {self._problem}"
            _log.warning(
                "%s has not taken %d of the log's rows (%s). They are in the run folder; `innerloop send %s` sends them.",
                self.service, left, _short(why), self.about.folder,
            )  # fmt: skip

    def catch_up(self, status: str) -> int:
        """Without a thread: send all that is left, however long it takes, and how the run ended; the last iteration sent.
        Raises whatever the service raises."""
        self._deliver()
        self._end(status)
        return self._sent

    def _follow(self) -> None:
        pause = self.pace
        while not self._over.is_set():
            self._news.wait()
            self._news.clear()
            if self._try(self._deliver):
                pause = self.pace
            else:
                self._news.set()
                pause = min(2 * pause, LONGEST)
            self._over.wait(pause)
        self._done = self._try(self._deliver) and self._try(lambda: self._end(self._status))

    def _try(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as problem:  # whatever a service raises, training goes on
            self._problem = problem
            return False
        self._problem = None
        return True

    def _deliver(self) -> None:
        if not self._begun:
            self._keep()  # the key, before anything is made of it
            self._kept |= self.sink.begin(self.about, dict(self._kept))
            self._begun = True
            self._keep()
        while True:
            rows, at, turn = self._next()
            if rows:
                self.sink.send(rows)
            with self._guard:
                if turn != self._turn:
                    continue
                self._at, self._sent = at, rows[-1]["iteration"] if rows else self._sent
                self._settling.append((time.monotonic(), self._sent))
            if not rows:
                return
            self._keep()

    def _next(self) -> tuple[list[dict[str, Any]], int, int]:
        """Rows not yet sent, where the file goes on after them, and the turn in which that was so."""
        with self._guard:
            at, sent, turn = self._at, self._sent, self._turn
        rows: list[dict[str, Any]] = []
        with open(self.about.folder / "log.jsonl", "rb") as file:
            file.seek(at)
            for line in file:
                if not line.endswith(b"\n") or len(rows) == BATCH:  # being written; enough
                    break
                at += len(line)
                row = whole(line)
                if row is not None and row["iteration"] > sent:
                    rows.append(row)
        return rows, at, turn

    def _end(self, status: str) -> None:
        self.sink.end(status)
        self._keep(settled=True)

    def _keep(self, *, settled: bool = False) -> None:
        """Note up to where the rows are safe: those that were sent long enough ago, or all."""
        with self._guard:
            since = math.inf if settled else time.monotonic() - self._kept.get("settles", 0.0)
            self._safe = max([self._safe, *(sent for when, sent in self._settling if when <= since)])
            self._settling = [(when, sent) for when, sent in self._settling if when > since]
        with _writing:
            mine = {self.service: self._kept | {"sent": self._safe}}
            write_json(self._path, _remembered(self._path) | mine)


_writing = threading.Lock()  # of remote.json, which the followers of a run share


def _remembered(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except NoRun:
        return {}


def _short(problem: object) -> str:
    text = " ".join(str(problem).split())
    return text if len(text) <= 200 else text[:197] + "…"


def following(run: RunFolder, title: str) -> list[Follower]:
    """Those who follow a run, by the services that run.json names; not yet started."""
    names = checked(run.record.get("log", []))
    about = About(title, run.path, run.recipe, run.record)
    return [Follower(name, opened(name), about) for name in names]


def send(run: RunFolder, names: list[str]) -> dict[str, int]:
    """Send what services have not taken of a run's log, however long they take; the last iteration that each now has.

    Args:
        names: services; none: those that run.json names.

    Raises:
        FolderError: the run is being trained, or nothing says where to. OSError: a service did not take them.
    """
    names = names or run.record.get("log", [])
    if run.status == "running":
        raise FolderError(f"{run.path} is being trained just now, and passes its rows on itself.")
    if not names:
        raise FolderError(f"{run.path} has been passed on to no service; say which: --log {' or --log '.join(SERVICES)}.")
    if not run.log.is_file():
        raise FolderError(f"{run.path} has no log yet; resume the run.")
    title = f"{run.recipe.get('name')} on {run.recipe.get('family')}, seed {run.record['seed']}"
    about, sent = About(title, run.path, run.recipe, run.record), {}
    for name in names:
        try:
            sent[name] = Follower(name, opened(name), about).catch_up(run.status)
        except Exception as problem:  # whatever a service raises
            raise OSError(f"{name} did not take the log of {run.path} ({type(problem).__name__}: {problem}).") from problem
    return sent
