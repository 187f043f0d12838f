"""What an evaluation says, in plain words, and only as much as its intervals bear out.

Not the statistics that made the intervals (`statistics.py`), and not HTML.
"""

from __future__ import annotations

import re

from innerloop.evaluate.page.numerals import decimal
from innerloop.evaluate.page.record import Contender, Evaluation, Interval, Point


def unit_word(evaluation: Evaluation) -> str:
    """What one unit of experience is called: bandits are pulled."""
    family = str(evaluation.facts.get("family") or "")
    return "pull" if evaluation.unit == "step" and family.startswith("bandit") else evaluation.unit


def many(count: object, word: str) -> str:
    """A count and its noun: 1 pull, 2 pulls."""
    shown = f"{count:,}" if isinstance(count, int) else str(count)
    return f"{shown} {word}{'' if count == 1 else 's'}"


def outcome(contender: Contender, evaluation: Evaluation) -> Interval | None:
    """What contenders are compared by: the total, or where none is given what the curve says of it."""
    if contender.total or not contender.curve:
        return contender.total
    if evaluation.unit == "gradient step":
        return Interval(*contender.curve[-1][1:])
    return Interval(sum(p.mean for p in contender.curve))


def level(oracle: Contender, evaluation: Evaluation) -> float | None:
    """The oracle's mean per unit of experience, to be drawn beside the curve."""
    if oracle.total is None:
        return None
    return oracle.total.mean / (1 if evaluation.unit == "gradient step" else len(evaluation.run.curve))


def without_adaptation(evaluation: Evaluation) -> Contender | None:
    """The baseline of the same net without adaptation."""
    return _baseline(evaluation, r"no[\s_-]*adapt|without[\s_-]*adapt")


def yardstick(evaluation: Evaluation) -> Contender | None:
    """The baseline that counts as a regret of one: random, or else no adaptation."""
    return _baseline(evaluation, r"^random") or without_adaptation(evaluation)


def regret(contender: Contender, evaluation: Evaluation) -> Interval | None:
    """(oracle - outcome) / (oracle - yardstick): 0 at the oracle, 1 at the yardstick, both taken as exact."""
    zero, one = evaluation.oracle, yardstick(evaluation)
    ours = outcome(contender, evaluation)
    worst = outcome(one, evaluation) if one else None
    if zero is None or zero.total is None or ours is None or worst is None:
        return None
    best, reach = zero.total.mean, zero.total.mean - worst.mean
    if reach <= 0:
        return None
    hi, lo = ((best - v) / reach if v is not None else None for v in (ours.lo, ours.hi))
    return Interval((best - ours.mean) / reach, lo, hi)


def apart(a: Interval | Point, b: Interval | Point) -> bool | None:
    """Whether two intervals are disjoint; None where one is not known."""
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None:
        return None
    return a.lo > b.hi or b.lo > a.hi


def headline(evaluation: Evaluation) -> str:
    """One sentence: from where to where the return goes as experience grows, and on what."""
    curve, word = evaluation.run.curve, unit_word(evaluation)
    first, last = curve[0], curve[-1]
    where = _tasks(evaluation)
    if len(curve) == 1:
        return f"Return is {decimal(first, curve, reach=True)} at its one point of experience, {where}."
    if evaluation.unit == "gradient step":
        start, end = "before adaptation", f"after {many(int(last.x), word)}"
        start = start if first.x == 0 else f"after {many(int(first.x), word)}"
    else:
        start, end = f"in the first {word}", "in the last"
    a, b = decimal(first, curve), decimal(last, curve)
    spread = ""
    if last.lo is not None and last.hi is not None:
        lo, hi = (decimal(Interval(v), curve) for v in (last.lo, last.hi))
        spread = f" (95\u00a0% interval {lo} to {hi})"
    verb = _verb(evaluation)
    if verb is None:
        return f"No clear change: return is {a} {start} and {b} {end}{spread}, {where}."
    return f"Return {verb} from {a} {start} to {b} {end}{spread}, {where}."


def comparison(evaluation: Evaluation) -> str:
    """One sentence: the outcome against the baselines and the oracle."""
    ours = outcome(evaluation.run, evaluation)
    if ours is None:
        return ""
    others = [(b.name, outcome(b, evaluation)) for b in evaluation.baselines]
    known = [(name, value) for name, value in others if value is not None]
    if evaluation.oracle and evaluation.oracle.total:
        known.append((f"oracle ({evaluation.oracle.name})", evaluation.oracle.total))
    like = [ours, *(v for _, v in known)]
    said = "; ".join(f"{name}: {decimal(value, like)}" for name, value in known)
    if evaluation.unit == "gradient step":
        opening = f"At the last point it returns {decimal(ours, like, reach=True)}"
    else:
        opening = f"Summed over {many(len(evaluation.run.curve), unit_word(evaluation))} it returns "
        opening += decimal(ours, like, reach=True)
    return f"{opening}. For comparison, {said}." if said else f"{opening}."


def cautions(evaluation: Evaluation) -> list[str]:
    """What a reader must know before believing the headline."""
    found = []
    if evaluation.tiny:
        found.append(
            "This family has so few tasks that all of them stand in every split: the tasks evaluated here "
            "were also trained on. The curve shows fast adaptation, not generalisation to unseen tasks."
        )
    elif evaluation.facts.get("split") == "train":
        found.append("These are training tasks: the curve says nothing of unseen ones.")
    ours, still = outcome(evaluation.run, evaluation), without_adaptation(evaluation)
    theirs = outcome(still, evaluation) if still else None
    if ours and theirs and still:
        if apart(ours, theirs) is False:
            found.append(f"The run cannot be told from “{still.name}” here: their intervals overlap.")
        elif ours.mean < theirs.mean:
            found.append(f"The run is below “{still.name}”: adapting hurts here.")
    best = evaluation.oracle.total if evaluation.oracle else None
    if ours and best and (ours.mean if ours.lo is None else ours.lo) > best.mean:
        found.append("The run lies above its oracle: check that both were measured by the same protocol.")
    return found


def _verb(evaluation: Evaluation) -> str | None:
    """Rises, falls, or None where the data do not say."""
    first, last = evaluation.run.curve[0], evaluation.run.curve[-1]
    gain = evaluation.gain
    if gain and gain.lo is not None and gain.hi is not None:
        return "rises" if gain.lo > 0 else "falls" if gain.hi < 0 else None
    if apart(first, last) is False or first.mean == last.mean:
        return None
    return "rises" if last.mean > first.mean else "falls"


def _tasks(evaluation: Evaluation) -> str:
    kind = {"train": "training", "validation": "validation"}.get(str(evaluation.facts.get("split")), "held-out")
    kind = "" if evaluation.tiny else f"{kind} "
    tasks = evaluation.facts.get("tasks")
    count = isinstance(tasks, int) and not isinstance(tasks, bool)
    said = f"on {many(tasks, f'{kind}task')}" if count else f"on {kind}tasks"
    return said + (f", over {many(evaluation.seeds, 'seed')}" if evaluation.seeds else "")


def _baseline(evaluation: Evaluation, pattern: str) -> Contender | None:
    return next((b for b in evaluation.baselines if re.search(pattern, b.name, re.IGNORECASE)), None)
