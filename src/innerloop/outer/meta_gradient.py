"""Meta-gradients of learning agents: back through K calls of `learn`, over agents that live on from update to update.

Each agent has a task of its own and a lifetime; in an update all of them live a segment of K chunks, and

    ∇_η  −E[ log π_θ'(a | s) Â ]      θ' the agent after 1 … K − 1 steps within the segment, Â by a critic of its own

is followed through the steps that made θ' (LPG, Oh et al. 2020, arXiv 2007.08794, §3.2, with its regularisers; for settings of
an actor-critic: Xu et al. 2018, arXiv 1805.09801). Or the agent is to become what it would be some steps later (`objective`:
bootstrapped meta-gradients, Flennerhag et al. 2022, arXiv 2109.04504). Not evolution, which needs no such derivative.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import (
    Cursor,
    Inner,
    Lifetime,
    Metrics,
    Outer,
    Task,
    accept,
    at_least,
    live,
    replay,
    select,
    stages,
)
from innerloop.core.life import life_keys
from innerloop.core.spaces import encode, width
from innerloop.equations.returns import gae, masked_mean
from innerloop.nets.layers import Dense, Perceptron
from innerloop.outer.gradients import finite, mean_gradient

OBJECTIVES = ("return", "bootstrap")


class Critic(NamedTuple):
    """An agent's own, for the outer loop's advantages alone."""

    body: Perceptron
    value: Dense


class MetaGradientState(NamedTuple):
    """All that the method carries; leaves [B, ...] of what each agent has."""

    meta: Any
    optimiser: Any
    reference: Any  # the meta-parameters that the run began with
    cursor: Cursor
    task: Task
    fresh: Array  # bool: begins anew, in a new task
    age: Array  # int32, chunks lived
    span: Array  # int32, chunks to live
    critic: Critic
    critic_optimiser: Any


class MetaGradient(Outer[Any, MetaGradientState]):
    """One Adam step per segment. `lifetime` is in chunks, that is, in updates of the agent."""

    lr: float = eqx.field(static=True, default=1e-3)
    max_norm: float = eqx.field(static=True, default=0.5)  # global-norm clip
    lifetime: int = eqx.field(static=True, default=100)  # each agent's is drawn from its half to the whole; 0: no end
    objective: str = eqx.field(static=True, default="return")
    bootstrap: int = eqx.field(static=True, default=1)  # steps ahead of the agent that "bootstrap" matches; of the last, one
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=0.95)
    normalise: bool = eqx.field(static=True, default=True)  # advantages, by each agent's standard deviation
    entropy_weight: float = eqx.field(static=True, default=0.05)  # of the agents' policies; LPG's β₀
    critic_lr: float = eqx.field(static=True, default=0.05)
    critic_steps: int = eqx.field(static=True, default=5)  # per segment
    critic_hidden: tuple[int, ...] = eqx.field(static=True, default=())

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.objective", self.objective, OBJECTIVES)
        at_least("outer.lifetime", self.lifetime, 0)
        at_least("outer.bootstrap", self.bootstrap, 1)
        at_least("outer.critic_steps", self.critic_steps, 0)
        needed = 2 if self.objective == "return" else self.bootstrap + 2
        if inner.plan.chunks < needed:
            raise ValueError(
                f"inner.plan.chunks is {inner.plan.chunks}: a gradient through the agent's steps, by outer.objective "
                f"{self.objective!r}, takes at least {needed}."
            )

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.max_norm), optax.adam(self.lr))

    def _critic(self, inner: Inner[Any, Any], key: Array) -> Critic:
        key_body, key_value = jax.random.split(key)
        inputs = width(inner.spaces.obs)
        size = (inputs, *self.critic_hidden)[-1]
        return Critic(Perceptron.init(key_body, inputs, self.critic_hidden), Dense.init(key_value, size, 1, scale=0.1))

    def _critics(self, inner: Inner[Any, Any], key: Array, count: int) -> tuple[Critic, Any]:
        critics: Any = jax.vmap(lambda k: self._critic(inner, k))(jax.random.split(key, count))
        return critics, jax.vmap(optax.adam(self.critic_lr).init)(critics)

    def _spans(self, key: Array, count: int, least: int) -> Array:
        return jax.random.randint(key, (count,), least, self.lifetime + 1) if self.lifetime else jnp.full(count, 1, jnp.int32)

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: Any, example: Lifetime, key: Array) -> MetaGradientState:
        if not tasks.on_device:
            raise ValueError(
                f"agents that live on from update to update need a family on the device; {tasks.name!r} is stepped on the host."
            )
        count = example.fresh.shape[0]
        key_task, key_critic, key_span = jax.random.split(key, 3)
        task = tasks.sample(key_task, count)
        each = (task, jax.random.split(key, count))
        shape = jax.eval_shape(lambda m: jax.vmap(lambda t, k: live(inner, tasks, tasks.spaces, m, t, k)[1])(*each), meta)
        cursor = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)
        critic, critic_optimiser = self._critics(inner, key_critic, count)
        begin, span = jnp.zeros(count, jnp.int32), self._spans(key_span, count, 1)  # the first are cut, so that ages differ
        fresh = jnp.ones(count, bool)
        return MetaGradientState(
            meta, self._optimiser().init(meta), meta, cursor, task, fresh, begin, span, critic, critic_optimiser
        )

    def meta(self, state: MetaGradientState) -> Any:
        return state.meta

    def propose(self, state: MetaGradientState, tasks: Task, key: Array) -> tuple[Any, Task]:
        return state.meta, select(state.fresh, tasks, state.task)

    def goes_on(self, state: MetaGradientState) -> tuple[Cursor, Array]:
        return state.cursor, state.fresh

    def lived(self, state: MetaGradientState, end: Cursor) -> MetaGradientState:
        lost = ~jax.vmap(finite)(end.fast)
        return state._replace(cursor=end, fresh=state.fresh | lost)

    def advantages(self, inner: Inner[Any, Any], critic: Critic, life: Lifetime) -> tuple[Array, Array]:
        """Of one life: advantages and returns [K, T, N] by its critic."""
        rows = life.chunks
        see = lambda obs: _value(critic, encode(inner.spaces.obs, obs))  # noqa: E731
        flat = lambda x: x.reshape(-1, x.shape[-1])  # noqa: E731
        value, ahead, reward = (
            flat(jnp.where(rows.mask, x, 0.0)) for x in (see(rows.step.obs), see(rows.next_obs), rows.reward)
        )
        cut, terminated = flat(rows.terminated | rows.truncated | ~rows.mask), flat(rows.terminated)
        over = jax.vmap(gae, (1, 1, 1, 1, 1, None, None), 1)
        advantage = over(reward, value, ahead, cut, terminated, self.discount, self.gae_lambda)
        target = (advantage + value).reshape(rows.mask.shape)
        advantage = advantage.reshape(rows.mask.shape)
        if self.normalise:
            advantage = advantage / (jnp.sqrt(masked_mean(advantage**2, rows.mask)) + 1e-6)
        return advantage, target

    def _taught(self, inner: Inner[Any, Any], critic: Critic, optimiser: Any, life: Lifetime, target: Array) -> tuple[Any, Any]:
        x, mask = encode(inner.spaces.obs, life.chunks.step.obs), life.chunks.mask

        def step(carry: Any, _: None) -> tuple[Any, None]:
            critic, optimiser = carry
            gradient = jax.grad(lambda c: masked_mean((_value(c, x) - target) ** 2, mask))(critic)
            change, optimiser = optax.adam(self.critic_lr).update(gradient, optimiser)
            return (optax.apply_updates(critic, change), optimiser), None

        return jax.lax.scan(step, (critic, optimiser), None, self.critic_steps)[0]

    def loss(
        self, inner: Inner[Any, Any], reference: Any, meta: Any, life: Lifetime, advantage: Array
    ) -> tuple[Array, Metrics]:
        """Of one segment."""
        rows = life.chunks
        later = jax.tree.map(lambda x: x[1:], rows)
        decision, _, fast = replay(inner, meta, life)
        entropy = masked_mean(decision.dist.entropy()[1:], later.mask)
        log_ratio = decision.dist.log_prob(rows.action)[1:] - later.log_prob
        surrogate = -masked_mean(jnp.exp(jnp.where(later.mask, log_ratio, 0.0)) * advantage[1:], later.mask)
        if self.objective == "bootstrap":
            objective = self._matched(inner, reference, meta, life)
        else:
            objective = surrogate - self.entropy_weight * entropy
        cost, before = inner.cost(fast), inner.cost(life.start)
        if cost is not None and before is not None:  # of these steps alone
            objective += (cost - jnp.where(life.fresh, 0.0, before)) / (inner.plan.chunks - 1)
        return objective, {"objective": objective, "surrogate": surrogate, "entropy": entropy}

    def _matched(self, inner: Inner[Any, Any], reference: Any, meta: Any, life: Lifetime) -> Array:
        """KL of the agent L steps later, the last of them by the meta-parameters of the beginning, to the agent."""
        before = inner.plan.chunks - 1 - self.bootstrap
        entering = stages(inner, meta, life)
        at = lambda tree, k: jax.tree.map(lambda x: x[k], tree)  # noqa: E731
        key = life_keys(life.key, inner.plan)[1][-2]
        goal = jax.lax.stop_gradient(inner.learn(reference, at(entering, -2), at(life.chunks, -2), key))
        rows = at(life.chunks, before)
        wanted, got = (inner.decide(meta, fast, rows.step.obs).dist for fast in (goal, at(entering, before)))
        return masked_mean(jax.lax.stop_gradient(wanted).kl(got), rows.mask)

    def update(
        self, inner: Inner[Any, Any], state: MetaGradientState, lives: Lifetime, key: Array
    ) -> tuple[MetaGradientState, Metrics]:
        count = lives.fresh.shape[0]
        key_span, key_critic = jax.random.split(key)
        advantage, target = jax.vmap(lambda critic, life: self.advantages(inner, critic, life))(state.critic, lives)
        critic, critic_optimiser = jax.vmap(lambda c, o, life, t: self._taught(inner, c, o, life, t))(
            state.critic, state.critic_optimiser, lives, target
        )

        def loss(meta: Any, one: tuple[Lifetime, Array]) -> tuple[Array, Metrics]:
            return self.loss(inner, state.reference, meta, *one)

        gradient, metrics, bad = mean_gradient(loss, state.meta, (lives, advantage), in_turn=True)
        change, optimiser = self._optimiser().update(gradient, state.optimiser, state.meta)
        meta = inner.absorb(optax.apply_updates(state.meta, change), lives)
        age = jnp.where(state.fresh, 0, state.age) + inner.plan.chunks
        over = age >= state.span if self.lifetime else jnp.zeros(count, bool)
        unlearned = jax.vmap(finite)(critic)
        new = self._critics(inner, key_critic, count)
        critic, critic_optimiser = select(over | ~unlearned, new, (critic, critic_optimiser))
        span = jnp.where(over, self._spans(key_span, count, max(self.lifetime // 2, 1)), state.span)
        metrics |= {"gradient": optax.tree.norm(gradient), "masked": jnp.mean(bad), "reborn": jnp.mean(over)}
        metrics |= inner.readings(meta)
        return state._replace(
            meta=meta,
            optimiser=optimiser,
            task=lives.task,
            fresh=over,
            age=age,
            span=span,
            critic=critic,
            critic_optimiser=critic_optimiser,
        ), metrics


def _value(critic: Critic, x: Array) -> Array:
    return critic.value(critic.body(x, "relu"))[..., 0]
