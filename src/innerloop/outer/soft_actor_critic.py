"""PEARL's outer loop: soft actor-critic given a latent, whose encoder the critics and a KL train (Rakelly et al. 2019, alg. 1).

Not for memories that act on every step's news (`off_policy.py`): rows are drawn out of their order.

* A fixed set of training tasks, sampled once and kept in the state; each update lives a trial in the next few of them.
* Two memories: all rows of a task for policy and critics; for the encoder only those of the task's newest trial, so that what
  it learns from is what the present agent does.
* One z per task and gradient step. Gradients into the encoder come from the critics' loss and the KL alone; the policy, its
  value and the target see z as a constant.
* Of a few alternatives a critic values all at once, and expectations over them are sums.
* Twin critics with slowly following targets, as in SAC's second version; the published code has a value network instead.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import (
    Categorical,
    Decision,
    Discrete,
    Inner,
    Lifetime,
    Metrics,
    Normal,
    Outer,
    Task,
    TaskDistribution,
    Transitions,
    at_least,
    select,
)
from innerloop.core.spaces import encode, width, zeros
from innerloop.equations.soft_actor_critic import (
    critic_loss,
    expected_soft_value,
    soft_target,
    soft_value,
    temperature_loss,
)
from innerloop.nets.layers import Dense, Perceptron
from innerloop.outer.gradients import finite
from innerloop.outer.task_memory import TaskMemory, draw, empty, store, transitions


class Critic(NamedTuple):
    """Q(o, a, z) of a box's actions, and of a few alternatives Q(o, ·, z)."""

    body: Perceptron
    head: Dense


class Learned(NamedTuple):
    """What gradients move."""

    meta: Any
    critics: Critic  # leaves [2, ...]
    log_alpha: Array


