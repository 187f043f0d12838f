"""The progress of a run on the terminal: bar, time left, steps per second, returns, and the four phases of meta-learning.

Not the log (`log.py`), which has every metric, and nothing a result rests on. On a terminal it is drawn in place, for 80
columns; elsewhere a plain line is printed every ten seconds. It goes to standard error, so that standard output stays free.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

PHASES = {1: "initialise", 2: "train in each task", 3: "learn from the inner loops", 4: "adapt to new tasks"}
TROUBLE = {"masked": "tasks masked", "discarded": "steps discarded", "skipped": "updates skipped"}  # shown if not 0
_WITHIN = re.compile(r"(?<![·+]) (?![·+])")  # spaces at which no line is to be broken
_RECENT = 64  # updates over which speed is measured


def _clock_face(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-:--:--"
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


class Progress:
    """What a run shows while it goes on.

    Args:
        total: environment steps of the whole run; `start`: those already done when it is resumed.
        title: what is trained, in a few words.
        console: a rich console; None is standard error. `quiet` shows nothing but messages.
        every: seconds between plain lines. clock: seconds that only grow.
    """

    def __init__(
        self, total: int, *, start: int = 0, title: str = "", console: Any = None, quiet: bool = False, every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        from rich.console import Console

        self.console = console or Console(stderr=True, highlight=False)
        self.total, self.steps, self.title, self.quiet, self.every = total, start, title, quiet, every
        self.shares: dict[tuple[int, ...], float] = {}  # seconds spent in each phase, or in phases compiled as one
        self._clock, self._metrics, self._heldout = clock, {}, ""
        self._compiling = 0.0  # seconds of each phase's first time, which compiles and tells nothing of the speed
        self._now: tuple[int, ...] = ()
        self._entered = 0.0
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)
        self._printed = -math.inf
        self._live: Any = None
        if self.console.is_terminal and not quiet:
            from rich.live import Live

            self._live = Live(console=self.console, get_renderable=self._draw, refresh_per_second=4, transient=False)
            self._live.start()
        elif title and not quiet:
            self.say(title)

    @property
    def speed(self) -> float:
        """Environment steps per second over the last updates, without what compiles; NaN at first."""
        if len(self._recent) < 2 or self._recent[-1][0] <= self._recent[0][0]:
            return math.nan
        (then, before), (now, done) = self._recent[0], self._recent[-1]
        return (done - before) / (now - then)

    @property
    def left(self) -> float:
        """Seconds to go at this speed; NaN at first."""
        return max(0, self.total - self.steps) / self.speed if self.speed > 0 else math.nan

    def update(self, steps: int, metrics: Mapping[str, float], heldout: str = "") -> None:
        """Environment steps done so far, the metrics of now, and the held-out return if there is a new one."""
        self.steps, self._metrics = steps, dict(metrics)
        self._heldout = heldout or self._heldout
        self._recent.append((self._clock() - self._compiling, steps))
        if self._live is None and not self.quiet:
            done = steps >= self.total
            if done or self._clock() - self._printed >= self.every:
                self._printed = self._clock()
                self.say(" · ".join([f"{self._percent():3.0f}%", f"ETA {_clock_face(self.left)}", *self._figures()]))

    def enter(self, *phases: int) -> None:
        """From now on the run is in these of PHASES (several where they are compiled as one); none: between phases."""
        if not set(phases) <= set(PHASES):
            raise ValueError(f"phases {phases} are not among {', '.join(f'{n} ({name})' for n, name in PHASES.items())}.")
        now = self._clock()
        if self._now:
            self._compiling += 0.0 if self._now in self.shares else now - self._entered
            self.shares[self._now] = self.shares.get(self._now, 0.0) + now - self._entered
        if phases and phases not in self.shares and self._live is None and not self.quiet:
            self.say("phase " + " + ".join(f"{n} {PHASES[n]}" for n in phases))
        self._now, self._entered = phases, now

    def say(self, text: str) -> None:
        """Print a line above the bar, whole."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Draw for the last time and leave the terminal as it was."""
        self.enter()
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self.shares and not self.quiet:
            self.say(f"time: {self._cycle()}")

    def _percent(self) -> float:
        return 100.0 * min(1.0, self.steps / self.total) if self.total else 100.0

    def _figures(self) -> list[str]:
        """Steps and speed, the returns, and what is amiss; not every metric."""
        figures = [f"{self.steps:,} of {self.total:,} steps"]
        if not math.isnan(self.speed):
            figures.append(f"{self.speed:,.0f} steps/s")
        elif not self._recent:
            figures.append("compiling")
        ends = [self._metrics.get(f"return_{which}", math.nan) for which in ("first", "last")]
        if all(map(math.isfinite, ends)):
            figures.append(f"return {_figure(ends[0])} → {_figure(ends[1])}")
        if self._heldout:
            figures.append(f"held-out return {self._heldout}")
        amiss = {text: self._metrics.get(name, 0.0) for name, text in TROUBLE.items()}
        return figures + [f"{100 * share:.2g}% of {text}" for text, share in amiss.items() if share > 0]

    def _cycle(self) -> str:
        """The phases with their share of the time; the present one is marked."""
        spent = dict(self.shares)
        if self._now:
            spent[self._now] = spent.get(self._now, 0.0) + self._clock() - self._entered
        whole = sum(spent.values()) or 1.0
        parts = []
        merged = {n: group for group in sorted(spent, key=len) for n in group}
        for n, name in PHASES.items():
            group = merged.get(n, (n,))
            text = f"{'▸' if n in self._now else ''}{n} {name}"
            if n == group[-1] and group in spent:
                text += f" {100 * sum(t for g, t in spent.items() if n in g) / whole:.0f}%"
            joint = " + " if parts and n in group[1:] else " · " if parts else ""
            parts.append(joint + text)
        return "".join(parts)

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        state = Text(f"{self._percent():3.0f}%  ETA {_clock_face(self.left)}")
        line.add_row(ProgressBar(total=max(1, self.total), completed=min(self.steps, self.total)), state)
        figures, cycle = (_WITHIN.sub("\u00a0", text) for text in (" · ".join(self._figures()), self._cycle()))
        rows: list[Any] = [Text(self.title, style="bold")] if self.title else []
        return Group(*rows, line, Text(figures), Text(cycle, style="dim"))
