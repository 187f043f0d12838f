"""Supervised in-context learning: the memory learns to say, from a history in a task, what is to be done there.

Not reinforcement learning: nothing is credited to actions, and exploring is learned only as far as the labels show it.

* target "optimal": the action of the best policy that knows the task, at every step of the history (DPT, the
  decision-pretrained transformer, Lee et al. 2023, arXiv 2306.14892, algorithm 1: −Σ_t log π(a* | s_t, D_t)). What is learned
  is the posterior over optimal actions, so that acting by samples of it is posterior sampling. Where several actions are
  optimal the label is shared among them.
* target "recorded": the action that was taken (Algorithm Distillation, Laskin et al. 2022, arXiv 2210.14215, algorithm 1), over
  the histories of an agent that learns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Discrete, Inner, Lifetime, Metrics, Outer, TaskDistribution, accept, at_least, replay
from innerloop.core.spaces import zeros
from innerloop.equations.returns import masked_mean
from innerloop.outer.behaviour import BEHAVIOURS, behaviour, relived
from innerloop.outer.gradients import finite, mean_gradient

TARGETS = ("optimal", "recorded")


class ImitationState(NamedTuple):
    """All that imitation carries."""

    meta: Any
    optimiser: Any
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class Imitation(Outer[Any, ImitationState]):
    """Mean masked cross-entropy of the decisions against the target; minibatches are of whole tasks."""

    tasks: Any = eqx.field(static=True)  # the family, whose `optimal` labels what was lived
    target: str = eqx.field(static=True, default="optimal")  # one of TARGETS
    behaviour: str = eqx.field(static=True, default="learner")  # who lives in training: one of BEHAVIOURS
    lr: float = eqx.field(static=True, default=1e-3)  # AdamW; DPT: 1e-3 to 1e-4
    weight_decay: float = eqx.field(static=True, default=1e-4)  # of matrices; DPT: 1e-4
    warmup: float = eqx.field(static=True, default=0.05)  # share of the run in which lr rises
    anneal: bool = eqx.field(static=True, default=True)  # lr falls as a cosine to 0 at the run's end
    epochs: int = eqx.field(static=True, default=1)
    minibatches: int = eqx.field(static=True, default=4)
    max_norm: float = eqx.field(static=True, default=1.0)  # global-norm clip
    updates: int = eqx.field(static=True, default=1)  # to come in the run; set by `planned`

    @property
    def offline(self) -> str:
        return "only" if self.target == "recorded" else "possible"

    def actor(self, inner: Inner[Any, Any]) -> Inner[Any, Any]:
        return behaviour(self.behaviour, inner)

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.target", self.target, TARGETS)
        accept("outer.behaviour", self.behaviour, BEHAVIOURS)
        at_least("outer.epochs", self.epochs, 1)
        at_least("outer.warmup", self.warmup, 0.0)
        discrete = isinstance(inner.spaces.action, Discrete)
        if self.behaviour == "habitual" and not discrete:
            raise ValueError("outer.behaviour 'habitual' is for discrete actions; accepted here: uniform, mixed, learner.")
        if self.target == "optimal" and not (discrete and self._labelled()):
            raise ValueError(
                f"outer.target is 'optimal', and {self.tasks.name} does not say what is optimal (`Family.optimal` is for "
                "discrete actions and families with a closed form); accepted here: recorded, with histories of an agent that "
                "learns."
            )

    def planned(self, updates: int, meta_batch: int) -> Imitation:
        if meta_batch % self.minibatches:
            raise ValueError(
                f"meta_batch ({meta_batch}) must be a multiple of outer.minibatches ({self.minibatches}): minibatches are of "
                "whole tasks."
            )
        return replace(self, updates=updates) if self.anneal or self.warmup else self

    def _labelled(self) -> bool:
        def asked(key: Array) -> Any:
            task = jax.tree.map(lambda x: x[0], self.tasks.sample(key, 1))
            return self.tasks.optimal(task, zeros(self.tasks.spaces.obs), jnp.zeros((), jnp.int32), jnp.zeros(()))

        return self.tasks.on_device and jax.eval_shape(asked, jax.random.key(0)) is not None

    def _rate(self, count: Any) -> Any:
        total = self.updates * self.epochs * self.minibatches
        rise = jnp.minimum((count + 1) / max(self.warmup * total, 1.0), 1.0)
        fall = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(count / total, 1.0))) if self.anneal else 1.0
        return self.lr * rise * fall

    def _optimiser(self) -> optax.GradientTransformation:
        matrices = lambda tree: jax.tree.map(lambda x: jnp.ndim(x) > 1, tree)  # noqa: E731  # neither biases nor statistics
        adam = optax.adamw(self._rate, weight_decay=self.weight_decay, mask=matrices)
        return optax.chain(optax.clip_by_global_norm(self.max_norm), adam)

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> ImitationState:
        return ImitationState(meta, self._optimiser().init(meta), jnp.zeros((), jnp.int32))

    def meta(self, state: ImitationState) -> Any:
        return state.meta

    def labels(self, life: Lifetime) -> Array:
        """Probabilities [K, T, N, A] of the optimal actions at every step of one life that begins with an episode."""
        rows = life.chunks
        shape = rows.mask.shape
        first, reward = (x.reshape(-1, shape[-1]) for x in (rows.step.first, jnp.where(rows.mask, rows.reward, 0.0)))
        row = jnp.broadcast_to(jnp.arange(first.shape[0])[:, None], first.shape)
        began = jax.lax.cummax(jnp.where(first, row, 0))
        before = jnp.cumsum(reward, axis=0) - reward
        earned = before - jnp.take_along_axis(before, began, axis=0)
        return self.tasks.optimal(life.task, rows.step.obs, (row - began).reshape(shape), earned.reshape(shape))

    def loss(self, inner: Inner[Any, Any], meta: Any, life: Lifetime) -> tuple[Array, Metrics]:
        """Of one life, with what is reported of it."""
        rows = life.chunks
        dist: Any = replay(inner, meta, relived(inner, meta, life))[0].dist
        if self.target == "optimal":
            labels = self.labels(life)
            entropy = -jnp.sum(labels * jax.nn.log_softmax(dist.logits), axis=-1)
            hit = jnp.take_along_axis(labels, dist.mode()[..., None], axis=-1)[..., 0] > 0
        else:
            entropy = -dist.log_prob(rows.action)
            hit = jnp.all(jnp.reshape(dist.mode() == rows.action, (*rows.mask.shape, -1)), axis=-1)
        # A reward that is not finite stands in no label, perhaps, but what was lived there is not to be learned from.
        sound = jnp.where(finite(jnp.where(rows.mask, rows.reward, 0.0)), 1.0, jnp.nan)
        loss = masked_mean(entropy, rows.mask) * sound
        metrics = {"loss": loss, "entropy": masked_mean(dist.entropy(), rows.mask)}
        if isinstance(inner.spaces.action, Discrete):
            metrics["accuracy"] = masked_mean(hit.astype(jnp.float32), rows.mask)
        return loss, metrics

    def update(
        self, inner: Inner[Any, Any], state: ImitationState, lives: Lifetime, key: Array
    ) -> tuple[ImitationState, Metrics]:
        optimiser = self._optimiser()

        def minibatch(carry: tuple[Any, Any], rows: Array) -> tuple[tuple[Any, Any], tuple[Metrics, Array]]:
            meta, opt = carry
            batch = jax.tree.map(lambda x: x[rows], lives)
            gradient, aux, bad = mean_gradient(lambda meta, life: self.loss(inner, meta, life), meta, batch)
            change, opt = optimiser.update(gradient, opt, meta)
            return (optax.apply_updates(meta, change), opt), (aux | {"gradient": optax.tree.norm(gradient)}, jnp.mean(bad))

        tasks = lives.chunks.mask.shape[0]
        size = tasks // self.minibatches
        orders = jax.vmap(lambda k: jax.random.permutation(k, tasks))(jax.random.split(key, self.epochs))
        rows = orders[:, : size * self.minibatches].reshape(-1, size)
        (meta, opt), (aux, masked) = jax.lax.scan(minibatch, (state.meta, state.optimiser), rows)
        metrics = jax.tree.map(jnp.mean, aux) | {"masked": jnp.mean(masked)}
        return ImitationState(inner.absorb(meta, lives), opt, state.count + 1), metrics
