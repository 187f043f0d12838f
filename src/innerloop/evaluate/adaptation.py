"""Adaptation curves: return against the amount of experience in a task that the agent has not met.

Not statistics over seeds (`statistics.py`) nor known optima (`oracles.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Chunk, Inner, Lifetime, Plan, TaskDistribution, Transitions, World, stages
from innerloop.evaluate.frozen import Frozen
from innerloop.tasks.family import Family

UNITS = ("step", "episode", "gradient step", "update")


def episodes_in(plan: Plan, family: TaskDistribution) -> int:
    """Episodes of full length that a life has room for: a recipe may evaluate more or fewer than a trial of the family has."""
    return max(plan.chunks * plan.steps // family.horizon, 1)


class Found(NamedTuple):
    """Of each task and unit of experience, [tasks, units]; NaN where no stream finished the unit."""

    returns: Any
    measures: dict[str, Any]  # by the names that the family has for them


def unit_returns(chunks: Chunk, unit: str, episodes: int) -> Array:
    """Undiscounted return of each unit of experience, mean over streams; see `by_unit`."""
    return by_unit(chunks.reward, chunks, unit, episodes)


def by_unit(values: Array, chunks: Chunk, unit: str, episodes: int, per: str = "episode") -> Array:
    """What each unit of experience adds up to, mean over streams.

    Args:
        values: [K, T, N], one for each row of a life: its rewards, say.
        chunks: of that life [K, T, N, ...].
        unit: "step": the reward at each step [K·T]; "episode": the return of each of the first `episodes` episodes;
            "gradient step": the return of the first whole episode of every chunk [K]; "update": the sum of rewards of every
            chunk [K], of agents that learn from chunks shorter than an episode.
        episodes: see there.
        per: "episode": sums, as told; "step": the mean over a unit's steps in place of its sum; "any": the greatest of them;
            "last": that of its last step.

    Returns:
        float [units]; NaN for an episode that no stream finished.
    """

    def added(value: Array, inside: Array, axis: int) -> Array:
        if per == "any":
            return jnp.where(jnp.any(inside, axis), jnp.max(jnp.where(inside, value, -jnp.inf), axis), 0.0)
        if per == "last":
            inside = inside & (jnp.flip(jnp.cumsum(jnp.flip(inside, axis), axis), axis) == 1)
        total = jnp.sum(jnp.where(inside, value, 0.0), axis=axis)
        return total / jnp.maximum(jnp.sum(inside, axis=axis), 1) if per == "step" else total

    if unit == "gradient step":
        started = jnp.cumsum(chunks.step.first & chunks.mask, axis=1)
        inside = (started == 1) & chunks.mask
        whole = jnp.any(inside, axis=1)
        returns = added(values, inside, 1)
        return jnp.sum(returns, 1) / jnp.where(jnp.any(whole, 1), jnp.sum(whole, 1), jnp.nan)
    if unit == "update":
        return jnp.mean(added(values, chunks.mask, 1), axis=1)
    value, first, ends, mask = (
        x.reshape(-1, x.shape[-1]) for x in (values, chunks.step.first, chunks.terminated | chunks.truncated, chunks.mask)
    )
    if unit == "step":
        return jnp.mean(jnp.where(mask, value, 0.0), axis=1)
    number = jnp.cumsum(first & mask, axis=0) - 1
    at = (number[..., None] == jnp.arange(episodes)[None, None]) & mask[..., None]
    done = jnp.any(at & ends[..., None], axis=0)
    returns = added(value[..., None], at, 0)
    count = jnp.sum(done, axis=0)
    return jnp.sum(jnp.where(done, returns, 0.0), axis=0) / jnp.where(count > 0, count, jnp.nan)


def measured(family: Family, life: Lifetime) -> dict[str, Array]:
    """The family's measures of every transition of one life; {name: float [K, T, N]}."""
    c = life.chunks
    seen = Transitions(c.step.obs, c.action, c.reward, c.next_obs, c.terminated, life.told)
    of_row = jax.vmap(jax.vmap(jax.vmap(lambda row: family.measure(life.task, row))))
    return of_row(seen)


