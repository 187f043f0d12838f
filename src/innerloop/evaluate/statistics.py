"""Means with 95 % intervals over tasks, over seeds and over paired differences.

Not a report: numbers in, numbers out; interquartile means and their bootstraps are in `aggregates.py`. The unit of replication
of a training method is its seed: where several were run, the interval is a t-interval of the per-seed means; with one seed it
covers tasks only and says so (`Interval.over`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.special

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and its two-sided interval; float64 of the shape of one observation: a scalar, or one entry per point."""

    mean: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    over: str  # what was resampled: "tasks", "seeds" or "pairs"

    def point(self) -> dict[str, float]:
        """A scalar interval as {"mean", "lo", "hi"}, ready for JSON."""
        return {"mean": float(self.mean), "lo": float(self.lo), "hi": float(self.hi)}

    def curve(self) -> list[dict[str, float]]:
        """An interval over a vector as [{"experience", "mean", "lo", "hi"}], experience counted from 0; ready for JSON."""
        rows = zip(np.atleast_1d(self.mean), np.atleast_1d(self.lo), np.atleast_1d(self.hi), strict=True)
        return [{"experience": i, "mean": float(m), "lo": float(lo), "hi": float(hi)} for i, (m, lo, hi) in enumerate(rows)]


def checked(values: np.ndarray, what: str, axes: int, least: int) -> np.ndarray:
    """Values as float64, with `axes` leading axes and `least` entries along the first; ValueError otherwise, or for a NaN."""
    values = np.asarray(values, np.float64)
    if values.ndim < axes or values.shape[0] < least:
        raise ValueError(f"{what}: given shape {values.shape}; accepted is {axes} leading axes, the first of at least {least}")
    if not np.all(np.isfinite(values)):
        count = int(np.sum(~np.isfinite(values)))
        raise ValueError(f"{what}: {count} of {values.size} values are not finite; leave such tasks out and report how many")
    return values


def _t_interval(values: np.ndarray, level: float, over: str) -> Interval:
    n = values.shape[0]
    mean = values.mean(axis=0)
    half = scipy.special.stdtrit(n - 1, 0.5 + level / 2) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return Interval(mean, mean - half, mean + half, over)


def over_tasks(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Mean over independent tasks [tasks, ...] with a t-interval (the normal one from some hundred tasks on)."""
    return _t_interval(checked(values, "over_tasks", 1, 2), level, "tasks")


def over_seeds(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Mean over training seeds [seeds, tasks, ...]: a t-interval of the per-seed means, seeds − 1 degrees of freedom.

    One seed says nothing about training: its interval is then over tasks, and `over` is "tasks".
    """
    values = checked(values, "over_seeds", 2, 1)
    if values.shape[0] == 1:
        return over_tasks(values[0], level)
    return _t_interval(values.mean(axis=1), level, "seeds")


def paired(treated: np.ndarray, control: np.ndarray, level: float = LEVEL) -> Interval:
    """Mean of treated − control over pairs [pairs, ...] (same task and key, or same seed) with a t-interval."""
    treated, control = checked(treated, "paired: treated", 1, 2), checked(control, "paired: control", 1, 2)
    if treated.shape != control.shape:
        raise ValueError(f"paired: given shapes {treated.shape} and {control.shape}; accepted are equal shapes, paired by row")
    return _t_interval(treated - control, level, "pairs")
