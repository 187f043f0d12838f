"""Whether an agent's spaces are an environment's: what must be alike, and what to do where it is not.

Not a conversion: the Gymnasium spaces of a user's environment become ours in `tasks/own.py`.
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Box, Discrete, Spaces


def misfits(mine: Spaces, theirs: Spaces) -> list[str]:
    """What keeps an agent of the spaces `mine` out of an environment of the spaces `theirs`, in sentences; none where nothing
    does. Observations may lie closer together than those of training, never outside; actions must mean the same."""
    return [*_observations(mine.obs, theirs.obs, "observations"), *_actions(mine.action, theirs.action)]


def _observations(mine: Any, theirs: Any, name: str) -> list[str]:
    if isinstance(mine, (dict, tuple)):
        if type(mine) is not type(theirs) or len(mine) != len(theirs) or isinstance(mine, dict) and set(mine) != set(theirs):
            return [f"its {name} are {theirs}, the run's {mine}; the parts must be the same."]
        parts = sorted(mine) if isinstance(mine, dict) else range(len(mine))
        return [found for part in parts for found in _observations(mine[part], theirs[part], f"{name}[{part!r}]")]
    if isinstance(mine, Discrete):
        if not isinstance(theirs, Discrete) or theirs.n != mine.n:
            return [f"its {name} are {theirs}, the run's one of {mine.n} numbers; they must be as many."]
        return []
    if not isinstance(theirs, Box) or theirs.shape != mine.shape:
        return [f"its {name} are {theirs}, the run's {mine}; shapes must be the same, since the nets' sizes follow from them."]
    if mine.bounded and not (mine.low <= theirs.low and theirs.high <= mine.high):
        return [
            f"its {name} are {theirs}, and the run's lie in [{mine.low}, {mine.high}], by which they are scaled. Bound the "
            "space so, or wrap the environment in gymnasium.wrappers.RescaleObservation."
        ]
    return []


def _actions(mine: Any, theirs: Any) -> list[str]:
    if isinstance(mine, Discrete):
        if not isinstance(theirs, Discrete) or theirs.n != mine.n:
            return [f"its actions are {theirs}, the run's one of {mine.n}; they must be as many, and in the same order."]
        return []
    if not isinstance(theirs, Box) or theirs.shape != mine.shape:
        return [f"its actions are {theirs}, the run's {mine}; shapes must be the same."]
    if mine.bounded and (theirs.low, theirs.high) != (mine.low, mine.high):
        return [
            f"its actions lie in [{theirs.low}, {theirs.high}], the run's in [{mine.low}, {mine.high}]; wrap the environment "
            f"in gymnasium.wrappers.RescaleAction(env, {mine.low}, {mine.high})."
        ]
    return []
