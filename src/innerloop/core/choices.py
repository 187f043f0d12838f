"""What a setting accepts, said before anything compiles. Not types: those are `run/config.py`'s."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def accept(name: str, value: str, accepted: Iterable[str]) -> None:
    """ValueError, naming all that is accepted and the nearest, unless `value` is among them."""
    known = list(accepted)
    if value not in known:
        near = difflib.get_close_matches(value, known, 1, 0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} is {value!r}; accepted: {', '.join(known)}.{hint}")


def at_least(name: str, value: float, least: float) -> None:
    """ValueError where `value` is below `least`, or no number."""
    if not value >= least:
        raise ValueError(f"{name} is {value}; it must be at least {least:g}.")
