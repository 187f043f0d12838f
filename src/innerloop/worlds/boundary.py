"""The boundary between Gymnasium's environments and a life: what may cross it, and as what.

Not a stepper of environments (`bench.py`), and free of JAX, so that worker processes start quickly. Observations are lists
of arrays, one per leaf of the observation space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode


class Leaf(NamedTuple):
    """One array of a space: where it stands in the (nested) value, its shape, and the bounds of every entry."""

    path: tuple[Any, ...]
    shape: tuple[int, ...]
    discrete: bool
    low: float
    high: float
    real: str = "float32"  # type of what is not discrete: "uint8" for images

    @property
    def dtype(self) -> np.dtype:
        """Of the memory in which it arrives: wide integers, so that an outlier is seen before it wraps."""
        return np.dtype(np.int64 if self.discrete else self.real)


class Misfit(ValueError):
    """An environment returned something that does not fit its declared space."""


def admit(leaf: Leaf, value: Any, out: np.ndarray) -> None:
    """Copy one environment's value for `leaf` into `out`; Misfit for a wrong structure, shape or type (numpy would
    broadcast the one and coerce the other in silence). Finiteness and bounds are `sound`'s, for all environments at once."""
    try:
        for name in leaf.path:
            value = value[name]
    except (KeyError, IndexError, TypeError):
        raise Misfit(f"observation without the entry {list(leaf.path)}") from None
    if type(value) is not np.ndarray:
        if value is None:
            raise Misfit("observation None")
        try:
            value = np.asarray(value)
        except ValueError:
            raise Misfit("observation is ragged") from None
    if value.shape != leaf.shape:
        raise Misfit(f"observation of shape {value.shape}, expected {leaf.shape}")
    if leaf.real == "uint8" and value.dtype != np.uint8:  # others would wrap, or be cut
        raise Misfit(f"observation of type {value.dtype}, expected uint8")
    if value.dtype.kind not in ("iub" if leaf.discrete else "fiub"):
        raise Misfit(f"observation of type {value.dtype}, expected {'integers' if leaf.discrete else 'reals'}")
    out[...] = value


def flag(value: Any, name: str) -> bool:
    """`value` if it is a bool; Misfit otherwise ('yes' and 1.0 are truthy, and no answers)."""
    if type(value) is bool:
        return value
    if isinstance(value, np.bool_) or (isinstance(value, np.ndarray) and value.shape == () and value.dtype == bool):
        return bool(value)
    raise Misfit(f"{name} is {value!r:.60}, expected a bool")


def number(value: Any, name: str = "reward") -> float:
    """`value` as one real number; Misfit otherwise."""
    if type(value) is float:
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        raise Misfit(f"{name} is {value!r:.60}, expected a number") from None
    if array.shape != () or array.dtype.kind not in "fiub":
        raise Misfit(f"{name} is {value!r:.60}, expected a number")
    return float(array)


def sound(leaves: Sequence[Leaf], obs: Sequence[np.ndarray], reward: np.ndarray | None = None) -> dict[int, str]:
    """The one vectorised validation: environments (by position) whose numbers may not enter a life, with the reason.

    Args:
        obs: one array [S, *shape] per leaf.
        reward: [S], or None after a reset.
    """
    bad: dict[int, str] = {}

    def report(fine: np.ndarray, reason: str) -> None:
        if not fine.all():
            rows = fine.reshape(len(fine), -1).all(axis=1)
            for i in np.flatnonzero(~rows):
                bad.setdefault(int(i), reason)

    for leaf, x in zip(leaves, obs, strict=True):
        if leaf.real == "uint8" and (leaf.low, leaf.high) == (0, 255):
            continue  # every byte is sound
        name = "observation" + (f" {list(leaf.path)}" if leaf.path else "")
        report(np.isfinite(x), f"{name} is not finite")
        if leaf.low > -np.inf or leaf.high < np.inf:
            low, high = leaf.dtype.type(leaf.low), leaf.dtype.type(leaf.high)
            report((x >= low) & (x <= high), f"{name} outside its space [{low}, {high}]")
    if reward is not None:
        report(np.isfinite(reward), "reward is not finite")
    return bad


class Transition(NamedTuple):
    """One step of S environments as a life records it; leaves [S, ...]."""

    obs: list[np.ndarray]  # from which the next action is chosen: after a reset, if there was one
    arrived: list[np.ndarray]  # what the action led to, before any reset
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    first: np.ndarray  # bool: `obs` begins an episode
    mask: np.ndarray  # bool: this is a transition of the environment


def transition(
    mode: AutoresetMode,
    obs: Sequence[np.ndarray],
    final: Sequence[np.ndarray] | None,
    reward: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    ended: np.ndarray,
) -> Transition:
    """The only place where Gymnasium's autoreset becomes what a life records.

    Args:
        mode: SAME_STEP: `obs` of an environment that has ended is already the next episode's, and `final` holds the last
            one (other rows of `final` are not read). DISABLED: the same, once the caller has reset those that ended and
            passes what `step` returned as `final` and what `reset` returned in `obs`. NEXT_STEP: `obs` is what the action
            led to; the step after an end ignores its action and returns the next episode's first observation, so that row
            is no transition (`final` is not read and may be None).
        ended: [S], whether the environment had ended in the step before.
    """
    done = terminated | truncated
    if mode is AutoresetMode.NEXT_STEP:
        no = np.zeros_like(done)
        return Transition(
            list(obs),
            list(obs),
            np.where(ended, 0.0, reward).astype(np.float32),
            np.where(ended, no, terminated),
            np.where(ended, no, truncated),
            ended.copy(),
            ~ended,
        )
    if final is None:
        raise ValueError(f"{mode} needs the final observations of the environments that ended")
    arrived = [np.where(done.reshape(-1, *[1] * (o.ndim - 1)), f, o) for o, f in zip(obs, final, strict=True)]
    return Transition(
        list(obs), arrived, reward.astype(np.float32), terminated.copy(), truncated.copy(), done, np.ones_like(done)
    )
