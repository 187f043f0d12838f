"""HyperX's exploration bonuses: what is new in an observation under a belief, and what the belief did not foretell.

Not part of any return that is reported: they are added to what PPO learns from in training, and fall to nothing over the run
(Zintgraf et al. 2021, arXiv 2010.01062, eq. 6 and 7).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Belief, Inner, Lifetime, Metrics, at_least, replay
from innerloop.core.spaces import encode
from innerloop.equations.returns import masked_mean
from innerloop.nets.layers import Dense, Perceptron


class Net(NamedTuple):
    """From an observation and a belief to a code."""

    body: Perceptron
    out: Dense


class BonusState(NamedTuple):
    """A fixed random net, the one that learns to foretell it (Burda et al. 2018), and the scales of both bonuses."""

    target: Any  # Net
    learner: Any  # Net
    optimiser: Any
    scale: Array  # [2], running root of the mean square
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class Bonus(eqx.Module):
    """Both bonuses are divided by a running scale, so that weights are in units of typical bonuses."""

    novelty: float = eqx.field(static=True, default=0.0)  # weight at first
    surprise: float = eqx.field(static=True, default=0.0)  # weight at first
    until: float = eqx.field(static=True, default=0.5)  # share of the run after which both are 0
    lr: float = eqx.field(static=True, default=1e-3)  # of the learner; Adam
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,))
    code: int = eqx.field(static=True, default=32)
    updates: int = eqx.field(static=True, default=1)  # to come in the run; set by `planned`

    @property
    def on(self) -> bool:
        """Whether there is a bonus at all."""
        return self.novelty > 0 or self.surprise > 0

    def check(self) -> None:
        """ValueError where a setting is not accepted."""
        at_least("outer.bonus.novelty", self.novelty, 0)
        at_least("outer.bonus.surprise", self.surprise, 0)
        if not 0 < self.until <= 1:
            raise ValueError(f"outer.bonus.until is {self.until}; accepted: a share of the run, above 0 and up to 1.")

    def planned(self, updates: int) -> Bonus:
        """Knowing how many updates are to come."""
        return replace(self, updates=updates) if self.on else self

    def _net(self, key: Array, inputs: int) -> Net:
        key_body, key_out = jax.random.split(key)
        return Net(Perceptron.init(key_body, inputs, self.hidden), Dense.init(key_out, (inputs, *self.hidden)[-1], self.code))

    def init(self, inner: Inner[Any, Any], meta: Any, example: Lifetime, key: Array) -> BonusState:
        """Before the first update."""
        read = jax.eval_shape(lambda meta, lives: self._read(inner, meta, lives), meta, example)
        key_target, key_learner = jax.random.split(key)
        learner: Any = self._net(key_learner, read.shape[-1])
        optimiser = optax.adam(self.lr).init(learner)
        return BonusState(self._net(key_target, read.shape[-1]), learner, optimiser, jnp.zeros(2), jnp.zeros((), jnp.int32))

    def _read(self, inner: Inner[Any, Any], meta: Any, lives: Lifetime) -> Array:
        """The hyper-state that each transition of lives [B, ...] led to: what was seen and the belief then; [B, L, N, I]."""

        def one(life: Lifetime) -> Array:
            decision, _, fast = replay(inner, meta, life)
            last = inner.decide(meta, inner.observe(meta, fast, life.last), life.last.obs).extras
            beliefs = jax.tree.map(lambda x, y: jnp.concatenate([_rows(x), y[None]])[1:], decision.extras, last)
            arrived = jax.tree.map(lambda x, y: jnp.concatenate([_rows(x), y[None]])[1:], life.chunks.step, life.last).arrived
            assert isinstance(beliefs, Belief)
            return jnp.concatenate([encode(inner.spaces.obs, arrived), beliefs.mean, beliefs.log_var], -1)

        return jax.lax.stop_gradient(jax.vmap(one)(lives))

    def _surprise(self, inner: Inner[Any, Any], meta: Any, life: Lifetime, key: Array) -> Array:
        evidence = inner.evidence(meta, life, key, terms=1, decodes=1)
        assert evidence is not None
        return jax.lax.stop_gradient(evidence.surprise)

    def add(
        self, inner: Inner[Any, Any], state: BonusState, meta: Any, lives: Lifetime, key: Array
    ) -> tuple[BonusState, Lifetime, Metrics]:
        """Lives [B, ...] with the bonuses in what was earned (not in what the agent was shown), and the learner a step on."""
        read = self._read(inner, meta, lives)
        mask = lives.chunks.mask.reshape(read.shape[:-1])

        def apart(learner: Net) -> Array:
            codes = [net.out(net.body(read, "relu")) for net in (state.target, learner)]
            return jnp.sum((codes[0] - codes[1]) ** 2, -1)

        novelty = apart(state.learner)
        gradient: Any = jax.grad(lambda learner: masked_mean(apart(learner), mask))(state.learner)
        change, opt = optax.adam(self.lr).update(gradient, state.optimiser)
        surprise = jnp.zeros_like(novelty)
        if self.surprise > 0:
            keys = jax.random.split(key, read.shape[0])
            surprise = jax.vmap(lambda life, key: self._surprise(inner, meta, life, key))(lives, keys)
        both = jnp.stack([novelty, surprise])
        size = jnp.sqrt(jax.vmap(lambda x: masked_mean(x**2, mask))(both) + 1e-12)
        scale = jnp.where(state.count == 0, size, 0.95 * state.scale + 0.05 * size)
        left = jnp.clip(1.0 - state.count / (self.until * self.updates), 0.0, 1.0)
        weights = left * jnp.array([self.novelty, self.surprise])
        bonus = jnp.einsum("w,wbln->bln", weights / jnp.maximum(scale, 1e-6), both).reshape(lives.chunks.reward.shape)
        reward = lives.chunks.reward + jnp.where(lives.chunks.mask, bonus, 0.0)
        lives = lives._replace(chunks=lives.chunks._replace(reward=reward))
        learner = optax.apply_updates(state.learner, change)
        said = {"bonus": masked_mean(bonus, lives.chunks.mask), "bonus_weight": left}
        return BonusState(state.target, learner, opt, scale, state.count + 1), lives, said


def _rows(x: Array) -> Array:
    """[K, T, ...] → [L, ...]"""
    return x.reshape(-1, *x.shape[2:])
