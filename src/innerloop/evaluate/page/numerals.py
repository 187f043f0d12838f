"""Numbers as text: the decimals that an interval or a tick bears out, true minus signs, thousands apart.

Not markup, and not arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from innerloop.evaluate.page.record import Interval, Point


def ticks_text(ticks: Sequence[float]) -> list[str]:
    """Ticks with just the decimals their spacing needs; thousands and millions shortened."""
    if not ticks:
        return []
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) or 1.0
    largest = max(map(abs, ticks))
    if largest >= 1e13 or largest < 1e-4:
        return [f"{t:.3g}".replace("-", "\u2212") for t in ticks]
    scale, suffix = next(((s, u) for s, u in ((1e9, "B"), (1e6, "M"), (1e4, "k")) if largest >= s), (1.0, ""))
    scale = 1e3 if suffix == "k" else scale
    decimals = min(6, max(0, math.ceil(-math.log10(abs(step) / scale) - 1e-9)))
    return [f"{t / scale:.{decimals}f}".replace("-", "\u2212") + suffix if t or not suffix else "0" for t in ticks]


def shorten(name: str, limit: int) -> str:
    """A name of at most `limit` characters."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def plain(value: float) -> str:
    """An amount of experience or training: whole where it is whole."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:,.4g}"


def decimals_of(values: Sequence[Interval | Point]) -> int:
    """Decimals that show two figures of the narrowest interval, or three figures of the largest mean without one."""
    halves = [(v.hi - v.lo) / 2 for v in values if v.lo is not None and v.hi is not None and v.hi > v.lo]
    largest = max((abs(v.mean) for v in values), default=0.0)
    if halves:
        halves.sort()
        fine = 1 - math.floor(math.log10(halves[len(halves) // 2]))
    else:
        fine = 2 - math.floor(math.log10(largest)) if largest > 0 else 0
    return min(max(fine, 0), 4, max(0, 5 - math.floor(math.log10(largest))) if largest > 0 else 4)


def decimal(value: Interval | Point, like: Sequence[Interval | Point], *, reach: bool = False) -> str:
    """The mean with the decimals that suit `like`; with `reach`, its interval too."""
    digits = decimals_of(like)
    written = _figure(value.mean, digits)
    if reach and value.lo is not None and value.hi is not None:
        return f"{written} ({_figure(value.lo, digits)} to {_figure(value.hi, digits)})"
    return written


def _figure(value: float, digits: int) -> str:
    if abs(value) >= 1e12 or 0 < abs(value) < 0.5 * 10.0**-digits:
        return f"{value:.3g}".replace("-", "\u2212")
    written = f"{value:,.{digits}f}"
    return written.replace("-", "\u2212")
