"""What the figures of a comparison are, in words, and how they are written.

Not the figures themselves (`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from innerloop.evaluate.page.comparison import FEW, Across, Group, Improvement, Summary
from innerloop.evaluate.page.numerals import plain
from innerloop.evaluate.page.record import Interval

SCALED = (
    "The mean outcome on a scale where a random policy has 0\u00a0% and the family's oracle 100\u00a0%, both taken as exact; "
    "95\u00a0% intervals as evaluated. Different families ask for different things: a score tells how near a run comes to its "
    "own oracle, not which method is better."
)


def definition(group: Group, found: Sequence[Summary | None]) -> str:
    """What a score is and how its aggregates and intervals are made."""
    last = group.first.unit == "gradient step"
    said = (
        f"A score is the return {'after the last gradient step' if last else 'summed over the trial'} of one training in one "
    )
    said += "held-out task"
    if group.scale:
        zero, one = (plain(float(f"{v:.4g}")).replace("-", "\u2212") for v in group.scale[:2])
        said += (
            f", on a scale where a random policy has 0 ({zero}) and the oracle ({group.scale.oracle}) 1 ({one}), both taken as "
        )
        said += "exact. Tasks differ: a single one may lie above 1 or below 0"
    said += ". The interquartile mean (IQM) is the mean of the middle half of all scores, over trainings and tasks together. "
    known = [s for s in found if s]
    several = [s.trainings for s in known if s.trainings > 1]
    if several:
        said += "Intervals: 95\u00a0% bootstrap, 2,000 replicates, in which trainings are resampled and tasks within each of "
        said += "them; percentiles expanded for few trainings. "
        few = min(several)
        said += f"With fewer than {FEW} trainings ({few} here) they are preliminary. " if few < FEW else ""
    if any(s.trainings == 1 for s in known):
        said += "Where only one training's tasks are listed, the interval is over tasks: it says nothing of another training."
    return said.strip()


def across_definition(found: Across) -> str:
    """What is aggregated over settings, and how."""
    said = f"Over {'; '.join(g.setting for g in found.groups)}. The score of a training in a setting is its mean over held-out "
    said += (
        "tasks, normalised as above; mean and interquartile mean are over all trainings and settings, the optimality gap is "
    )
    said += "what scores fall short of 100\u00a0%. "
    if found.trainings < 2:
        return said + "No interval: the evaluations do not list single trainings; evaluate the runs again."
    said += (
        "Intervals: 95\u00a0% bootstrap stratified by setting, trainings resampled within each, 2,000 replicates (IQM: BCa)."
    )
    return said + (f" {found.trainings} trainings: preliminary." if found.trainings < FEW else "")


def improvement_text(found: Improvement) -> str:
    """The probability with its interval; or why there is none."""
    if found.chance is None:
        return "not measured on the same tasks: evaluate both with the same --seed and --tasks"
    mean, lo, hi = found.chance
    reach = f" ({lo:.0%} to {hi:.0%})" if lo is not None and hi is not None else ""
    return f"{mean:.0%}{reach}".replace("%", "\u00a0%")


def percent(value: Interval) -> str:
    """A share as a percentage, with its interval."""
    reach = f" ({100 * value.lo:.1f} to {100 * value.hi:.1f})" if value.lo is not None and value.hi is not None else ""
    return f"{100 * value.mean:.1f}{reach}\u00a0%".replace("-", "\u2212")
