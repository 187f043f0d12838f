"""PPO over whole trials (Schulman et al. 2017, as RL² uses it), or DPO in its place (Lu et al. 2022, arXiv 2210.05639): the
policy gradient runs back through the memory.

Not for lives whose episodes are separate problems: advantages run across episode ends and stop at the trial's end only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, TaskDistribution, accept, replay, select
from innerloop.equations.clipping import clipped_surrogate, discovered_surrogate
from innerloop.equations.returns import discounted_returns, gae, masked_mean, standardise
from innerloop.outer.gradients import mean_gradient

SURROGATES = ("ppo", "dpo")


class ReturnScale(NamedTuple):
    """Running statistics of returns. The critic works in standardised returns: unscaled ones, under a global-norm clip on
    a shared trunk, starve the policy's gradient."""

    mean: Array  # [L], per step of the trial
    std: Array  # scalar, around those means
    weight: Array  # scalar; 0 before the first batch


class PPOState(NamedTuple):
    """All that PPO carries."""

    meta: Any
    optimiser: Any
    scale: ReturnScale
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class PPO(Outer[Any, PPOState]):
    """Proximal policy optimisation; minibatches are of whole tasks, never of time."""

    lr: float = eqx.field(static=True, default=1e-3)  # Adam
    anneal: bool = eqx.field(static=True, default=True)  # lr falls linearly to 0 over the run
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)
    clip: float = eqx.field(static=True, default=0.2)
    surrogate: str = eqx.field(static=True, default="ppo")  # or "dpo", discovered policy optimisation, which has no clip
    discount: float = eqx.field(static=True, default=0.99)  # RL²: 0.99; acts across the episodes of a trial
    gae_lambda: float = eqx.field(static=True, default=0.3)  # RL²: 0.3
    value_weight: float = eqx.field(static=True, default=0.5)
    entropy_weight: float = eqx.field(static=True, default=0.0)
    anneal_entropy: bool = eqx.field(static=True, default=False)  # its weight falls linearly to 0 over the run
    max_norm: float = eqx.field(static=True, default=0.5)  # global-norm clip
    scale_memory: float = eqx.field(static=True, default=0.95)  # of the running return statistics, per update
    bootstrap: bool = eqx.field(static=True, default=False)  # lives are segments of longer ones: value what follows
    updates: int = eqx.field(static=True, default=1)  # to come in the run; set by `planned`

    def planned(self, updates: int, meta_batch: int) -> PPO:
        if meta_batch % self.minibatches:
            raise ValueError(
                f"meta_batch ({meta_batch}) must be a multiple of outer.minibatches ({self.minibatches}): minibatches are of "
                "whole tasks."
            )
        return replace(self, updates=updates) if self.anneal or self.anneal_entropy else self

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.surrogate", self.surrogate, SURROGATES)

    def _surrogate(self, log_ratio: Array, advantage: Array) -> Array:
        if self.surrogate == "dpo":
            return discovered_surrogate(log_ratio, advantage)
        return clipped_surrogate(log_ratio, advantage, self.clip)

    def _optimiser(self) -> optax.GradientTransformation:
        rate = self.lr
        if self.anneal:
            rate = optax.linear_schedule(self.lr, 0.0, self.updates * self.epochs * self.minibatches)
        return optax.chain(optax.clip_by_global_norm(self.max_norm), optax.adam(rate, eps=1e-5))

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> PPOState:
        _, chunks, steps = example.chunks.reward.shape[:3]
        scale = ReturnScale(jnp.zeros(chunks * steps), jnp.ones(()), jnp.zeros(()))
        return PPOState(meta, self._optimiser().init(meta), scale, jnp.zeros((), jnp.int32))

    def meta(self, state: PPOState) -> Any:
        return state.meta

    def advantages(self, inner: Inner[Any, Any], state: PPOState, lives: Lifetime) -> tuple[Array, Array, Array]:
        """Advantages, returns and mask, each [B, L, N] with L = K·T. Nothing is credited across a trial's end, and nothing of
        value follows it; a trial that the life's end cuts short is bootstrapped where trials may (`plan.episodes`). Before
        rows that are no transitions the mean return stands for what follows; nothing that such rows hold reaches others."""
        c, scale = lives.chunks, state.scale
        reward, value, mask = (_flat(x) for x in (c.reward, c.value, c.mask))
        reward, value = jnp.where(mask, reward, 0.0), jnp.where(mask, value, 0.0)
        ahead = jnp.zeros((reward.shape[0], 1, reward.shape[2]))
        v = value * scale.std + scale.mean[None, :, None]
        if self.bootstrap or inner.plan.episodes:
            ahead = jax.vmap(lambda life: replay(inner, state.meta, life)[1])(lives)[:, None] * scale.std + scale.mean[-1]
        v_next = jnp.concatenate([v[:, 1:], ahead], 1)
        gap = ~mask | jnp.concatenate([~mask[:, 1:], jnp.zeros_like(mask[:, :1])], 1)  # no transition here or behind
        ends = jnp.concatenate([_flat(c.step.born)[:, 1:], lives.last.born[:, None]], 1)  # of trials
        over = jax.vmap(jax.vmap(gae, (1, 1, 1, 1, 1, None, None), 1), (0, 0, 0, 0, 0, None, None))
        advantage = over(reward, v, v_next, gap | ends, ~mask | ends, self.discount, self.gae_lambda)
        return advantage, advantage + v, mask

    def _first(self, scale: ReturnScale, lives: Lifetime, several: bool) -> ReturnScale:
        """`scale`, or before the first update that of the discounted rewards of these lives: a critic that has learned already
        (`start`) is read by a scale near its own, and one that has not says the mean."""
        reward, mask = _flat(lives.chunks.reward), _flat(lives.chunks.mask)
        ends = jnp.concatenate([_flat(lives.chunks.step.born)[:, 1:], lives.last.born[:, None]], 1)
        sound = mask & jnp.all(jnp.isfinite(jnp.where(mask, reward, 0.0)), (1, 2), keepdims=True)
        earned = jax.vmap(jax.vmap(discounted_returns, (1, 1, None), 1), (0, 0, None))
        returns = earned(jnp.where(sound, reward, 0.0), ends, self.discount)
        return select(scale.weight > 0, scale, self._rescale(scale, returns, sound, several)._replace(weight=scale.weight))

    def _rescale(self, scale: ReturnScale, returns: Array, mask: Array, several: bool) -> ReturnScale:
        keep = jnp.where(scale.weight > 0, self.scale_memory, 0.0)
        count = jnp.maximum(jnp.sum(mask, (0, 2)), 1)
        mean = jnp.sum(jnp.where(mask, returns, 0.0), (0, 2)) / count
        if several:  # trials in a life: a row says nothing of the time within one
            mean = jnp.full_like(mean, masked_mean(returns, mask))
        mean = keep * scale.mean + (1 - keep) * mean
        variance = masked_mean((returns - mean[None, :, None]) ** 2, mask)
        std = keep * scale.std + (1 - keep) * jnp.sqrt(variance + 1e-8)
        return ReturnScale(mean, std, jnp.ones(()))

    def update(self, inner: Inner[Any, Any], state: PPOState, lives: Lifetime, key: Array) -> tuple[PPOState, Metrics]:
        several = inner.plan.episodes > 0
        state = state._replace(scale=self._first(state.scale, lives, several))
        advantage, returns, mask = self.advantages(inner, state, lives)
        sound = jnp.all(jnp.isfinite(advantage) & jnp.isfinite(returns), (1, 2), keepdims=True)
        scale = self._rescale(state.scale, returns, mask & sound, several)
        target = (returns - scale.mean[None, :, None]) / scale.std
        # A task with a reward that is not finite must not reach the others' scale. Its own target stays as it is: so its
        # gradient is not finite, and `mean_gradient` leaves the task out and counts it.
        advantage = standardise(advantage, mask & sound)
        optimiser = self._optimiser()
        left = jnp.clip(1.0 - state.count / self.updates, 0.0, 1.0) if self.anneal_entropy else 1.0

        def loss(meta: Any, one: tuple[Lifetime, Array, Array]) -> tuple[Array, Metrics]:
            life, a, g = one
            decision, _, _ = replay(inner, meta, life)
            m = life.chunks.mask
            a, g = a.reshape(m.shape), g.reshape(m.shape)
            log_ratio = decision.dist.log_prob(life.chunks.action) - life.chunks.log_prob
            policy = masked_mean(self._surrogate(log_ratio, a), m)
            value = 0.5 * masked_mean((decision.value - g) ** 2, m)
            entropy = masked_mean(decision.dist.entropy(), m)
            kl = masked_mean(jnp.expm1(log_ratio) - log_ratio, m)
            aux = {"policy_loss": policy, "value_loss": value, "entropy": entropy, "kl": kl}
            return policy + self.value_weight * value - self.entropy_weight * left * entropy, aux

        def minibatch(carry: tuple[Any, Any], rows: Array) -> tuple[tuple[Any, Any], tuple[Metrics, Array]]:
            meta, opt = carry
            batch = jax.tree.map(lambda x: x[rows], (lives, advantage, target))
            gradient, aux, bad = mean_gradient(loss, meta, batch)
            change, opt = optimiser.update(gradient, opt, meta)
            return (optax.apply_updates(meta, change), opt), (aux | {"gradient": optax.tree.norm(gradient)}, jnp.mean(bad))

        tasks = mask.shape[0]
        size = tasks // self.minibatches
        orders = jax.vmap(lambda k: jax.random.permutation(k, tasks))(jax.random.split(key, self.epochs))
        rows = orders[:, : size * self.minibatches].reshape(-1, size)
        (meta, opt), (aux, masked) = jax.lax.scan(minibatch, (state.meta, state.optimiser), rows)
        metrics = jax.tree.map(jnp.mean, aux) | {"masked": jnp.mean(masked), "return_std": scale.std}
        return PPOState(inner.absorb(meta, lives), opt, scale, state.count + 1), metrics


def _flat(x: Array) -> Array:
    """[B, K, T, N] → [B, K·T, N]"""
    return x.reshape(x.shape[0], -1, *x.shape[3:])