class Evaluator:
    """Lives held-out tasks with one inner and says what each unit of experience paid; compiles once."""

    def __init__(self, inner: Inner, family: Family, world: World, unit: str, *, stochastic: bool = True, slice: int = 4096):
        """`inner` lives its plan; `slice`: tasks lived side by side at most. Not `stochastic`: what counts is lived by the mode
        of every distribution; where the unit is a gradient step, the steps are still taken on sampled experience."""
        self.inner, self.family, self.world, self.unit = inner, family, world, unit
        self.stochastic, self.slice = stochastic, slice
        self._found = self._compiled() if stochastic or unit != "gradient step" else self._judged()

    def _reduce(self, lives: Lifetime) -> Found:
        episodes = episodes_in(self.inner.plan, self.family)

        def reduced(life: Lifetime) -> Found:
            told = measured(self.family, life) if self.family.measures else {}
            means = {
                name: by_unit(told[name], life.chunks, self.unit, episodes, measure.per)
                for name, measure in self.family.measures.items()
            }
            return Found(unit_returns(life.chunks, self.unit, episodes), means)

        return jax.vmap(reduced)(lives)

    def _compiled(self) -> Callable[[Any, Any, Array], Found]:
        def lived(meta: Any, tasks: Any, key: Array) -> Lifetime:
            return self.world.live(self.inner, meta, tasks, key, learn_last=False, stochastic=self.stochastic)[0]

        if self.world.jittable:
            return jax.jit(lambda meta, tasks, key: self._reduce(lived(meta, tasks, key)))
        reduced = jax.jit(self._reduce)
        return lambda meta, tasks, key: reduced(lived(meta, tasks, key))

    def _judged(self) -> Callable[[Any, Any, Array], Found]:
        """By the mode: the agent as it enters each chunk of a sampled life lives one chunk more, and adapts no further."""
        frozen = Frozen(self.inner.with_plan(self.inner.plan._replace(chunks=1)))

        def lived(meta: Any, tasks: Any, key: Array) -> Lifetime:
            return self.world.live(self.inner, meta, tasks, key, learn_last=False)[0]

        def judged(meta: Any, fast: Any, tasks: Any, key: Array) -> Lifetime:
            count = jax.tree.leaves(fast)[0].shape[0]
            shared = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), meta)
            options = {"learn_last": False, "stochastic": False, "metas": 0}
            return self.world.live(frozen, (shared, fast), tasks, key, **options)[0]

        if self.world.jittable:
            lived, judged = jax.jit(lived), jax.jit(judged)
        entered = jax.jit(lambda meta, lives: jax.vmap(lambda life: stages(self.inner, meta, life), out_axes=1)(lives))
        reduced = jax.jit(self._reduce)

        def found(meta: Any, tasks: Any, key: Array) -> Found:
            key_lived, *keys = jax.random.split(key, 1 + self.inner.plan.chunks)
            fasts = entered(meta, lived(meta, tasks, key_lived))
            each = [judged(meta, jax.tree.map(lambda x, k=k: x[k], fasts), tasks, one) for k, one in enumerate(keys)]
            return jax.tree.map(lambda *x: jnp.concatenate(x, 1), *(reduced(lives) for lives in each))

        return found

    def __call__(self, meta: Any, tasks: int, key: Array, again: int = 0) -> tuple[np.ndarray, Any]:
        """Returns [tasks, units] in fresh tasks of the family's split, and the tasks (numpy leaves); see `find`."""
        found, drawn = self.find(meta, tasks, key, again)
        return found.returns, drawn

    def find(self, meta: Any, tasks: int, key: Array, again: int = 0) -> tuple[Found, Any]:
        """What was found in fresh tasks of the family's split, and the tasks (numpy leaves). `again`: other lives in the same
        tasks."""
        out, drawn = [], []
        size = min(self.slice, tasks)
        for i in range(-(-tasks // size)):
            key_tasks, key_lives = jax.random.split(jax.random.fold_in(key, i))
            batch = self.family.sample(key_tasks, size)
            key_lives = jax.random.fold_in(key_lives, again) if again else key_lives
            out.append(jax.tree.map(np.asarray, self._found(meta, batch, key_lives)))
            drawn.append(jax.tree.map(np.asarray, batch))
        return jax.tree.map(lambda *x: np.concatenate(x)[:tasks], *zip(out, drawn, strict=True))


def of_trial(measure: np.ndarray, unit: str) -> np.ndarray:
    """Per task: the mean over the trial's units, or for gradient steps the last point. [tasks, units] → [tasks]"""
    return measure[:, -1] if unit == "gradient step" else np.nanmean(measure, axis=1)


def totals(returns: np.ndarray, unit: str) -> np.ndarray:
    """Per task: the return summed over the trial, or for gradient steps the last point. [tasks, units] → [tasks]"""
    return returns[:, -1] if unit == "gradient step" else np.nansum(returns, axis=1)
