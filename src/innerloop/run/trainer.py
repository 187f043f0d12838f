"""One run's parts, put together: the first state, and one update of it. Nothing not finite gets into the state.

Not the loop around it: that is `train.py`. It knows inners and outers by their contract alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Cursor, Lifetime, Metrics, Task, World, select
from innerloop.evaluate.adaptation import episodes_in, unit_returns
from innerloop.run.config import Recipe
from innerloop.run.tensors import strong
from innerloop.tasks.family import Family

Phase = Callable[..., AbstractContextManager[None]]  # of the numbers in log.PHASES

MASKED_AT_MOST = 0.1  # of the tasks of one update (but one may always be); more, and the update is skipped


class Carried(NamedTuple):
    """All that training carries from one update to the next; what checkpoints hold and `digest` covers."""

    outer: Any
    iteration: Array  # int32
    branch: Array  # int32: roll-backs so far; each takes other random numbers
    skipped: Array  # int32: skipped updates in a row
    key: Array


def _finite(tree: Any) -> Array:
    leaves = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.asarray(True)


class Trainer:
    """One run's parts, put together: `first` state, and `iterate`, one update."""

    def __init__(self, recipe: Recipe, family: Family, world: World):
        self.recipe, self.family, self.world = recipe, family.split("train"), world
        self.actor, self.each = recipe.outer.actor(recipe.inner), recipe.outer.each(recipe.inner)
        self._iterate = self._jitted() if world.jittable else self._hosted()

    def iterate(self, carried: Carried, phase: Phase = lambda *_: nullcontext()) -> tuple[Carried, Metrics]:
        """One update: draw tasks, live in each, learn from the lives. `phase` is entered with the numbers of what goes on."""
        return self._iterate(carried, phase)

    def first(self, seed: int, meta: Any = None) -> Carried:
        """The state before any update; `meta`: begin with these meta-parameters in place of fresh ones."""
        recipe, key = self.recipe, jax.random.key(seed)
        key_meta, key_outer, key_run = jax.random.split(key, 3)

        @jax.jit
        def make(key_meta: Array, key_outer: Array, meta: Any) -> Any:
            meta = recipe.inner.init(key_meta) if meta is None else meta
            return recipe.outer.init(recipe.inner, meta, self.family, self._example(meta), key_outer)

        zero = jnp.zeros((), jnp.int32)
        return strong(Carried(make(key_meta, key_outer, meta), zero, zero, zero, jax.random.key_data(key_run)))

    def _example(self, meta: Any) -> Lifetime:
        """Shapes of a batch of lives."""
        from innerloop.worlds.example import example_life

        return example_life(self.actor, meta, self.family, self.recipe.meta_batch * self.recipe.outer.lives(self.recipe.inner))

    def _keys(self, carried: Carried) -> list[Array]:
        key = jax.random.fold_in(jax.random.wrap_key_data(carried.key), carried.branch)
        return list(jax.random.split(jax.random.fold_in(key, carried.iteration), 4))

    def _live(self, outer: Any, metas: Any, tasks: Task, key: Array) -> tuple[Lifetime, Cursor]:
        onward = self.recipe.outer.goes_on(outer)
        cursor, fresh = (None, True) if onward is None else onward
        options = {"learn_last": onward is not None, "metas": self.each}
        keys = self.recipe.outer.keys(key, tasks.index.shape[0])
        return self.world.live(self.actor, metas, tasks, keys, cursor, fresh, **options)

    def _draw(self, carried: Carried) -> tuple[Any, Task, Array, Array]:
        key_tasks, key_propose, key_live, key_update = self._keys(carried)
        tasks = self.family.sample(key_tasks, self.recipe.meta_batch)
        metas, tasks = self.recipe.outer.propose(carried.outer, tasks, key_propose)
        return metas, tasks, key_live, key_update

    def _learn(self, carried: Carried, lives: Lifetime, end: Cursor, key: Array) -> tuple[Carried, Metrics]:
        new, metrics = self.recipe.outer.update(self.recipe.inner, carried.outer, lives, key)
        new = self.recipe.outer.lived(new, end)
        bad = metrics["masked"]
        good = _finite(new) & (bad <= max(MASKED_AT_MOST, 1.5 / self.recipe.meta_batch)) & (bad < 1.0)
        episodes = episodes_in(self.actor.plan, self.family)
        returns = jax.vmap(lambda c: unit_returns(c, self.recipe.unit, episodes))(lives.chunks)
        metrics |= {
            "return_first": jnp.nanmean(returns[:, 0]),
            "return_last": jnp.nanmean(returns[:, -1]),
            "discarded": jnp.mean(~lives.chunks.mask),
            "skipped": 1.0 - good,
        }
        skipped = jnp.where(good, 0, carried.skipped + 1)
        return carried._replace(
            outer=select(good, new, carried.outer), iteration=carried.iteration + 1, skipped=skipped
        ), metrics

    def _jitted(self) -> Callable[[Carried, Phase], tuple[Carried, Metrics]]:
        @jax.jit
        def update(carried: Carried) -> tuple[Carried, Metrics]:
            metas, tasks, key_live, key_update = self._draw(carried)
            return self._learn(carried, *self._live(carried.outer, metas, tasks, key_live), key_update)

        def iterate(carried: Carried, phase: Phase) -> tuple[Carried, Metrics]:
            with phase(1, 2, 3):  # compiled as one
                return update(carried)

        return iterate

    def _hosted(self) -> Callable[[Carried, Phase], tuple[Carried, Metrics]]:
        draw, learn = jax.jit(self._draw), jax.jit(self._learn)

        def iterate(carried: Carried, phase: Phase) -> tuple[Carried, Metrics]:
            with phase(1):
                metas, tasks, key_live, key_update = draw(carried)
            with phase(2):
                lives, end = self._live(carried.outer, metas, tasks, key_live)
            with phase(3):
                return jax.block_until_ready(learn(carried, lives, end, key_update))

        return iterate
