"""A map between tasks: where adapted agents lie beside each other, and what they earn in each other's tasks.

Of any inner: what it holds after a life in a task (fast parameters, belief, memory, predictions) is the task's place. Not the
drawing (`page/task_map.py`).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax import Array

from innerloop.core import Inner, Plan, TaskDistribution, World
from innerloop.evaluate.adaptation import unit_returns
from innerloop.evaluate.frozen import Carried

PAIRS = 20_000  # pairs of tasks whose distances are compared, at most


def adapted(
    inner: Inner[Any, Any], meta: Any, family: TaskDistribution, world: World, tasks: int, key: Array
) -> tuple[Any, Any]:
    """The agents after a life of `inner.plan` in each of so many tasks, leaves [B, ...], and the tasks."""
    key_tasks, key_live = jax.random.split(key)
    drawn = family.sample(key_tasks, tasks)
    live = lambda meta, drawn, key: world.live(inner, meta, drawn, key)[1].fast  # noqa: E731
    return (jax.jit(live) if world.jittable else live)(meta, drawn, key_live), drawn


def flat(fasts: Any) -> np.ndarray:
    """[B, D]: all numbers among agents' parts that are not the same in all of them."""
    leaves = [x for x in jax.tree.leaves(fasts) if jnp.issubdtype(x.dtype, jnp.inexact)]
    rows = np.concatenate([np.asarray(x, np.float64).reshape(len(x), -1) for x in leaves], 1)
    return rows[:, np.ptp(rows, 0) > 0]


def params_of(tasks: Any) -> np.ndarray:
    """[B, P]: what the tasks are, as numbers."""
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(tasks.params)]
    return np.concatenate([x.reshape(len(x), -1) for x in leaves], 1)


def places(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two principal axes of rows [B, D]: coordinates [B, 2], and the share of the variance along each [2]."""
    centred = rows - rows.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    share = s**2 / max(float((s**2).sum()), 1e-300)
    pad = max(0, 2 - len(s))
    return np.pad(u * s, ((0, 0), (0, pad)))[:, :2], np.pad(share, (0, pad))[:2]


def _distances(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(((x[:, None] - x[None]) ** 2).sum(-1), 0.0))


def structure(rows: np.ndarray, params: np.ndarray) -> dict[str, float]:
    """Whether agents lie beside each other as tasks do.

    Returns:
        "rank_correlation" of the distances of agents and of tasks, over pairs; and how far the task of the nearest agent is:
        "nearest", beside "any" (the mean over all others) and "best" (the nearest task), in the parameters' units.
    """
    spread = np.where(params.std(0) > 0, params.std(0), 1.0)
    ours, theirs = _distances(rows), _distances(params / spread)
    upper = np.triu_indices(len(rows), 1)
    chosen = np.random.default_rng(0).permutation(len(upper[0]))[:PAIRS]
    pairs = ours[upper][chosen], theirs[upper][chosen]
    varied = all(np.ptp(x) > 0 for x in pairs)
    others = ~np.eye(len(rows), dtype=bool)
    apart = np.where(others, ours, np.inf)
    true = _distances(params)
    return {
        "rank_correlation": float(scipy.stats.spearmanr(*pairs).statistic) if varied else 0.0,
        "nearest": float(true[np.arange(len(rows)), apart.argmin(1)].mean()),
        "any": float(true[others].mean()),
        "best": float(np.where(others, true, np.inf).min(1).mean()),
    }


def episode_returns(
    inner: Inner[Any, Any], meta: Any, family: TaskDistribution, world: World, fasts: Any, tasks: Any, key: Array
) -> Array:
    """[B]: return of one episode in each task, of the agent (leaves [B, ...]) that enters it, adapting by its memory alone from
    there on."""
    count = tasks.index.shape[0]
    carried = Carried(inner.with_plan(Plan(1, family.horizon, inner.plan.streams)))

    def earned(meta: Any, fasts: Any, key: Array) -> Array:
        wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), meta)
        lives = world.live(carried, (wide, fasts), tasks, key, learn_last=False, metas=0)[0]
        returns = jax.vmap(lambda c: unit_returns(c, "episode", 1))(lives.chunks)[:, 0]
        return jnp.where(jnp.isfinite(returns), returns, jnp.sum(jnp.mean(lives.chunks.reward, -1), (1, 2)))

    return (jax.jit(earned) if world.jittable else earned)(meta, fasts, key)


def transfer(
    inner: Inner[Any, Any], meta: Any, family: TaskDistribution, world: World, fasts: Any, tasks: Any, key: Array
) -> np.ndarray:
    """[B, B]: return of one episode in task j of the agent that lived in task i."""
    count = tasks.index.shape[0]
    spread = lambda i: jax.tree.map(lambda x: jnp.broadcast_to(x[i], x.shape), fasts)  # noqa: E731
    each = [episode_returns(inner, meta, family, world, spread(i), tasks, key) for i in range(count)]
    return np.stack([np.asarray(x) for x in each])


def task_map(
    inner: Inner[Any, Any], meta: Any, family: TaskDistribution, world: World, tasks: int, shown: int, key: Array
) -> dict[str, Any]:
    """Both, as JSON: `tasks` of the map, `shown` of them in the transfer matrix, in the order of the first axis."""
    key_map, key_transfer, key_none = jax.random.split(key, 3)
    fasts, drawn = adapted(inner, meta, family, world, tasks, key_map)
    rows, params = flat(fasts), params_of(drawn)
    if rows.shape[1] == 0:
        raise ValueError("adapted agents are the same in all tasks: there is nothing to map.")
    xy, share = places(rows)
    order = np.argsort(xy[:shown, 0], kind="stable")
    few = lambda tree: jax.tree.map(lambda x: x[:shown][order], tree)  # noqa: E731
    matrix = transfer(inner, meta, family, world, few(fasts), few(drawn), key_transfer)
    fresh = jax.vmap(inner.begin, (None, 0))(meta, jax.random.split(key_none, len(order)))
    none = np.asarray(episode_returns(inner, meta, family, world, fresh, few(drawn), key_transfer))
    own, others = np.diag(matrix), matrix[~np.eye(len(matrix), dtype=bool)]
    return {
        "tasks": tasks,
        "numbers": rows.shape[1],
        "places": xy.tolist(),
        "variance": share.tolist(),
        "params": params.tolist(),
        "structure": structure(rows, params),
        "transfer": {
            "tasks": [int(i) for i in order],
            "returns": matrix.tolist(),
            "own": float(own.mean()),
            "others": float(others.mean()),
            "unadapted": float(none.mean()),
        },
    }
