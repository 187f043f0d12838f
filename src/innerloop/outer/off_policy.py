"""Off-policy actor and critic over whole trials, after AMAGO (Grigsby et al., arXiv 2310.09971) and AMAGO-2 (arXiv 2411.11188).

Not for inners without features: critics read what the policy reads (`Decision.extras`), and one memory is trained by both.

* Critics: an ensemble of classifiers over symlog-spaced bins for Q(h, a), trained by cross-entropy against two-hot codes of
  λ-returns; V(h) = Σ_a π(a|h) Q'(h, a), by the less of two members of the slowly following ensemble Q' (REDQ, Chen et al.
  2021). So returns of any scale cost the trunk gradients of one scale, and tasks need no weights.
* Actor: filtered behaviour cloning, −1[Q(h, a) > V(h)] log π(a|h) (CRR's binary filter, Wang et al. 2020), and `q_weight` times
  −E_π Q(h, a).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Discrete, Inner, Lifetime, Metrics, Outer, Spaces, TaskDistribution, at_least, replay
from innerloop.core.spaces import zeros
from innerloop.equations.returns import gae, masked_mean
from innerloop.equations.two_hot import mean_of, symlog_bins, two_hot
from innerloop.nets.layers import Dense, Perceptron
from innerloop.outer.behaviour import behaviour, relived
from innerloop.outer.gradients import mean_gradient
from innerloop.outer.replay_memory import ReplayMemory, draw, empty, store


class Critic(NamedTuple):
    """One classifier: of all actions where they are discrete, else of the action that is fed in."""

    body: Perceptron
    head: Dense


class OffPolicyState(NamedTuple):
    """All that the method carries."""

    meta: Any
    critics: Critic  # leaves [E, ...]
    target: Critic  # follows `critics`
    optimiser: Any
    scale: Array  # of returns: running standard deviation
    memory: ReplayMemory
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class OffPolicy(Outer[Any, OffPolicyState]):
    """Learns from a memory of trials that the learner lived with some noise, several gradient steps for each new batch."""

    lr: float = eqx.field(static=True, default=1e-3)  # Adam; AMAGO: 1e-4, with larger nets
    capacity: int = eqx.field(static=True, default=4096)  # trials in the memory; AMAGO: 20,000
    batch: int = eqx.field(static=True, default=256)  # trials per gradient step
    replays: int = eqx.field(static=True, default=4)  # gradient steps per update: the updates-to-data ratio
    discount: float = eqx.field(static=True, default=0.99)  # AMAGO: 0.999 and others beside it
    td_lambda: float = eqx.field(static=True, default=0.8)  # AMAGO: 0, one step. Quicker, and biased by what past policies did
    explore: float = eqx.field(static=True, default=0.5)  # share of random actions: each life draws its own from U[0, this]
    ensemble: int = eqx.field(static=True, default=4)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,))  # of the critics
    bins: int = eqx.field(static=True, default=65)
    limit: float = eqx.field(static=True, default=1000.0)  # returns beyond are clipped
    follow: float = eqx.field(static=True, default=0.05)  # the target's share of the new at each step; AMAGO: 0.003
    samples: int = eqx.field(static=True, default=4)  # actions that stand for π in V, in boxes
    clone_weight: float = eqx.field(static=True, default=1.0)  # of filtered behaviour cloning
    q_weight: float = eqx.field(static=True, default=0.0)  # of the online term, in units of the returns' deviation
    critic_weight: float = eqx.field(static=True, default=1.0)  # AMAGO: 10
    entropy_weight: float = eqx.field(static=True, default=0.0)
    max_norm: float = eqx.field(static=True, default=1.0)  # global-norm clip

    @property
    def offline(self) -> str:
        return "possible"

    def actor(self, inner: Inner[Any, Any]) -> Inner[Any, Any]:
        return behaviour("mixed", inner, 0.0, self.explore)

    def check(self, inner: Inner[Any, Any]) -> None:
        for name in ("capacity", "batch", "replays", "ensemble", "samples"):
            at_least(f"outer.{name}", getattr(self, name), 1)
        at_least("outer.bins", self.bins, 3)
        if not 0.0 <= self.explore < 1.0 or not 0.0 <= self.td_lambda <= 1.0:
            raise ValueError(
                f"outer.explore is {self.explore} and outer.td_lambda {self.td_lambda}; accepted: shares from 0 to 1, and "
                "explore below 1."
            )

        def read(key: Array) -> Any:
            meta = inner.init(key)
            obs = zeros(inner.spaces.obs, (inner.plan.streams,))
            return inner.decide(meta, inner.begin(meta, key), obs).extras

        if not isinstance(jax.eval_shape(read, jax.random.key(0)), jax.ShapeDtypeStruct):
            raise ValueError(
                f"off-policy critics read the features that a decision rests on, and {type(inner).__name__} gives none "
                "(Decision.extras); accepted: memories, such as Recurrent."
            )

    def planned(self, updates: int, meta_batch: int) -> OffPolicy:
        if self.capacity < meta_batch:
            raise ValueError(
                f"outer.capacity ({self.capacity}) must be at least meta_batch ({meta_batch}): one batch is stored whole."
            )
        return self

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.max_norm), optax.adam(self.lr, eps=1e-5))

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> OffPolicyState:
        one = jax.eval_shape(lambda lives: jax.tree.map(lambda x: x[0], lives), example)
        features = jax.eval_shape(lambda meta, life: replay(inner, meta, relived(inner, meta, life))[0].extras, meta, one)
        make = jax.vmap(lambda k: self._critic(k, features.shape[-1], inner.spaces))
        critics = make(jax.random.split(key, self.ensemble))
        learned: Any = (meta, critics)
        opt = self._optimiser().init(learned)
        memory = empty(example, self.capacity)
        target = jax.tree.map(jnp.array, critics)
        return OffPolicyState(meta, critics, target, opt, jnp.ones(()), memory, jnp.zeros((), jnp.int32))

    def meta(self, state: OffPolicyState) -> Any:
        return state.meta

    def _critic(self, key: Array, features: int, spaces: Spaces) -> Critic:
        key_body, key_head = jax.random.split(key)
        discrete, actions = isinstance(spaces.action, Discrete), spaces.action.width
        inputs = features if discrete else features + actions
        body = Perceptron.init(key_body, inputs, self.hidden)
        # Zero weights at the end: every Q is 0 at first, and no action seems better than others.
        return Critic(
            body, Dense.init(key_head, (inputs, *self.hidden)[-1], (actions if discrete else 1) * self.bins, scale=0.0)
        )

    def _logits(self, critics: Critic, x: Array) -> Array:
        """Of inputs x [..., I]: [E, ..., A, bins], with A = 1 for boxes."""

        def one(critic: Critic) -> Array:
            y = critic.head(critic.body(x, "relu"))
            return jnp.reshape(y, (*x.shape[:-1], -1, self.bins))

        return jax.vmap(one)(critics)

    def _judged(self, critics: Critic, spaces: Spaces, h: Array, action: Array) -> Array:
        """Logits [E, ..., bins] for actions at features h [..., H]."""
        if isinstance(spaces.action, Discrete):
            logits = self._logits(critics, h)
            at = jnp.broadcast_to(action[None, ..., None, None], (*logits.shape[:-2], 1, self.bins))
            return jnp.take_along_axis(logits, at, axis=-2)[..., 0, :]
        return self._logits(critics, jnp.concatenate([h, spaces.action.encode(action)], -1))[..., 0, :]

    def _values(self, critics: Critic, spaces: Spaces, h: Array, dist: Any, key: Array) -> Array:
        """V [E, ...] at features h [..., H]: the mean of Q over the policy."""
        bins = symlog_bins(self.limit, self.bins)
        if isinstance(spaces.action, Discrete):
            q = mean_of(self._logits(critics, h), bins)
            p = jax.nn.softmax(dist.logits)
            return jnp.sum(q * jnp.broadcast_to(p, q.shape), -1)
        drawn = [dist.sample(k) for k in jax.random.split(key, self.samples)]
        return jnp.mean(jnp.stack([mean_of(self._judged(critics, spaces, h, a), bins) for a in drawn]), 0)

    def returns(self, life: Lifetime, value: Array, trial: bool) -> tuple[Array, Array]:
        """λ-returns [L, N] and which rows have one, from the values [L, N] of one life. Nothing follows a trial's end; where
        `trial` is False the life may end within one, and the value of its last row stands for what follows."""
        rows = life.chunks
        reward, mask, born = (x.reshape(-1, x.shape[-1]) for x in (rows.reward, rows.mask, rows.step.born))
        ends = jnp.concatenate([born[1:], (life.last.born | trial)[None]])
        gap = ~mask | jnp.concatenate([~mask[1:], jnp.zeros_like(mask[:1])])  # no transition here or behind
        ahead = jnp.concatenate([value[1:], value[-1:]])
        columns = (jnp.where(mask, reward, 0.0), value, ahead, gap | ends, ~mask | ends)
        over = jax.vmap(gae, (1, 1, 1, 1, 1, None, None), 1)
        return over(*columns, self.discount, self.td_lambda) + value, mask

    def loss(
        self, inner: Inner[Any, Any], learned: tuple[Any, Critic], target: Critic, scale: Array, life: Lifetime, key: Array
    ) -> tuple[Array, Metrics]:
        """Of one trial, with what is reported of it."""
        meta, critics = learned
        spaces, stop = inner.spaces, jax.lax.stop_gradient
        key_pair, key_ahead, key_here, key_online = jax.random.split(key, 4)
        flat = lambda x: jnp.reshape(x, (-1, *x.shape[2:]))  # noqa: E731  # [K, T, ...] → [L, ...]
        decision = jax.tree.map(flat, replay(inner, meta, relived(inner, meta, life))[0])
        h, dist, action = decision.extras, decision.dist, flat(life.chunks.action)
        bins = symlog_bins(self.limit, self.bins)

        fixed = jax.tree.map(stop, dist)
        pair = jax.random.choice(key_pair, self.ensemble, (min(2, self.ensemble),), replace=False)
        ahead = self._values(target, spaces, stop(h), fixed, key_ahead)
        value = jnp.min(ahead[pair], 0)
        returns, mask = self.returns(life, value, not inner.plan.episodes)
        returns = stop(returns)
        logits = self._judged(critics, spaces, h, action)
        code = jnp.broadcast_to(two_hot(returns, bins), logits.shape)
        cross = -jnp.sum(code * jax.nn.log_softmax(logits), -1)
        critic = masked_mean(jnp.mean(cross, 0), mask)

        here = jnp.mean(self._values(critics, spaces, stop(h), fixed, key_here), 0)
        advantage = stop(jnp.mean(mean_of(logits, bins), 0) - here)
        better = (advantage > 0).astype(jnp.float32)
        clone = -masked_mean(better * dist.log_prob(action), mask)
        entropy = masked_mean(dist.entropy(), mask)
        loss = self.critic_weight * critic + self.clone_weight * clone - self.entropy_weight * entropy
        if self.q_weight:
            online = jnp.mean(self._values(jax.tree.map(stop, critics), spaces, stop(h), dist, key_online), 0)
            loss -= self.q_weight * masked_mean(online / scale, mask)
        return loss, {
            "critic_loss": critic,
            "policy_loss": clone,
            "entropy": entropy,
            "better": masked_mean(better, mask),
            "value": masked_mean(value, mask),
            "square": masked_mean(returns**2, mask),
            "mean": masked_mean(returns, mask),
        }

    def update(
        self, inner: Inner[Any, Any], state: OffPolicyState, lives: Lifetime, key: Array
    ) -> tuple[OffPolicyState, Metrics]:
        memory, unsound = store(state.memory, lives)
        optimiser = self._optimiser()

        def step(carry: Any, key: Array) -> tuple[Any, tuple[Metrics, Array]]:
            learned, target, opt, scale = carry
            key_draw, key_loss = jax.random.split(key)
            batch = draw(memory, self.batch, key_draw), jax.random.split(key_loss, self.batch)
            loss = lambda learned, one: self.loss(inner, learned, target, scale, *one)  # noqa: E731
            gradient, aux, bad = mean_gradient(loss, learned, batch)
            change, opt = optimiser.update(gradient, opt, learned)
            learned: Any = optax.apply_updates(learned, change)
            target = jax.tree.map(lambda t, c: t + self.follow * (c - t), target, learned[1])
            spread = jnp.sqrt(jnp.maximum(aux.pop("square") - aux.pop("mean") ** 2, 1e-6))
            aux |= {"gradient": optax.tree.norm(gradient), "return_std": spread}
            return (learned, target, opt, scale + 0.05 * (spread - scale)), (aux, jnp.mean(bad))

        begin = ((state.meta, state.critics), state.target, state.optimiser, state.scale)
        (learned, target, opt, scale), (aux, bad) = jax.lax.scan(step, begin, jax.random.split(key, self.replays))
        masked = jnp.maximum(jnp.mean(unsound), jnp.mean(bad))
        metrics = jax.tree.map(jnp.mean, aux) | {"masked": masked}
        meta = inner.absorb(learned[0], lives)
        return OffPolicyState(meta, learned[1], target, opt, scale, memory, state.count + 1), metrics
