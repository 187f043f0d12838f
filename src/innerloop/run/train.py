"""The training loop: the only one. Draw tasks, live in each, learn from the lives; log, evaluate and save in between.

Not a method, nor one update (`trainer.py`). Everything that decides the next bits (which tasks, when to roll back, and to
where) is a function of the seed and of the number of updates, never of the clock: a run that was killed ends like one that
was not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from logging.handlers import MemoryHandler
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Metrics, World
from innerloop.evaluate.adaptation import Evaluator, totals
from innerloop.evaluate.statistics import over_tasks
from innerloop.run import checkpoint
from innerloop.run.config import Recipe, as_dict
from innerloop.run.ending import Diverged, Halted, Interrupt
from innerloop.run.folder import RunFolder, recipe_digest
from innerloop.run.log import RunLog
from innerloop.run.services.follower import following
from innerloop.run.settings import ConfigError
from innerloop.run.trainer import Carried, Trainer
from innerloop.tasks.family import Family
from innerloop.worlds.histories import Histories, HistoryError
from innerloop.worlds.windows import HistoryWorld

__all__ = ["Carried", "Diverged", "Trainer", "recorded", "train"]
_log, _package = logging.getLogger(__name__), logging.getLogger("innerloop")

Watch = Callable[[int, dict[str, float]], None]
SKIPS = 20  # skipped updates in a row before the run rolls back to its last good anchor
ROLLBACKS = 3  # of them before it stops
ANCHORS = 20  # checkpoints at fixed updates; the newest is kept, and roll-backs lead to it


def _spread(updates: int, count: int) -> set[int]:
    """`count` updates, evenly spread, the last among them."""
    return {max(1, round(updates * (i + 1) / count)) for i in range(count)}


class _Means:
    """Metrics averaged between two rows of the log, without waiting for the device."""

    def __init__(self) -> None:
        self.kept: list[Metrics] = []

    def take(self) -> dict[str, float]:
        rows, self.kept = jax.device_get(self.kept), []
        with np.errstate(all="ignore"):
            return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def train(
    recipe: Recipe,
    family: Family,
    run: RunFolder,
    world_of: Callable[..., World],
    *,
    seed: int,
    meta: Any = None,
    quiet: bool = False,
    watch: Watch | None = None,
) -> str:
    """Train to the end, from the run's newest good checkpoint if it has one.

    Args:
        run: created or resumed, and locked.
        world_of: (family, workers) → where lives are lived.
        meta: what a new run begins with; None: fresh meta-parameters.
        watch: called with the number of updates and the held-out return at each evaluation; it may raise Halted.

    Returns:
        the digest of what training carries.

    Raises:
        Diverged: values were not finite, again and again. Halted: `watch` raised it. KeyboardInterrupt, SystemExit: a signal
        came. All is saved then.
    """
    world = world_of(family, workers=recipe.workers)
    try:
        source = recorded(recipe, family) or world
        return _Loop(Trainer(recipe, family, source), run, seed, world, meta, watch).run_through(quiet)
    finally:
        world.close()


def recorded(recipe: Recipe, family: Family, *, verify: bool = False) -> HistoryWorld | None:
    """The world of the recipe's histories, None where it has none; ConfigError says why they do not serve."""
    if not recipe.histories:
        if recipe.outer.offline == "only":
            raise ConfigError(
                f"{recipe.name} learns from recorded histories, and none are named: `innerloop record q-learning --tasks "
                f"{family.name} --count 1000 --out FOLDER` makes some, --set histories=FOLDER takes them."
            )
        return None
    try:
        found = Histories(recipe.histories, family.spaces, verify=verify)
        if found.family != family.name or found.split != "train":
            raise ConfigError(
                f"{recipe.histories} holds histories in the {found.split} tasks of {found.family}; what trains on "
                f"{family.name} takes the train tasks of {family.name}."
            )
        if recipe.digest and recipe.digest != found.digest:
            raise ConfigError(
                f"{recipe.histories} is not what the run began with (a part was added or recorded anew); begin another run, or "
                "put the folder back as it was."
            )
        world = HistoryWorld(found, family, recipe.thin)
        world.check(recipe.inner.plan)
    except HistoryError as error:
        raise ConfigError(str(error)) from error
    return world


