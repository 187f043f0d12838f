"""Does an agent plan? Stay probabilities of the two-step task, from recorded lives.

Not the task (`tasks/two_step.py`), and not the living (`innerloop/two_step.py`, the command). Counted is whether the next
trial's first action is the same again, by what the trial paid and whether its transition was common or rare (Daw et al. 2011).
An agent that repeats what was rewarded (model-free) stays after reward, whichever the transition: a main effect of reward. One
that knows which way leads where (model-based) stays after a common reward and a rare failure: an interaction of reward and
transition. Wang et al. 2016 find the second in a recurrent network trained by a model-free rule.

Akam et al. 2015 warn: a habit over inferred states looks like a plan, and a slow model-free learner too shows some interaction,
for whoever has learned which action is good meets common rewards more often. Compare the two; one alone says little.

Every number is a ratio of sums over lives, with a 95 % interval over lives (linearised, so that a life counts as one draw).
The effects are the coefficients of the least-squares regression of staying (0 or 1) on reward (±1), transition (common +1, rare
−1) and their product, weighted so that the four cases count alike: half and quarter differences of stay probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats

from innerloop.core import Chunk
from innerloop.evaluate.statistics import LEVEL

CASES = ("rewarded, common", "rewarded, rare", "unrewarded, common", "unrewarded, rare")
EFFECTS = {  # of the four cases, in their order
    "reward": np.array([1.0, 1.0, -1.0, -1.0]) / 4.0,
    "transition": np.array([1.0, -1.0, 1.0, -1.0]) / 4.0,
    "reward × transition": np.array([1.0, -1.0, -1.0, 1.0]) / 4.0,
}


def counts(chunks: Chunk) -> np.ndarray:
    """How often each case occurred and how often it was followed by staying.

    Args:
        chunks: of lives in the two-step task, leaves [B, K, T, N].

    Returns:
        int [B, 4, 2]: trials, and those after which the first action was the same.
    """
    place, action, reward, mask = (_in_line(x) for x in (chunks.step.obs, chunks.action, chunks.reward, chunks.mask))
    out = np.zeros((len(place), 4, 2), np.int64)
    follows = mask[:, :-2] & mask[:, 1:-1] & mask[:, 2:] & (place[:, :-2] == 0) & (place[:, 2:] == 0)
    follows &= ~_in_line(chunks.step.first)[:, 2:]  # an episode that ends has no trial behind it
    common, paid = place[:, 1:-1] == 1 + action[:, :-2], reward[:, 1:-1] > 0.5
    stays = action[:, 2:] == action[:, :-2]
    for case, chosen in enumerate((paid & common, paid & ~common, ~paid & common, ~paid & ~common)):
        out[:, case] = np.stack([follows & chosen, follows & chosen & stays], -1).sum((1, 2))
    return out


def _in_line(x: Any) -> np.ndarray:
    """Leaves [B, K, T, N] → [B, K · T, N]."""
    x = np.asarray(x)
    return x.reshape(len(x), -1, x.shape[-1])


def analysis(counted: np.ndarray) -> dict[str, Any]:
    """Stay probabilities and effects.

    Args:
        counted: [B, 4, 2] of `counts`; lives of several seeds one behind another.

    Returns:
        {"lives", "trials", "stay": {case: {"mean", "lo", "hi", "trials"}}, "effects": {name: {"mean", "lo", "hi"}}}.

    Raises:
        ValueError: fewer than two lives, or a case that never occurred.
    """
    counted = np.asarray(counted, float)
    if counted.ndim != 3 or counted.shape[1:] != (4, 2) or len(counted) < 2:
        raise ValueError(f"analysis: given shape {counted.shape}; accepted is [lives, 4, 2] of at least two lives")
    trials = counted[..., 0].sum(0)
    if not np.all(trials):
        missing = ", ".join(name for name, n in zip(CASES, trials, strict=True) if not n)
        raise ValueError(f"analysis: no trial was {missing}; more lives are needed")
    stay = counted[..., 1].sum(0) / trials
    pull = (counted[..., 1] - stay * counted[..., 0]) / (trials / len(counted))  # of each life on each ratio
    z = scipy.stats.norm.ppf(0.5 + LEVEL / 2)

    def interval(weights: np.ndarray) -> dict[str, float]:
        mean, half = float(stay @ weights), float(z * (pull @ weights).std(ddof=1) / np.sqrt(len(counted)))
        return {"mean": mean, "lo": mean - half, "hi": mean + half}

    return {
        "lives": len(counted),
        "trials": int(trials.sum()),
        "stay": {
            name: interval(weights) | {"trials": int(n)} for name, weights, n in zip(CASES, np.eye(4), trials, strict=True)
        },
        "effects": {name: interval(weights) for name, weights in EFFECTS.items()},
    }


def shown(found: dict[str, Any]) -> str:
    """The table, as text."""
    lines = [f"{'stay after':<22}{'probability':>12}  95 % interval    trials"]
    for name, value in found["stay"].items():
        lines.append(f"{name:<22}{value['mean']:>12.3f}  [{value['lo']:.3f}, {value['hi']:.3f}]  {value['trials']:>8,}")
    lines.append(f"{'effect':<22}{'coefficient':>12}")
    for name, value in found["effects"].items():
        lines.append(f"{name:<22}{value['mean']:>+12.3f}  [{value['lo']:+.3f}, {value['hi']:+.3f}]")
    lines.append(f"{found['lives']:,} lives; planning shows in reward × transition, habit in reward.")
    return "\n".join(lines)
