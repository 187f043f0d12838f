"""A few held-out trials told place by place: where the agent went, what was still possible, and what it believed.

Not a measurement (`adaptation.py`): pictures of three tasks prove nothing, they show how the agent goes about it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Belief, Inner, Lifetime, World, replay
from innerloop.core.spaces import zeros
from innerloop.tasks.chart import Chart
from innerloop.tasks.family import Family

TASKS, EPISODES, MOMENTS = 3, 4, 120  # tasks shown; episodes of each; points of a curve of the belief


def tell(inner: Inner[Any, Any], meta: Any, family: Family, world: World, unit: str, key: Array) -> dict[str, Any] | None:
    """Live a few held-out tasks and say what happened in them.

    Args:
        inner: lives its plan; of several streams the first is told.
        family: of the split to show; with a chart, or the inner with a belief, or there is nothing to tell.
        unit: of experience; of a learner by gradient steps the first episode of every chunk is told.

    Returns:
        {"places": [M][2] and "side" of the family's chart, or None and 0; "tasks": [{"index", "goal": [2] or None, "episodes":
        [{"number", "steps", "path": [steps + 1][2], "possible": [M] of 0 and 1, or None where other streams met more,
        "believed": [M] expected rewards on arriving or None}], "belief": {"step": [S], "mean": [S][D], "std": [S][D]} or
        None}]}. Without gradient steps the first episode is told thrice: after a third of it, after two thirds, and at its
        end. None where there is nothing to tell.
    """
    chart, believes = family.chart, _believes(inner, meta)
    if chart is None and not believes:
        return None
    key_tasks, key_lives = jax.random.split(key)
    tasks = family.sample(key_tasks, TASKS)
    lives = world.live(inner, meta, tasks, key_lives, learn_last=False)[0]
    beliefs = _beliefs(inner, meta, lives) if believes else None
    told = []
    for i in range(TASKS):
        life, belief = jax.tree.map(lambda x, i=i: x[i], (lives, beliefs))
        told.append(
            {
                "index": int(life.task.index),
                "goal": None if chart is None else np.asarray(life.task.params, float).tolist(),
                "episodes": [] if chart is None else _episodes(chart, inner, meta, life, belief, unit == "gradient step"),
                "belief": None if belief is None else _curve(belief),
            }
        )
    if chart is None:
        return {"places": None, "side": 0.0, "tasks": told}
    return {"places": _rounded(chart.places), "side": chart.side, "tasks": told}


def _believes(inner: Inner[Any, Any], meta: Any) -> bool:
    def extras(meta: Any, key: Array) -> Any:
        obs = zeros(inner.spaces.obs, (inner.plan.streams,))
        return inner.decide(meta, inner.begin(meta, key), obs).extras

    said = jax.eval_shape(extras, meta, jax.random.key(0))
    return isinstance(said, Belief) and said.mean.shape[-1] > 0


def _beliefs(inner: Inner[Any, Any], meta: Any, lives: Lifetime) -> Belief:
    """Of the first stream at every decision, leaves [B, L, D]."""

    def believed(meta: Any, lives: Lifetime) -> Belief:
        extras = jax.vmap(lambda life: replay(inner, meta, life)[0].extras)(lives)
        return jax.tree.map(lambda x: x[..., 0, :].reshape(x.shape[0], -1, x.shape[-1]), extras)

    return jax.jit(believed)(meta, lives)


def _episodes(
    chart: Chart, inner: Inner[Any, Any], meta: Any, life: Lifetime, belief: Belief | None, by_chunk: bool
) -> list[dict[str, Any]]:
    """The first episodes of the first trial, or the first episode of every chunk."""
    c = life.chunks
    first, born, ended, reward, mask = (
        np.asarray(x[..., 0]).reshape(-1) for x in (c.step.first, c.step.born, c.terminated | c.truncated, c.reward, c.mask)
    )
    left, arrived = (
        np.asarray(chart.where(jax.tree.map(lambda x: x[:, :, 0].reshape(-1, *x.shape[3:]), obs)))
        for obs in (c.step.obs, c.next_obs)
    )
    length = next((t for t in range(1, len(born)) if born[t]), len(born))
    alone = life.chunks.reward.shape[-1] == 1
    possible = np.asarray(chart.possible(jnp.asarray(arrived[:length]), jnp.asarray(reward[:length]))) if alone else None
    begins = [t for t in range(length) if first[t] and mask[t]]
    if by_chunk:
        steps = c.reward.shape[1]
        begins = [next(t for t in begins if t // steps == k) for k in sorted({t // steps for t in begins})]
    told: list[dict[str, Any]] = []
    for number, begin in enumerate(begins if by_chunk else begins[:EPISODES]):
        steps = next((t + 1 for t in range(begin, length) if ended[t]), length) - begin
        whole = by_chunk or number > 0
        for halt in [steps] if whole else sorted({max(steps // 3, 1), max(2 * steps // 3, 1), steps}):
            at = begin + halt
            now = None if belief is None else jax.tree.map(lambda x, at=at: x[min(at, x.shape[0] - 1)], belief)
            told.append(
                {
                    "number": number,
                    "steps": halt,
                    "path": _rounded(np.concatenate([left[begin : begin + 1], arrived[begin:at]])),
                    "possible": None if possible is None else possible[at].astype(int).tolist(),
                    "believed": None if now is None else _expected(chart, inner, meta, now),
                }
            )
    return told


def _expected(chart: Chart, inner: Inner[Any, Any], meta: Any, belief: Belief) -> list[float] | None:
    found = inner.foresee(meta, belief, chart.seen(jnp.asarray(chart.places)))
    return None if found is None else _rounded(found)


def _curve(belief: Belief) -> dict[str, Any]:
    steps = belief.mean.shape[0]
    shown = np.unique(np.linspace(0, steps - 1, min(steps, MOMENTS)).round().astype(int))
    mean, std = np.asarray(belief.mean)[shown], np.exp(0.5 * np.asarray(belief.log_var)[shown])
    return {"step": shown.tolist(), "mean": _rounded(mean), "std": _rounded(std)}


def _rounded(x: Any) -> list[Any]:
    return np.round(np.asarray(x, float), 4).tolist()
