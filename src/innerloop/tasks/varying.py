"""What varies between the tasks of a user's environment: ranges and lists of the arguments of its `make`.

Not the family (`own.py`), nor the environment (`switching.py`). Free of JAX: worker processes read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMS = "LOW:HIGH, LOW:HIGH:log, or a list A,B,C"


@dataclass(frozen=True)
class Range:
    """Uniform between two ends; `whole`: integers, both ends included; `log`: uniform in the logarithm."""

    low: float
    high: float
    whole: bool = False
    log: bool = False

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1] of the way from the low end to the high one."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        elif self.whole:
            return min(int(self.low + math.floor(share * (self.high - self.low + 1))), int(self.high))
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    options: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """The option at a share in [0, 1] of the list."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]


Varies = tuple[tuple[str, Range | Choice], ...]  # by argument


def argument(name: str, given: Any) -> Range | Choice:
    """One argument as Python says it: (low, high) is a range, a list has alternatives, anything else stays as it is."""
    if isinstance(given, (Range, Choice)):
        return given
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(x, (int, float)) for x in given):
        return _range(name, *given)
    if isinstance(given, list):
        if not given:
            raise ValueError(f"{name} varies over an empty list.")
        return Choice(tuple(given))
    return Choice((given,))


def parsed(name: str, text: str, option: str = "--vary") -> Range | Choice:
    """One argument as the command line says it, in one of FORMS. `option`: for the message."""
    first, *more = text.split(":")
    if more and len(more) <= 2 and all(isinstance(_literal(x), (int, float)) for x in (first, more[0])):
        if more[1:] not in ([], ["log"]):
            raise ValueError(f"{option} {name}={text}: {more[1]!r} is not known; accepted: {FORMS}.")
        return _range(name, _literal(first), _literal(more[0]), log=bool(more[1:]))
    options = tuple(_literal(x) for x in text.split(","))
    if "" in options:
        raise ValueError(f"{option} {name}={text}: a value is missing; accepted: {FORMS}.")
    return Choice(options)


def _range(name: str, low: Any, high: Any, log: bool = False) -> Range:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name} varies from {low} to {high}; accepted: finite numbers, the lower one first.")
    if log and low <= 0:
        raise ValueError(f"{name} varies from {low} in its logarithm; the lower end must be above 0.")
    return Range(low, high, isinstance(low, int) and isinstance(high, int) and not log, log)


def _literal(text: str) -> Any:
    """A whole number, a number, true or false, or text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text.lower(), text)


def told_by(make: Any) -> Varies | tuple[dict[str, Any], ...]:
    """What a function says of itself: `make.varies = {argument: range or list}`, or `make.tasks = [{argument: value}]`."""
    varies, tasks = getattr(make, "varies", None), getattr(make, "tasks", None)
    if varies is not None and tasks is not None:
        raise ValueError("a function has either `varies` or `tasks`, not both.")
    if tasks is not None:
        if not isinstance(tasks, Sequence) or not tasks or not all(isinstance(one, Mapping) for one in tasks):
            raise ValueError(f"`tasks` is {tasks!r:.80}; accepted: a list of dicts, one of arguments for each task.")
        return tuple(dict(one) for one in tasks)
    if varies is None:
        return ()
    if not isinstance(varies, Mapping):
        raise ValueError(f"`varies` is {varies!r:.80}; accepted: a dict of arguments, each a range (low, high) or a list.")
    return tuple((name, argument(name, given)) for name, given in varies.items())


def count(varies: Varies) -> int:
    """How many tasks there are; -1 where an argument varies without steps."""
    each = [many(x) for _, x in varies]
    return -1 if 0 in each else math.prod(each)


def many(x: Range | Choice) -> int:
    """How many values there are; 0 for a range without steps."""
    if isinstance(x, Choice):
        return len(x.options)
    return int(x.high - x.low) + 1 if x.whole else 0
