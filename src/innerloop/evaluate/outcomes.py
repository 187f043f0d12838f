"""The outcomes of one training, task by task, as evaluation.json keeps them for comparisons.

Not their statistics (`aggregates.py`), nor how a report reads them (`page/scores.py`).
"""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import numpy as np

from innerloop.evaluate.adaptation import totals

SCORED = 500  # tasks of each training at most


def outcomes(returns: np.ndarray, drawn: Any, unit: str) -> dict[str, Any]:
    """Of returns [tasks, units] in the tasks `drawn`.

    Returns:
        {"drawn": a digest of the first tasks, by which a report knows that two runs met the same, "outcomes": what each of them
        paid in all (`totals`), None where a unit gave no return}.
    """
    kept = returns[:SCORED]
    whole = np.all(np.isfinite(kept), axis=1)
    paid = [float(f"{x:.6g}") if ok else None for x, ok in zip(totals(kept, unit), whole, strict=True)]
    told = hashlib.sha256()
    for leaf in jax.tree.leaves((drawn.params, drawn.index)):
        told.update(np.ascontiguousarray(np.asarray(leaf)[:SCORED]).tobytes())
    return {"drawn": told.hexdigest(), "outcomes": paid}
