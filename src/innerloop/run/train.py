"""The training loop: the only one. Draw tasks, live in each, learn from the lives; log, evaluate and save in between.

Not a method: it knows inners and outers by their contract alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Lifetime, Metrics, Task, World, select
from innerloop.evaluate.adaptation import Evaluator, totals, unit_returns
from innerloop.evaluate.statistics import over_tasks
from innerloop.run import checkpoint
from innerloop.run.config import Recipe
from innerloop.run.folder import RunFolder, recipe_digest
from innerloop.run.log import RunLog
from innerloop.run.tensors import strong
from innerloop.tasks.family import Family

_log = logging.getLogger(__name__)

MASKED_AT_MOST = 0.1  # of the tasks of one update; more, and the update is skipped
SKIPS = 20  # skipped updates in a row before the run rolls back to its last good checkpoint
ROLLBACKS = 3  # of them before it stops


class Diverged(RuntimeError):
    """Training kept producing values that are not finite."""


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
        self.iterate = self._jitted() if world.jittable else self._hosted()

    def first(self, seed: int) -> Carried:
        """The state before any update."""
        recipe, key = self.recipe, jax.random.key(seed)
        key_meta, key_outer, key_run = jax.random.split(key, 3)

        @jax.jit
        def make(key_meta: Array, key_outer: Array) -> Any:
            meta = recipe.inner.init(key_meta)
            return recipe.outer.init(recipe.inner, meta, self.family, self._example(meta), key_outer)

        zero = jnp.zeros((), jnp.int32)
        return strong(Carried(make(key_meta, key_outer), zero, zero, zero, jax.random.key_data(key_run)))

    def _example(self, meta: Any) -> Lifetime:
        """Shapes of a batch of lives."""
        from innerloop.worlds.example import example_life

        return example_life(self.recipe.inner, meta, self.family, self.recipe.meta_batch)

    def _keys(self, carried: Carried) -> list[Array]:
        key = jax.random.fold_in(jax.random.wrap_key_data(carried.key), carried.branch)
        return list(jax.random.split(jax.random.fold_in(key, carried.iteration), 4))

    def _draw(self, carried: Carried) -> tuple[Any, Task, Array, Array]:
        key_tasks, key_propose, key_live, key_update = self._keys(carried)
        tasks = self.family.sample(key_tasks, self.recipe.meta_batch)
        metas, tasks = self.recipe.outer.propose(carried.outer, tasks, key_propose)
        return metas, tasks, key_live, key_update

    def _learn(self, carried: Carried, lives: Lifetime, key: Array) -> tuple[Carried, Metrics]:
        new, metrics = self.recipe.outer.update(self.recipe.inner, carried.outer, lives, key)
        good = _finite(new) & (metrics["masked"] <= MASKED_AT_MOST)
        returns = jax.vmap(lambda c: unit_returns(c, self.recipe.unit, self.family.episodes))(lives.chunks)
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

    def _jitted(self) -> Callable[[Carried], tuple[Carried, Metrics]]:
        @jax.jit
        def iterate(carried: Carried) -> tuple[Carried, Metrics]:
            metas, tasks, key_live, key_update = self._draw(carried)
            lives, _ = self.world.live(self.recipe.inner, metas, tasks, key_live, learn_last=False)
            return self._learn(carried, lives, key_update)

        return iterate

    def _hosted(self) -> Callable[[Carried], tuple[Carried, Metrics]]:
        draw, learn = jax.jit(self._draw), jax.jit(self._learn)

        def iterate(carried: Carried) -> tuple[Carried, Metrics]:
            metas, tasks, key_live, key_update = draw(carried)
            lives, _ = self.world.live(self.recipe.inner, metas, tasks, key_live, learn_last=False)
            return learn(carried, lives, key_update)

        return iterate


class _Means:
    """Metrics averaged between two rows of the log, without waiting for the device."""

    def __init__(self) -> None:
        self.kept: list[Metrics] = []

    def take(self) -> dict[str, float]:
        rows, self.kept = jax.device_get(self.kept), []
        with np.errstate(all="ignore"):
            return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def train(
    recipe: Recipe, family: Family, run: RunFolder, world_of: Callable[..., World], *, seed: int, quiet: bool = False
) -> str:
    """Train to the end, from the run's newest good checkpoint if it has one.

    Args:
        run: created or resumed, and locked.
        world_of: (family, workers) → where lives are lived.

    Returns:
        the digest of what training carries.

    Raises:
        Diverged: values were not finite, again and again.
    """
    world = world_of(family, workers=recipe.workers)
    try:
        return _train(Trainer(recipe, family, world), run, seed, quiet)
    finally:
        world.close()


def _train(trainer: Trainer, run: RunFolder, seed: int, quiet: bool) -> str:
    recipe, family, world = trainer.recipe, trainer.family, trainer.world
    identity = recipe_digest(run.recipe)
    carried = trainer.first(seed)
    saver = checkpoint.Saver(run.path, keep=recipe.keep)
    at = -1
    try:
        carried, manifest = checkpoint.restore(run.path, jax.eval_shape(lambda: carried), recipe=identity)
        at = manifest["extra"]["iteration"]
    except checkpoint.NoCheckpoint as none:
        if none.damaged:
            raise
    total = recipe.updates * recipe.interactions
    done = max(at, 0)
    evaluator = Evaluator(
        recipe.inner.with_plan(recipe.evaluation), family.split("validation"), world, recipe.unit, slice=recipe.held_out
    )
    marks = {max(1, round(recipe.updates * (i + 1) / recipe.evaluations)) for i in range(recipe.evaluations)}
    means, saved, rollbacks = _Means(), time.monotonic(), 0
    title = f"{recipe.name} on {recipe.family}, seed {seed}"
    with RunLog(run.path, total, iteration=at, env_steps=done * recipe.interactions, title=title, quiet=quiet) as log:

        def save() -> None:
            log.sync()
            extra = {"iteration": done, "env_steps": done * recipe.interactions, "recipe": identity, "seed": seed}
            try:
                saver.save(done, carried, extra=extra)
            except checkpoint.NonFinite as problem:  # the guards in `_learn` make this a bug; never write it
                _log.warning("Not saved: %s.", problem)

        if at < 0:
            save()
        try:
            while done < recipe.updates:
                with log.phase(1, 2, 3):
                    carried, metrics = trainer.iterate(carried)
                done += 1
                means.kept.append(metrics)
                heldout = None
                if done in marks:
                    with log.phase(4):
                        returns, _ = evaluator(recipe.outer.meta(carried.outer), recipe.held_out, jax.random.key(seed))
                    scores = totals(returns, recipe.unit)
                    heldout = over_tasks(scores[np.isfinite(scores)]).point()
                if heldout or done % recipe.report_every == 0 or done == recipe.updates:
                    if int(carried.skipped) >= SKIPS:
                        carried, done, rollbacks = _roll_back(run, saver, carried, identity, rollbacks)
                        log.rewind(done, done * recipe.interactions)
                        means.kept.clear()
                        continue
                    log.write(done, done * recipe.interactions, means.take(), heldout)
                if done == recipe.updates or time.monotonic() - saved > recipe.save_every:
                    save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            save()
            raise
        finally:
            on_disk = saver.wait()
        if not on_disk:
            raise OSError(f"the final checkpoint could not be written to {run.path}; free some room and resume the run.")
    return checkpoint.digest(carried)


def _roll_back(run: RunFolder, saver: Any, carried: Carried, identity: str, rollbacks: int) -> tuple[Carried, int, int]:
    if rollbacks >= ROLLBACKS:
        raise Diverged(
            f"{SKIPS} updates in a row were not finite, and {ROLLBACKS} roll-backs did not help. The last good checkpoint "
            "is kept; try a lower outer.lr or inner.lr, and look at `masked` in log.jsonl."
        )
    saver.wait()
    back, manifest = checkpoint.restore(run.path, jax.eval_shape(lambda: carried), recipe=identity)
    done = manifest["extra"]["iteration"]
    _log.warning("%d updates in a row were not finite: back to update %d, with other random numbers.", SKIPS, done)
    return back._replace(branch=carried.branch + 1, skipped=jnp.zeros((), jnp.int32)), done, rollbacks + 1