class _Loop:
    """The state of the loop: what is carried, how far it is, and when it was saved."""

    def __init__(self, trainer: Trainer, run: RunFolder, seed: int, world: World, meta: Any, watch: Watch | None):
        """`world`: where the held-out lives are lived. `meta`: what a new run begins with; None: fresh."""
        self.watch = watch
        self.trainer, self.recipe, self.run, self.seed = trainer, trainer.recipe, run, seed
        self.identity = recipe_digest(run.recipe)
        self._accepted = {self.identity, *run.recipe.get("extends", [])}  # a run trained further has older checkpoints
        self.saver = checkpoint.Saver(run.path, keep=self.recipe.keep)
        self.carried, self.done, self.anchor, self.begun = trainer.first(seed, meta), 0, 0, False
        self._like = jax.eval_shape(lambda: self.carried)
        self._early = MemoryHandler(1000, flushLevel=logging.CRITICAL + 1)  # what is said before there is a log
        _package.addHandler(self._early)
        try:
            self._restore()
        except checkpoint.NoCheckpoint as none:
            if none.damaged:
                raise
        finally:
            _package.removeHandler(self._early)
        self._saved, self._saved_at, self._means = self.done if self.begun else -1, time.monotonic(), _Means()
        self._marks = _spread(self.recipe.updates, self.recipe.evaluations)
        self._anchors = _spread(self.recipe.updates, ANCHORS)
        family = trainer.family.split("validation")
        inner = self.recipe.inner.with_plan(self.recipe.evaluation)
        self._evaluator = Evaluator(inner, family, world, self.recipe.unit, slice=self.recipe.held_out)

    def run_through(self, quiet: bool) -> str:
        """To the last update, or to a signal; the digest."""
        title, total = f"{self.recipe.name} on {self.recipe.family}, seed {self.seed}", self.recipe.updates
        at = {"iteration": self.done if self.begun else -1, "env_steps": self._env_steps}
        try:
            shown = {"title": title, "quiet": quiet, "followers": following(self.run, title)}
            with RunLog(self.run.path, total * self.recipe.interactions, **at, **shown) as log:
                self._early.setTarget(log)
                self._early.close()
                with Interrupt() as interrupt:
                    if not self.begun:
                        self._save(log)
                    while self.done < total and interrupt.number is None:
                        self._update(log)
                    self._save(log)
                if not self.saver.wait():
                    raise OSError(f"the checkpoint could not be written to {self.run.path}; free some room, then resume.")
                if self.done < total:
                    interrupt.end()
        finally:
            self.saver.wait()
        return checkpoint.digest(self.carried)

    def _update(self, log: RunLog) -> None:
        """One update, and what is due after it."""
        self.carried, metrics = self.trainer.iterate(self.carried, log.phase)
        self.done += 1
        self._means.kept.append(metrics)
        mark, anchor = self.done in self._marks, self.done in self._anchors
        report = mark or self.done % self.recipe.report_every == 0 or self.done == self.recipe.updates
        if (report or anchor or self.done % SKIPS == 0) and int(self.carried.skipped) >= SKIPS:
            return self._roll_back(log)
        heldout = self._heldout(log) if report and mark else None
        if report:
            log.write(self.done, self._env_steps, self._means.take(), heldout)
        if anchor and int(self.carried.skipped) == 0:
            self.anchor = self.done
        if self.anchor == self.done or time.monotonic() - self._saved_at > self.recipe.save_every:
            self._save(log)
        if heldout is not None and self.watch is not None:
            try:
                self.watch(self.done, heldout)
            except Halted:
                self._save(log)
                raise

    @property
    def _env_steps(self) -> int:
        return self.done * self.recipe.interactions

    def _heldout(self, log: RunLog) -> dict[str, float] | None:
        """The held-out return; None where fewer than two tasks gave one."""
        with log.phase(4):
            meta = self.recipe.outer.meta(self.carried.outer)
            returns, _ = self._evaluator(meta, self.recipe.held_out, jax.random.key(self.seed))
        whole = returns[np.all(np.isfinite(returns), axis=1)]
        if len(whole) < 2:
            _log.warning("Only %d of %d held-out tasks gave a finite return; no mean is shown.", len(whole), len(returns))
            return None
        return over_tasks(totals(whole, self.recipe.unit)).point()

    def _save(self, log: RunLog) -> None:
        if self._saved == self.done:
            return
        log.sync()
        extra = {"iteration": self.done, "env_steps": self._env_steps, "recipe": self.identity, "seed": self.seed}
        try:
            self.saver.save(self.done, self.carried, extra=extra | {"anchor": self.anchor}, pinned=self.anchor)
        except checkpoint.NonFinite as problem:  # the guards in `trainer.py` make this a bug; never write it
            _log.warning("Not saved: %s.", problem)
        self._saved, self._saved_at = self.done, time.monotonic()

    def _restore(self, step: int | None = None) -> None:
        self.carried, manifest = checkpoint.restore(self.run.path, self._like, step=step, recipe=self._accepted)
        self.done, self.anchor, self.begun = manifest["extra"]["iteration"], manifest["extra"].get("anchor", 0), True

    def _roll_back(self, log: RunLog) -> None:
        """To the newest anchor, with other random numbers; Diverged if that was done ROLLBACKS times."""
        if int(self.carried.branch) >= ROLLBACKS:
            log.write(self.done, self._env_steps, self._means.take())
            raise Diverged(self._farewell())
        branch, lost = self.carried.branch, self.done
        self.saver.wait()
        try:
            self._restore(self.anchor)
        except checkpoint.NoCheckpoint:  # damaged, as has been reported
            self._restore()
        self.carried = self.carried._replace(branch=branch + 1, skipped=jnp.zeros_like(self.carried.skipped))
        self._saved = -1
        _log.warning(
            "%d updates in a row up to update %d were not finite: back to update %d, with other random numbers.",
            SKIPS, lost, self.done,
        )  # fmt: skip
        log.rewind(self.done, self._env_steps)
        self._means.kept.clear()

    def _farewell(self) -> str:
        inner, outer = as_dict(self.recipe.inner), as_dict(self.recipe.outer)
        step = f"; or the inner step diverges (lower inner.lr, now {inner['lr']:g})" if "lr" in inner else ""
        sizes = [f"{name}, now {outer[name]:g}" for name in ("lr", "max_kl") if name in outer]
        return (
            f"{SKIPS} updates in a row were not finite, and {ROLLBACKS} roll-backs did not help. The last checkpoints are "
            f"kept, and all in them is finite. Look at `masked` in {self.run.log}: near 1, the rewards or observations of "
            f"every task are not finite (look at the environment){step}; near 0, the outer update itself overflows (lower "
            f"outer.{' or outer.'.join(sizes) or 'step sizes'})."
        )
