"""VariBAD's outer: PPO on the belief, and the belief by an evidence lower bound over stored trials (Zintgraf et al. 2020).

Not PPO itself (`ppo.py`). The bound of a trial of L transitions is the mean over its beliefs q_t, t = 0 … L, of

    Σ_i E_{m ~ q_t} log p(r_i | m, …) − kl_weight · KL(q_t ‖ q_{t−1}),     i over all L transitions, past and future,

with N(0, 1) before q_0. The published code sums KL over the batch where it averages the likelihood over it, so its KL weighs as
many times more as there are trials in a batch: `weighting` "published" does so too, "consistent" means what is written above.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, TaskDistribution, accept, at_least
from innerloop.outer.bonus import Bonus, BonusState
from innerloop.outer.gradients import mean_gradient
from innerloop.outer.ppo import PPO, PPOState
from innerloop.outer.replay_memory import ReplayMemory, draw, empty, store

WEIGHTINGS = ("consistent", "published")


class VariBADState(NamedTuple):
    """All that the method carries; the meta-parameters stand in `policy`."""

    policy: PPOState
    optimiser: Any  # of the belief
    memory: ReplayMemory
    bonus: BonusState | None


class VariBAD(Outer[Any, VariBADState]):
    """Each update: PPO on the lives as they were believed, then some steps of the belief on trials from the memory."""

    policy: PPO = PPO()
    bonus: Bonus = Bonus()
    lr: float = eqx.field(static=True, default=1e-3)  # of the belief; Adam
    capacity: int = eqx.field(static=True, default=4096)  # trials in the memory; published: 100,000 on GridNavi
    batch: int = eqx.field(static=True, default=64)  # trials per step of the belief; published: 25 on GridNavi, 10 on robots
    replays: int = eqx.field(static=True, default=3)  # steps of the belief per update
    kl_weight: float = eqx.field(static=True, default=0.1)  # published: 0.01 on GridNavi, 0.1 on robots, and see `weighting`
    weighting: str = eqx.field(static=True, default="consistent")
    states_weight: float = eqx.field(static=True, default=1.0)  # of the likelihood of states, where the inner foretells them
    terms: int = eqx.field(static=True, default=0)  # beliefs of a trial that a step takes; 0: all; published: 50 on robots
    decodes: int = eqx.field(static=True, default=0)  # transitions explained by each; 0: all; published: 50 on robots
    max_norm: float = eqx.field(static=True, default=1.0)  # global-norm clip, of the belief

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.weighting", self.weighting, WEIGHTINGS)
        for name in ("capacity", "batch", "replays"):
            at_least(f"outer.{name}", getattr(self, name), 1)
        if type(inner).evidence is Inner.evidence:
            raise ValueError(
                f"VariBAD trains the belief of its inner, and {type(inner).__name__} holds none (Inner.evidence); accepted: "
                "BeliefFilter."
            )
        self.policy.check(inner)
        self.policy.check(inner)
        self.bonus.check()

    def planned(self, updates: int, meta_batch: int) -> VariBAD:
        if self.capacity < meta_batch:
            raise ValueError(
                f"outer.capacity ({self.capacity}) must be at least meta_batch ({meta_batch}): one batch is stored whole."
            )
        policy, bonus = self.policy.planned(updates, meta_batch), self.bonus.planned(updates)
        return replace(self, policy=policy, bonus=bonus)

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.max_norm), optax.adam(self.lr, eps=1e-5))

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> VariBADState:
        key_policy, key_bonus = jax.random.split(key)
        policy = self.policy.init(inner, meta, tasks, example, key_policy)
        bonus = self.bonus.init(inner, meta, example, key_bonus) if self.bonus.on else None
        return VariBADState(policy, self._optimiser().init(meta), empty(example, self.capacity), bonus)

    def meta(self, state: VariBADState) -> Any:
        return state.policy.meta

    def update(self, inner: Inner[Any, Any], state: VariBADState, lives: Lifetime, key: Array) -> tuple[VariBADState, Metrics]:
        key_policy, key_belief, key_bonus = jax.random.split(key, 3)
        memory, unsound = store(state.memory, lives)
        bonus, extra, said = state.bonus, lives, {}
        if bonus is not None:
            bonus, extra, said = self.bonus.add(inner, bonus, state.policy.meta, lives, key_bonus)
        policy, metrics = self.policy.update(inner, state.policy, extra, key_policy)
        optimiser = self._optimiser()
        weight = self.kl_weight * (self.batch if self.weighting == "published" else 1)

        def lost(meta: Any, one: tuple[Lifetime, Array]) -> tuple[Array, Metrics]:
            life, key = one
            e = inner.evidence(meta, life, key, terms=self.terms, decodes=self.decodes)
            assert e is not None
            loss = weight * e.kl - e.rewards - self.states_weight * e.states
            return loss, {"reward_evidence": e.rewards, "state_evidence": e.states, "belief_kl": e.kl}

        def step(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], tuple[Metrics, Array]]:
            meta, opt = carry
            key_draw, key_lost = jax.random.split(key)
            batch = draw(memory, self.batch, key_draw), jax.random.split(key_lost, self.batch)
            gradient, aux, bad = mean_gradient(lost, meta, batch)
            change, opt = optimiser.update(gradient, opt, meta)
            return (optax.apply_updates(meta, change), opt), (aux, jnp.mean(bad))

        begin = (policy.meta, state.optimiser)
        (meta, opt), (aux, bad) = jax.lax.scan(step, begin, jax.random.split(key_belief, self.replays))
        masked = jnp.maximum(jnp.maximum(metrics["masked"], jnp.mean(unsound)), jnp.mean(bad))
        metrics = metrics | jax.tree.map(jnp.mean, aux) | said | {"masked": masked}
        return VariBADState(policy._replace(meta=meta), opt, memory, bonus), metrics