class SoftActorCriticState(NamedTuple):
    """All that the method carries."""

    learned: Learned
    target: Critic  # follows `critics`
    optimiser: Any
    tasks: Task  # [M, ...], the training tasks
    memory: TaskMemory
    context: TaskMemory
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class SoftActorCritic(Outer[Any, SoftActorCriticState]):
    """Many gradient steps for each new batch of trials, in one compiled scan."""

    tasks: Any = eqx.field(static=True)  # the family: its `privileged` reward, where the critics may see one
    pool: int = eqx.field(static=True, default=100)  # training tasks M; paper: 100, ant 150
    capacity: int = eqx.field(static=True, default=10_000)  # rows of each task; paper: 1,000,000 in all
    replays: int = eqx.field(static=True, default=2000)  # gradient steps per update; paper: 2,000 to 4,000
    task_batch: int = eqx.field(static=True, default=16)  # tasks per gradient step; paper: 10, 16 or 4
    batch: int = eqx.field(static=True, default=256)  # rows of each; paper: 256
    context: int = eqx.field(static=True, default=100)  # rows that the encoder sees; paper: 100, point robot 1024
    context_rows: int = eqx.field(static=True, default=0)  # of a trial, from its begin, that it may see; 0: all
    lr: float = eqx.field(static=True, default=3e-4)  # Adam, of all parts; paper: 3e-4
    discount: float = eqx.field(static=True, default=0.99)  # paper: 0.99, point robot 0.9
    reward_scale: float = eqx.field(static=True, default=5.0)  # in the target only, never in the context; paper: 5, point 100
    temperature: float = eqx.field(static=True, default=1.0)  # α; paper: 1. 0: learned, for an entropy of `_wanted`
    kl_weight: float = eqx.field(static=True, default=0.8)  # of the KL per task; paper: λ (0.1) × 16 tasks, × ½ as the critics
    follow: float = eqx.field(static=True, default=0.005)  # the target's share of the new at each step; paper: 0.005
    hidden: tuple[int, ...] = eqx.field(static=True, default=(300, 300, 300))  # of the critics; paper: 300-300-300
    privileged: bool = eqx.field(
        static=True, default=False
    )  # critics learn from the family's reward of those who know the task

    def check(self, inner: Inner[Any, Any]) -> None:
        for name in ("pool", "capacity", "replays", "task_batch", "batch", "context"):
            at_least(f"outer.{name}", getattr(self, name), 1)
        for name in ("context_rows", "temperature", "kl_weight"):
            at_least(f"outer.{name}", getattr(self, name), 0)
        if jax.eval_shape(lambda key: self._know(inner, inner.init(key), key), jax.random.key(0)) is None:
            raise ValueError(
                f"this outer trains what an agent infers from sets of transitions, and {type(inner).__name__} infers nothing "
                "from sets (Inner.inferred); accepted: PosteriorSampling."
            )
        if self.privileged and not self._offered():
            raise ValueError(f"outer.privileged: {self.tasks.name} has no reward for those who know the task; set it to false.")

    def _offered(self) -> bool:
        """Whether the family has a privileged reward."""

        def asked(key: Array) -> Any:
            task = jax.tree.map(lambda x: x[0], self.tasks.sample(key, 1))
            return self.tasks.privileged(task, zeros(self.tasks.spaces.obs))

        return jax.eval_shape(asked, jax.random.key(0)) is not None

    def _know(self, inner: Inner[Any, Any], meta: Any, key: Array) -> Any:
        lead, spaces = (1, 1), inner.spaces
        obs, action = zeros(spaces.obs, lead), zeros(spaces.action, lead)
        nothing = jnp.zeros(lead, bool)
        return inner.inferred(meta, Transitions(obs, action, jnp.zeros(lead), obs, nothing), nothing, key)

    def planned(self, updates: int, meta_batch: int) -> SoftActorCritic:
        if self.pool < meta_batch:
            raise ValueError(f"outer.pool ({self.pool} training tasks) must be at least meta_batch ({meta_batch}).")
        return self

    def init(
        self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array
    ) -> SoftActorCriticState:
        key_tasks, key_critics, key_know = jax.random.split(key, 3)
        fast = self._know(inner, meta, key_know)[0]
        latent = inner.decide(meta, fast, zeros(inner.spaces.obs, (1,))).extras.drawn.shape[-1]
        spaces = inner.spaces
        few = isinstance(spaces.action, Discrete)
        inputs = width(spaces.obs) + latent + (0 if few else spaces.action.width)
        outputs = spaces.action.width if few else 1
        critics = jax.vmap(lambda key: self._critic(key, inputs, outputs))(jax.random.split(key_critics, 2))
        learned = Learned(meta, critics, jnp.zeros(()))
        life = math.prod(example.chunks.mask.shape[1:])
        return SoftActorCriticState(
            learned,
            jax.tree.map(jnp.array, critics),
            optax.adam(self.lr).init(learned),  # pyright: ignore[reportArgumentType]  # any pytree
            tasks.sample(key_tasks, self.pool),
            empty(example, self.pool, self.capacity),
            empty(example, self.pool, min(self.context_rows or life, life)),
            jnp.zeros((), jnp.int32),
        )

    def _critic(self, key: Array, inputs: int, outputs: int) -> Critic:
        key_body, key_head = jax.random.split(key)
        body = Perceptron.init(key_body, inputs, self.hidden)
        return Critic(body, Dense.init(key_head, (inputs, *self.hidden)[-1], outputs, 0.1))

    def meta(self, state: SoftActorCriticState) -> Any:
        return state.learned.meta

    def _turn(self, state: SoftActorCriticState, count: int) -> Array:
        """Places of the tasks that are next, int32 [count]: all in turn."""
        return jnp.mod(state.count * count + jnp.arange(count, dtype=jnp.int32), self.pool)

    def propose(self, state: SoftActorCriticState, tasks: Task, key: Array) -> tuple[Any, Task]:
        at = self._turn(state, tasks.index.shape[0])
        return self.meta(state), jax.tree.map(lambda x: x[at], state.tasks)

    def _judge(self, critics: Critic, *parts: Array) -> Array:
        """Q [2, ..., A or 1] of inputs whose parts are [..., I]."""
        x = jnp.concatenate(parts, -1)
        return jax.vmap(lambda critic: critic.head(critic.body(x, "relu")))(critics)

    def _valued(self, inner: Inner[Any, Any], critics: Critic, obs: Any, action: Array, z: Array) -> Array:
        """Q [2, ...] of the actions taken."""
        x, space = encode(inner.spaces.obs, obs), inner.spaces.action
        if isinstance(space, Discrete):
            every = self._judge(critics, x, z)
            return jnp.take_along_axis(every, jnp.broadcast_to(action[None, ..., None], (2, *action.shape, 1)), -1)[..., 0]
        return self._judge(critics, x, space.encode(action), z)[..., 0]

    def _worth(
        self, inner: Inner[Any, Any], critics: Critic, decision: Decision, obs: Any, alpha: Array, key: Array
    ) -> tuple[Array, Array]:
        """Soft values [R, B] of acting by `decision`, and log π of an action drawn, or on average over a few alternatives."""
        z = decision.extras.drawn
        if isinstance(decision.dist, Categorical):
            q = self._judge(critics, encode(inner.spaces.obs, obs), z)
            value = jax.vmap(jax.vmap(expected_soft_value, (1, 0, None)), (1, 0, None))(q, decision.dist.logits, alpha)
            return value, -decision.dist.entropy()
        action, log_pi = decision.dist.sample_and_log_prob(key)  # pyright: ignore[reportAttributeAccessIssue]  # TanhNormal
        q = self._valued(inner, critics, obs, action, z)
        return jax.vmap(jax.vmap(soft_value, (1, 0, None)), (1, 0, None))(q, log_pi, alpha), log_pi

    def _wanted(self, inner: Inner[Any, Any]) -> float:
        """The entropy, in nats, for which α is learned: −dim(a), and of a few alternatives half of the most."""
        space = inner.spaces.action
        return 0.5 * math.log(space.n) if isinstance(space, Discrete) else -float(space.width)

    def loss(
        self,
        inner: Inner[Any, Any],
        learned: Learned,
        target: Critic,
        tasks: Task,
        rows: Transitions,
        context: tuple[Transitions, Array],
        key: Array,
    ) -> tuple[Array, Metrics]:
        """Of `rows` [B, R, ...] of tasks [B], given for each task `context` [B, C, ...] and which of it is there. Gradients
        of the parts fall on different leaves, so that one sum trains them all."""
        stop = jax.lax.stop_gradient
        key_know, key_next, key_here = jax.random.split(key, 3)
        found = inner.inferred(learned.meta, *context, key_know)
        assert found is not None  # `check`
        fast, belief = found
        known = stop(fast)
        # Streams are the tasks: rows lead, [R, B, ...].
        rows = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows)
        alpha = jnp.exp(stop(learned.log_alpha)) if self.temperature == 0 else jnp.asarray(self.temperature)

        ahead = inner.decide(stop(learned.meta), known, rows.arrived)
        v_next, _ = self._worth(inner, target, ahead, rows.arrived, alpha, key_next)
        reward = self.reward_scale * self._reward(tasks, rows)
        each = lambda f, axes: jax.vmap(jax.vmap(f, axes), axes)  # noqa: E731
        goal = stop(each(lambda r, ended, v: soft_target(r, ended, v, self.discount), 0)(reward, rows.terminated, v_next))
        z = inner.decide(stop(learned.meta), fast, rows.obs).extras.drawn
        q = self._valued(inner, learned.critics, rows.obs, rows.action, z)
        critic = jnp.mean(each(critic_loss, 0)(jnp.moveaxis(q, 0, -1), goal))

        here = inner.decide(learned.meta, known, rows.obs)
        v_here, log_pi = self._worth(inner, stop(learned.critics), here, rows.obs, alpha, key_here)
        actor = -jnp.mean(v_here)
        kl = jnp.mean(belief.kl(Normal(*(jnp.zeros_like(x) for x in belief))))
        loss = critic + actor + self.kl_weight * kl
        if self.temperature == 0:
            loss += temperature_loss(learned.log_alpha, stop(jnp.mean(log_pi)), self._wanted(inner))
        return loss, {
            "critic_loss": critic,
            "policy_loss": actor,
            "kl": kl,
            "entropy": -jnp.mean(log_pi),
            "temperature": alpha,
            "value": jnp.mean(q),
        }

    def _reward(self, tasks: Task, rows: Transitions) -> Array:
        """What the critics learn from, [R, B]."""
        if not self.privileged:
            return rows.reward
        return jax.vmap(jax.vmap(self.tasks.privileged), (None, 0))(tasks, rows.arrived)

    def update(
        self, inner: Inner[Any, Any], state: SoftActorCriticState, lives: Lifetime, key: Array
    ) -> tuple[SoftActorCriticState, Metrics]:
        size = lives.chunks.mask.shape[0]
        at = self._turn(state, size)
        rows, mask = transitions(lives)
        rows = rows._replace(reward=jnp.where(mask, rows.reward, 0.0))
        sound = jax.vmap(finite)((rows, lives.last.obs))
        keep = mask & sound[:, None]
        memory = store(state.memory, at, rows, keep)
        early = keep & (jnp.arange(keep.shape[1]) < (self.context_rows or keep.shape[1]))[None]
        context = store(state.context, at, rows, early, anew=True)
        # Tasks that have been lived in, as places in the order of their turns; those without a sound row are passed over.
        lived = memory.stored > 0
        chance = jnp.where(lived | ~jnp.any(lived), 0.0, -jnp.inf)
        optimiser = optax.adam(self.lr)

        def step(carry: Any, key: Array) -> tuple[Any, Metrics]:
            learned, target, opt = carry
            key_tasks, key_rows, key_context, key_loss = jax.random.split(key, 4)
            which = jax.random.categorical(key_tasks, chance, shape=(self.task_batch,))
            drawn, _ = draw(memory, which, self.batch, key_rows)
            tasks = jax.tree.map(lambda x: x[which], state.tasks)
            seen = draw(context, which, self.context, key_context)
            loss = lambda learned: self.loss(inner, learned, target, tasks, drawn, seen, key_loss)  # noqa: E731
            gradient, aux = jax.grad(loss, has_aux=True)(learned)
            change, opt = optimiser.update(gradient, opt)
            learned: Any = optax.apply_updates(learned, change)
            target = jax.tree.map(lambda t, c: t + self.follow * (c - t), target, learned.critics)
            return (learned, target, opt), aux | {"gradient": optax.tree.norm(gradient)}

        begin = (state.learned, state.target, state.optimiser)
        (learned, target, opt), aux = jax.lax.scan(step, begin, jax.random.split(key, self.replays))
        learned, target, opt = select(jnp.any(lived), (learned, target, opt), begin)
        learned = learned._replace(meta=inner.absorb(learned.meta, lives))
        metrics = jax.tree.map(jnp.mean, aux) | {"masked": jnp.mean(~sound)}
        return SoftActorCriticState(learned, target, opt, state.tasks, memory, context, state.count + 1), metrics
