"""RL²: the inner loop is a memory (Duan et al. 2016; Wang et al. 2016), of any kind.

Not a learner: `learn` changes nothing; all adaptation is in what the memory has seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Decision, Inner, Lifetime, Plan, Spaces, Step, accept, at_least
from innerloop.core.spaces import encode, width
from innerloop.nets import memory as memories, vision
from innerloop.nets.hyper import HyperHead
from innerloop.nets.layers import Dense, Head
from innerloop.nets.moments import Moments

DTYPES = ("float32", "bfloat16")
HEADS = ("dense", "hyper")


class RecurrentMeta(NamedTuple):
    """Parameters of RL²."""

    cell: memories.Cell
    policy: Head | HyperHead
    value: Dense | None  # a HyperHead's own
    obs: Moments | None = None  # statistics of observations and rewards, where the inner normalises
    reward: Moments | None = None
    embed: Dense | None = None  # before the memory
    eyes: tuple[vision.Eye, ...] | None = None  # for images


class Remembered(NamedTuple):
    """What the memory holds, and what it last gave out [N, H]: the policy reads that."""

    state: Any
    read: Array
    before: Any = None  # the observation last taken in, encoded [N, O], where it is fed in once more


class Recurrent(Inner[RecurrentMeta, Remembered]):
    """A memory fed with observation, previous action, previous reward and the flags of episode ends; empty on entering a task
    and where a trial begins, never reset between the episodes of one."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    memory: str = eqx.field(static=True, default="gru")  # one of nets.memory.MEMORIES
    width: int = eqx.field(static=True, default=64)  # H; the paper's GRU has 256
    layers: int = eqx.field(static=True, default=1)
    heads: int = eqx.field(static=True, default=4)  # of "gdn" and "transformer"
    context: int = eqx.field(static=True, default=0)  # steps that a transformer looks back; 0: all of the life
    segment: int = eqx.field(static=True, default=0)  # recompute activations from one state every so many steps; 0: keep all
    truncate: bool = eqx.field(static=True, default=False)  # no gradient from one segment into the one before
    dtype: str = eqx.field(static=True, default="float32")  # of the memory's products
    reward_scale: float = eqx.field(static=True, default=1.0)  # multiplies the reward that is fed in
    normalise: bool = eqx.field(static=True, default=False)  # observations and rewards, by their running statistics
    transition: bool = eqx.field(static=True, default=False)  # feed also the observation that the previous action was taken in
    embed: int = eqx.field(static=True, default=0)  # units of a GELU layer before the memory; 0: none
    std: float = eqx.field(static=True, default=0.5)  # initial, in units of the action space; Box actions only
    head: str = eqx.field(static=True, default="dense")  # "hyper": the memory makes the weights of a net that reads o_t
    units: int = eqx.field(static=True, default=32)  # of that net
    vision: str = eqx.field(static=True, default="auto")  # "conv": images by convolutions, as auto has it; "flat": as vectors

    def check(self) -> None:
        memories.check(self.memory, self.width, self.layers, self.heads)
        accept("inner.head", self.head, HEADS)
        accept("inner.dtype", self.dtype, DTYPES)
        vision.check(self.vision, self.spaces.obs)
        for name in ("context", "segment", "embed"):
            at_least(f"inner.{name}", getattr(self, name), 0)
        if self.truncate and not self.segment:
            raise ValueError("inner.truncate cuts gradients between segments; set inner.segment to their length in steps.")

    @property
    def sighted(self) -> bool:
        return True

    def init(self, key: Array) -> RecurrentMeta:
        key_cell, key_policy, key_value = jax.random.split(key, 3)
        inputs = self._seen * (1 + self.transition) + width(self.spaces.action) + 3
        embed = Dense.init(jax.random.fold_in(key_cell, 1), inputs, self.embed) if self.embed else None
        inputs = self.embed or inputs
        return RecurrentMeta(
            memories.make(self.memory, key_cell, inputs, self.width, self.layers, self.heads),
            self._head(key_policy),
            Dense.init(key_value, self.width, 1, scale=0.1) if self.head == "dense" else None,
            Moments.empty(vision.flat_width(self.vision, self.spaces.obs)) if self.normalise else None,
            Moments.empty(1) if self.normalise else None,
            embed,
            vision.make(self.vision, jax.random.fold_in(key_cell, 2), self.spaces.obs),
        )

    @property
    def _seen(self) -> int:
        """Length of what `_see` gives."""
        return vision.seen_width(self.vision, self.spaces.obs)

    def _head(self, key: Array) -> Head | HyperHead:
        if self.head == "dense":
            return Head.init(key, self.width, self.spaces.action, scale=0.1, std=self.std)
        return HyperHead.init(key, self.width, self._seen, self.units, self.spaces.action, std=self.std)

    def begin(self, meta: RecurrentMeta, key: Array) -> Remembered:
        lead = (self.plan.streams,)
        state = meta.cell.empty(lead, self.context or self.plan.chunks * self.plan.steps)
        before = jnp.zeros((*lead, self._seen), jnp.float32) if self.transition else None
        return Remembered(state, jnp.zeros((*lead, self.width)), before)

    def absorb(self, meta: RecurrentMeta, lives: Lifetime) -> RecurrentMeta:
        if meta.obs is None or meta.reward is None:
            return meta
        rows = lives.chunks
        obs = meta.obs.absorb(vision.flat(meta.eyes, self.spaces.obs, rows.step.obs), rows.mask)
        return meta._replace(obs=obs, reward=meta.reward.absorb(rows.reward[..., None], rows.mask))

    def _see(self, meta: RecurrentMeta, obs: Any) -> Array:
        return vision.look(meta.eyes, meta.obs, self.spaces.obs, obs)

    def _inputs(self, meta: RecurrentMeta, step: Step, obs: Array, before: Array | None) -> Array:
        """`obs` [..., N, O]: what `_see` makes of the step's; `before`: of those one step earlier, where `transition`."""
        reward = step.reward * self.reward_scale
        if meta.reward is not None:
            reward = reward / meta.reward.std()[0]
        born = step.born[..., None]
        if before is not None:
            obs = jnp.concatenate([obs, jnp.where(born, 0.0, before)], -1)
        action = jnp.where(born, 0.0, encode(self.spaces.action, step.action))
        flags = jnp.stack([reward, step.first, step.terminated], -1).astype(obs.dtype)
        # "float32" is float64 where that is enabled: gradients are checked in it.
        wide = jnp.result_type(float) if self.dtype == "float32" else self.dtype
        x = jnp.concatenate([obs, action, flags], -1).astype(wide)
        return x if meta.embed is None else jax.nn.gelu(memories.dense(meta.embed, x))

    def observe(self, meta: RecurrentMeta, fast: Remembered, step: Step) -> Remembered:
        obs = self._see(meta, step.obs)
        state, y = meta.cell.step(fast.state, self._inputs(meta, step, obs, fast.before), step.born)
        return Remembered(state, memories.wide(y), obs if self.transition else None)

    def decide(self, meta: RecurrentMeta, fast: Remembered, obs: Any) -> Decision:
        if self.head == "dense":
            return self._decide(meta, fast.read, None)
        x = self._see(meta, obs)
        return self._decide(meta, jnp.broadcast_to(fast.read, (*x.shape[:-1], self.width)), x)

    def _decide(self, meta: RecurrentMeta, read: Array, obs: Array | None) -> Decision:
        """`obs`: what a hypernetwork's net reads, with the lead of `read`."""
        if isinstance(meta.policy, HyperHead):
            assert obs is not None
            return Decision(*meta.policy(read, obs), read)
        assert meta.value is not None
        return Decision(meta.policy(read), meta.value(read)[..., 0], read)

    def unroll(self, meta: RecurrentMeta, fast: Remembered, steps: Step) -> tuple[Remembered, Decision]:
        """All read-outs in one product, and within the cell whatever does not wait for the state before."""
        obs = self._see(meta, steps.obs)
        before = jnp.concatenate([fast.before[None], obs[:-1]]) if self.transition else None
        last = obs[-1] if self.transition else None
        xs, resets = self._inputs(meta, steps, obs, before), steps.born
        size = self.segment or xs.shape[0]
        if size < xs.shape[0]:
            state, ys = self._in_segments(meta, fast.state, xs, resets, size)
        else:
            state, ys = meta.cell.unroll(fast.state, xs, resets)
        ys = memories.wide(ys)
        return Remembered(state, ys[-1], last), self._decide(meta, ys, obs)

    def _in_segments(self, meta: RecurrentMeta, state: Any, xs: Array, resets: Array, size: int) -> tuple[Any, Array]:
        """Only the state at each segment's begin is kept for the gradient; the rest is computed again."""

        @jax.checkpoint
        def one(state: Any, rows: tuple[Array, Array]) -> tuple[Any, Array]:
            if self.truncate:
                state = jax.lax.stop_gradient(state)
            return meta.cell.unroll(state, *rows)

        whole = xs.shape[0] // size * size
        rows = jax.tree.map(lambda x: jnp.reshape(x[:whole], (-1, size, *x.shape[1:])), (xs, resets))
        state, ys = jax.lax.scan(one, state, rows)
        ys = jnp.reshape(ys, (whole, *ys.shape[2:]))
        if whole < xs.shape[0]:
            state, y = one(state, (xs[whole:], resets[whole:]))
            ys = jnp.concatenate([ys, y])
        return state, ys
