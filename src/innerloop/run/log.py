"""The log of a run: a row of JSON for each report, the same for TensorBoard and for who follows, and what the terminal shows.

Not the checkpoints, nor what a row is (`rows.py`). A disk that refuses a row costs that row and a warning, not the run.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from innerloop.run.ending import ended
from innerloop.run.events import Events
from innerloop.run.progress import PHASES, Progress
from innerloop.run.rows import HELD_OUT, read_rows, rewind, scalars
from innerloop.run.services.follower import Follower

__all__ = ["PHASES", "RunLog", "read_rows", "rewind"]
_package = logging.getLogger("innerloop")


def _number(value: Any) -> Any:
    """A metric as JSON has it: a number, or a list of them; null where not finite."""
    value = value.tolist() if hasattr(value, "tolist") else value  # jax and numpy, without importing them
    if isinstance(value, (list, tuple)):
        return [_number(v) for v in value]
    return (value if math.isfinite(value) else None) if isinstance(value, (int, float)) else str(value)


class _Lines:
    """A file of lines, each written in one go; one that was torn by a full disk does not spoil the next."""

    def __init__(self, path: Path):
        self._file = open(path, "ab", buffering=0)
        self._torn = False

    def write(self, text: str) -> None:
        data = memoryview((b"\n" if self._torn else b"") + text.encode() + b"\n")
        self._torn = True
        while data:
            data = data[self._file.write(data) :]
        self._torn = False

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class RunLog(logging.Handler):
    """Writes to one run folder, and shows it. Use it as a context, or `close` it.

    Warnings of the package's loggers are shown above the bar and kept in `messages.log`.

    Args:
        folder: the run folder. total_steps: environment steps of the whole run. title: what is trained, in a few words.
        iteration, env_steps: of the checkpoint from which the run is resumed: later rows are dropped. -1 and 0 begin anew.
        followers: who pass the rows on, not yet started.
        quiet: show nothing but warnings. console: a rich console, for tests. clock: seconds that only grow.
    """

    def __init__(
        self, folder: str | os.PathLike[str], total_steps: int, *, iteration: int = -1, env_steps: int = 0, title: str = "",
        followers: Sequence[Follower] = (), quiet: bool = False, console: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        super().__init__(logging.WARNING)
        self.folder, self._followers = Path(folder), followers
        self._clock, self._begun, self._failed = clock, clock(), False
        last = rewind(self.folder / "log.jsonl", iteration)
        seconds = last.get("seconds") if last else 0.0
        self._before = float(seconds) if isinstance(seconds, (int, float)) else 0.0  # of the sessions before this one
        self.progress = Progress(total_steps, start=env_steps, title=title, console=console, quiet=quiet, clock=clock)
        self._rows, self._messages = _Lines(self.folder / "log.jsonl"), _Lines(self.folder / "messages.log")
        board = self.folder / "tensorboard"
        self._events = Events(board, purge_step=env_steps + 1 if iteration >= 0 else 0 if board.exists() else None)
        _package.addHandler(self)
        for follower in followers:
            follower.start()

    def write(
        self, iteration: int, env_steps: int, metrics: Mapping[str, Any], heldout: Mapping[str, Any] | None = None
    ) -> None:
        """Add one row, and show it. Write an iteration's row once, and before its checkpoint is saved.

        Args:
            metrics: names to numbers or arrays; scalars go to TensorBoard, at `env_steps`.
            heldout: the held-out return, {"mean", "lo", "hi"}, where there was an evaluation.
        """
        values = {name: _number(value) for name, value in metrics.items()}
        row: dict[str, Any] = {"iteration": int(iteration), "env_steps": int(env_steps)}
        row |= {"seconds": round(self._before + self._clock() - self._begun, 3), "metrics": values}
        shown = ""
        if heldout is not None:
            row["heldout"] = {name: _number(value) for name, value in heldout.items()}
            found = {name: v for name, v in row["heldout"].items() if isinstance(v, (int, float))}
            shown = f"{found['mean']:.4g}" if "mean" in found else ""
            shown += f" [{found['lo']:.4g}, {found['hi']:.4g}]" if shown and {"lo", "hi"} <= set(found) else ""
        numbers = scalars(row)
        self._try(self._rows.write, json.dumps(row, allow_nan=False))
        self._try(self._events.write, int(env_steps), numbers)
        for follower in self._followers:
            follower.wake()
        self.progress.update(int(env_steps), {n: v for n, v in numbers.items() if not n.startswith(HELD_OUT)}, shown)

    def rewind(self, iteration: int, env_steps: int) -> None:
        """Drop the rows after `iteration`, here and in TensorBoard: the run rolls back to the checkpoint of it."""
        self._try(rewind, self.folder / "log.jsonl", iteration)
        for follower in self._followers:
            follower.rewind(iteration)
        self._try(self._events.close)
        self._try(self._rows.close)
        self._rows = _Lines(self.folder / "log.jsonl")
        self._events = Events(self.folder / "tensorboard", purge_step=env_steps + 1)
        self.progress.update(env_steps, {}, "")

    @contextmanager
    def phase(self, *numbers: int) -> Iterator[None]:
        """Within it the run is in these of PHASES: `with log.phase(2, 3): state, metrics = update(state)`."""
        self.progress.enter(*numbers)
        try:
            yield
        finally:
            self.progress.enter()

    def sync(self) -> None:
        """Put all rows on the disk; call it when a checkpoint is saved."""
        self._try(self._rows.sync)
        self._try(self._events.sync)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a warning above the bar and keep it (called by `logging`)."""
        try:
            text = f"{record.levelname.lower()}: {record.getMessage()}"
            self.progress.say(text)
            self._messages.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(record.created))} {text}")
        except OSError:
            pass  # it was shown; the disk is full
        except Exception:
            self.handleError(record)

    def close(self, status: str = "finished") -> None:
        """Sync and close the files, and leave the terminal; who follows is told the run's `status`."""
        if self not in _package.handlers:
            return
        self.sync()
        for follower in self._followers:
            follower.close(status)
        self.progress.close()
        _package.removeHandler(self)
        for file in (self._rows, self._messages, self._events):
            self._try(file.close)
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(ended(kind))

    def _try(self, write: Callable[..., Any], *args: Any) -> None:
        try:
            write(*args)
        except OSError as problem:
            if not self._failed:
                self._failed = True
                _package.warning(
                    "The log in %s could not be written (%s); the run goes on without some rows.", self.folder, problem
                )
