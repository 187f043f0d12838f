"""PEARL's outer: soft actor-critic on transitions of many tasks, told a latent that is inferred from recent ones.

Not a method of whole trials: nothing is credited across episodes (Rakelly et al. 2019, arXiv 1903.08254, algorithm 1; SAC:
Haarnoja et al. 2018, arXiv 1812.05905). The encoder learns from the critics' loss and the divergence alone: neither the
policy's loss nor the targets reach it. What the published code sums over the tasks of a step, a divergence beside a mean loss,
is a mean here: its kl_lambda 0.1 with 16 tasks is `kl_weight` 1.6.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, Squashed, Task, TaskDistribution, Transitions, at_least
from innerloop.core.spaces import encode, width, zeros
from innerloop.equations.evidence import gaussian_kl
from innerloop.equations.soft import soft_target
from innerloop.nets.layers import Dense, Perceptron
from innerloop.outer.gradients import finite
from innerloop.outer.task_replay import TaskReplay, draw, empty, store


class Critic(NamedTuple):
    """Q(s, a, z)."""

    body: Perceptron
    out: Dense


class PEARLState(NamedTuple):
    """All that the method carries."""

    meta: Any
    critics: Critic  # leaves [2, ...]
    target: Critic  # follows `critics`
    log_alpha: Array  # of the entropy's weight
    optimisers: tuple[Any, Any, Any]  # of critics and meta by the critics' loss, of meta by the policy's, of log_alpha
    memory: TaskReplay
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class PEARL(Outer[Any, PEARLState]):
    """Each update: lives in the next of the training tasks, then gradient steps on transitions of any of them."""

    pool: int = eqx.field(static=True, default=100)  # training tasks, drawn once
    capacity: int = eqx.field(static=True, default=10_000)  # transitions kept of each
    replays: int = eqx.field(static=True, default=100)  # gradient steps per update; published: 2,000 for 5,000 env steps
    batch: int = eqx.field(static=True, default=8)  # tasks per gradient step; published: 16
    rows: int = eqx.field(static=True, default=128)  # transitions of each; published: 256
    context_rows: int = eqx.field(static=True, default=64)  # transitions that the latent is inferred from; published: 100
    lr: float = eqx.field(static=True, default=3e-4)  # Adam, of all nets
    discount: float = eqx.field(static=True, default=0.99)
    follow: float = eqx.field(static=True, default=0.005)  # the target's share of the new at each step
    kl_weight: float = eqx.field(static=True, default=1.6)  # per task
    reward_scale: float = eqx.field(static=True, default=1.0)  # in the critics' target only; published: 5 on robots
    alpha: float = eqx.field(static=True, default=0.0)  # the entropy's weight; 0: adjusted to hold an entropy of −A nats
    hidden: tuple[int, ...] = eqx.field(static=True, default=(128, 128))  # of the critics; the paper: 300, 300, 300
    max_norm: float = eqx.field(static=True, default=10.0)  # global-norm clip
    shaped: bool = eqx.field(static=True, default=False)  # critics learn from the family's shaped reward; the context never
    tasks: Any = eqx.field(static=True, default=None)  # the family, where it is asked for that

    def check(self, inner: Inner[Any, Any]) -> None:
        for name in ("pool", "capacity", "replays", "batch", "rows", "context_rows"):
            at_least(f"outer.{name}", getattr(self, name), 1)
        if type(inner).infer is Inner.infer or type(inner).act is Inner.act:
            raise ValueError(
                f"PEARL's policy is told a latent inferred from transitions, and {type(inner).__name__} is told none "
                "(Inner.infer, Inner.act); accepted: PosteriorSampling."
            )

        if self.shaped and not self._offered():
            raise ValueError(
                f"outer.shaped is true, and {self.tasks.name} offers no shaped reward (Family.shaped); accepted: false."
            )

    def _offered(self) -> bool:
        def asked(key: Array) -> Any:
            task = jax.tree.map(lambda x: x[0], self.tasks.sample(key, 1))
            return self.tasks.shaped(task, zeros(self.tasks.spaces.obs, (1,)))

        return jax.eval_shape(asked, jax.random.key(0)) is not None

    def planned(self, updates: int, meta_batch: int) -> PEARL:
        if meta_batch > self.pool:
            raise ValueError(f"meta_batch ({meta_batch}) must be at most outer.pool ({self.pool}), the training tasks.")
        return self

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.max_norm), optax.adam(self.lr))

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> PEARLState:
        key_tasks, key_critics = jax.random.split(key)
        one = jax.eval_shape(lambda lives: jax.tree.map(lambda x: x[0, 0, 0], lives.chunks), example)
        context = Transitions(one.step.obs, one.action, one.reward, one.next_obs, one.terminated)
        belief = jax.eval_shape(inner.infer, meta, context)
        assert belief is not None
        inputs = width(inner.spaces.obs) + width(inner.spaces.action) + belief.mean.shape[-1]

        def critic(key: Array) -> Critic:
            key_body, key_out = jax.random.split(key)
            return Critic(Perceptron.init(key_body, inputs, self.hidden), Dense.init(key_out, (inputs, *self.hidden)[-1], 1))

        critics = jax.vmap(critic)(jax.random.split(key_critics))
        opt = self._optimiser()
        learned: Any = (meta, critics)
        optimisers = (opt.init(learned), opt.init(meta), optax.adam(self.lr).init(jnp.zeros(())))
        memory = empty(tasks.sample(key_tasks, self.pool), example, self.capacity)
        target = jax.tree.map(jnp.array, critics)
        return PEARLState(meta, critics, target, jnp.zeros(()), optimisers, memory, jnp.zeros((), jnp.int32))

    def meta(self, state: PEARLState) -> Any:
        return state.meta

    def _turn(self, state: PEARLState, count: int) -> Array:
        """Which of the pool are lived in next, one after another."""
        return jnp.mod(state.count * count + jnp.arange(count), self.pool)

    def propose(self, state: PEARLState, tasks: Task, key: Array) -> tuple[Any, Task]:
        at = self._turn(state, tasks.index.shape[0])
        return state.meta, jax.tree.map(lambda x: x[at], state.memory.tasks)

    def _judged(self, inner: Inner[Any, Any], critics: Critic, obs: Any, action: Array, latent: Array) -> Array:
        """Q [2, ...]."""
        x = jnp.concatenate([encode(inner.spaces.obs, obs), encode(inner.spaces.action, action), latent], -1)
        return jax.vmap(lambda c: c.out(c.body(x, "relu"))[..., 0])(critics)

    def losses(
        self,
        inner: Inner[Any, Any],
        learned: tuple[Any, Critic],
        state: PEARLState,
        data: tuple[Transitions, Transitions],
        key: Array,
    ) -> tuple[Array, tuple[Array, Metrics]]:
        """The critics' and the encoder's, of rows and contexts [G, R, ...]; also the latents [G, D]."""
        meta, critics = learned
        rows, context = data
        key_latent, key_ahead = jax.random.split(key)
        belief: Any = jax.vmap(lambda c: inner.infer(meta, c))(context)
        noise = jax.random.normal(key_latent, belief.mean.shape)
        latent = belief.mean + jnp.exp(0.5 * belief.log_var) * noise
        told = _each(latent, rows.reward.shape[1])  # one for all rows of a task
        fixed = jax.lax.stop_gradient(told)
        action, log_prob = self._drawn(inner, jax.lax.stop_gradient(meta), rows.arrived, fixed, key_ahead)
        ahead = jnp.min(self._judged(inner, state.target, rows.arrived, action, fixed), 0)
        target = soft_target(
            self.reward_scale * rows.reward, rows.terminated, ahead, log_prob, self.discount, self._weight(state.log_alpha)
        )
        q = self._judged(inner, critics, rows.obs, rows.action, told)
        critic = 0.5 * jnp.sum(jnp.mean((q - jax.lax.stop_gradient(target)[None]) ** 2, (1, 2)))
        zero = jnp.zeros_like(belief.mean)
        kl = jnp.mean(gaussian_kl(belief.mean, belief.log_var, zero, zero))
        return critic + self.kl_weight * kl, (latent, {"critic_loss": critic, "belief_kl": kl, "value": jnp.mean(q)})

    def _weight(self, log_alpha: Array) -> Array:
        return jnp.asarray(self.alpha) if self.alpha else jnp.exp(jax.lax.stop_gradient(log_alpha))

    def _drawn(self, inner: Inner[Any, Any], meta: Any, obs: Any, latent: Array, key: Array) -> tuple[Array, Array]:
        dist = inner.act(meta, obs, latent)
        assert isinstance(dist, Squashed)
        return dist.drawn(key)

    def update(self, inner: Inner[Any, Any], state: PEARLState, lives: Lifetime, key: Array) -> tuple[PEARLState, Metrics]:
        at = self._turn(state, lives.task.index.shape[0])
        memory, unsound = store(state.memory, at, lives)
        state = state._replace(memory=memory, meta=inner.absorb(state.meta, lives))
        lived = jnp.sum(memory.stored > 0)
        ready = ((state.count + 1) * at.shape[0] >= self.pool) & (lived > 0)  # every task has had its turn
        state, metrics = jax.lax.scan(
            lambda state, key: self._step(inner, state, ready, key), state, jax.random.split(key, self.replays)
        )
        masked = jnp.maximum(jnp.mean(unsound), jnp.mean(metrics.pop("bad")))
        metrics = jax.tree.map(jnp.mean, metrics) | {"masked": masked, "alpha": self._weight(state.log_alpha)}
        return state._replace(count=state.count + 1), metrics

    def _step(self, inner: Inner[Any, Any], state: PEARLState, ready: Array, key: Array) -> tuple[PEARLState, Metrics]:
        """One gradient step of everything; none before `ready`, and none where a gradient is not finite."""
        key_at, key_rows, key_context, key_critic, key_policy = jax.random.split(key, 5)
        score = jnp.where(state.memory.stored > 0, jax.random.uniform(key_at, (self.pool,)), -1.0)
        score, at = jax.lax.top_k(score, min(self.batch, self.pool))
        at = jnp.where(score >= 0, at, at[0])  # where fewer tasks have been lived in than a step takes
        rows = draw(state.memory, at, self.rows, key_rows)
        if self.shaped:
            chosen = jax.tree.map(lambda x: x[at], state.memory.tasks)
            rows = rows._replace(reward=jax.vmap(self.tasks.shaped)(chosen, rows.arrived))
        context = draw(state.memory, at, self.context_rows, key_context, lately=True)
        opt = self._optimiser()
        learned: Any = (state.meta, state.critics)
        both, (latent, aux) = jax.grad(
            lambda learned: self.losses(inner, learned, state, (rows, context), key_critic), has_aux=True
        )(learned)
        change, opt_critic = opt.update(both, state.optimisers[0], learned)
        after: Any = optax.apply_updates(learned, change)
        meta, critics = after
        told = jax.lax.stop_gradient(_each(latent, self.rows))

        def policy_loss(meta: Any) -> tuple[Array, Array]:
            action, log_prob = self._drawn(inner, meta, rows.obs, told, key_policy)
            q = jnp.min(self._judged(inner, critics, rows.obs, action, told), 0)
            return jnp.mean(self._weight(state.log_alpha) * log_prob - q), jnp.mean(log_prob)

        ascent, log_prob = jax.grad(policy_loss, has_aux=True)(meta)
        change, opt_policy = opt.update(ascent, state.optimisers[1], meta)
        meta = optax.apply_updates(meta, change)
        wanted = -float(width(inner.spaces.action))
        change, opt_alpha = optax.adam(self.lr).update(-(log_prob + wanted), state.optimisers[2])
        log_alpha: Any = optax.apply_updates(state.log_alpha, change)
        target = jax.tree.map(lambda t, c: t + self.follow * (c - t), state.target, critics)
        new = state._replace(
            meta=meta, critics=critics, target=target, log_alpha=log_alpha, optimisers=(opt_critic, opt_policy, opt_alpha)
        )
        good = finite((both, ascent))
        take = ready & good
        carried = jax.tree.map(lambda a, b: jnp.where(take, a, b), new._replace(memory=()), state._replace(memory=()))
        metrics = aux | {"entropy": -log_prob, "bad": jnp.where(ready, ~good, False)}
        return carried._replace(memory=state.memory), metrics


def _each(latent: Array, rows: int) -> Array:
    """[G, D] → [G, R, D]"""
    return jnp.broadcast_to(latent[:, None], (latent.shape[0], rows, latent.shape[1]))
