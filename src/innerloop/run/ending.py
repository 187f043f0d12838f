"""How a run ends other than by reaching its last step: interrupted between two updates, or diverged.

Not the loop (`train.py`). Imports the standard library only.
"""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Diverged(RuntimeError):
    """Training kept producing values that are not finite."""


class Halted(Exception):
    """Whoever watches the run has seen enough of it; all is saved, and the run can be resumed."""


def ended(kind: type[BaseException] | None) -> str:
    """The status of a run that ends with this exception, or with none: "finished", "interrupted" or "failed"."""
    if kind is None:
        return "finished"
    return "interrupted" if issubclass(kind, (KeyboardInterrupt, SystemExit, Halted)) else "failed"


class Interrupt:
    """Within it, Ctrl-C (or SIGTERM) is only noted, so that the loop can end between two updates and save first.

    A second signal ends the process at once, as it would have without this. In a thread other than the main one, where
    Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # the signal that came
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()

    def end(self) -> None:
        """End now as the signal asked: KeyboardInterrupt for Ctrl-C, SystemExit(143) for SIGTERM."""
        raise SystemExit(128 + signal.SIGTERM) if self.number == signal.SIGTERM else KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        _log.warning("Stopping after this update; once more to stop at once, back to the last checkpoint.")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned it also takes
        self._before = {}
