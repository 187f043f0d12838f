"""RL²: the inner loop is a memory (Duan et al. 2016; Wang et al. 2016).

Not a learner: `learn` changes nothing; all adaptation is in what the memory has seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Decision, Inner, Lifetime, Plan, Spaces, Step
from innerloop.core.spaces import encode, width
from innerloop.nets.layers import Dense, Head
from innerloop.nets.memory import GRU
from innerloop.nets.moments import Moments


class RecurrentMeta(NamedTuple):
    """Parameters of RL²."""

    cell: GRU
    policy: Head
    value: Dense
    obs: Moments | None = None  # statistics of observations and rewards, where the inner normalises
    reward: Moments | None = None


class Recurrent(Inner[RecurrentMeta, Array]):
    """A GRU fed with observation, previous action, previous reward and the episode-begins flag; Fast is the memory [N, H],
    empty on entering a task and never reset between its episodes."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    width: int = eqx.field(static=True, default=64)  # H; the paper's GRU has 256
    reward_scale: float = eqx.field(static=True, default=1.0)  # multiplies the reward that is fed in
    normalise: bool = eqx.field(static=True, default=False)  # observations and rewards, by their running statistics
    std: float = eqx.field(static=True, default=0.5)  # initial, in units of the action space; Box actions only

    def init(self, key: Array) -> RecurrentMeta:
        key_cell, key_policy, key_value = jax.random.split(key, 3)
        inputs = width(self.spaces.obs) + width(self.spaces.action) + 3
        return RecurrentMeta(
            GRU.init(key_cell, inputs, self.width),
            Head.init(key_policy, self.width, self.spaces.action, scale=0.1, std=self.std),
            Dense.init(key_value, self.width, 1, scale=0.1),
            Moments.empty(width(self.spaces.obs)) if self.normalise else None,
            Moments.empty(1) if self.normalise else None,
        )

    def begin(self, meta: RecurrentMeta, key: Array) -> Array:
        return meta.cell.empty((self.plan.streams,))

    def absorb(self, meta: RecurrentMeta, lives: Lifetime) -> RecurrentMeta:
        if meta.obs is None or meta.reward is None:
            return meta
        rows = lives.chunks
        obs = meta.obs.absorb(encode(self.spaces.obs, rows.step.obs), rows.mask)
        return meta._replace(obs=obs, reward=meta.reward.absorb(rows.reward[..., None], rows.mask))

    def _inputs(self, meta: RecurrentMeta, step: Step) -> Array:
        obs, reward = encode(self.spaces.obs, step.obs), step.reward * self.reward_scale
        if meta.obs is not None and meta.reward is not None:
            obs, reward = meta.obs.standardise(obs), reward / meta.reward.std()[0]
        born = step.born[..., None]
        action = jnp.where(born, 0.0, encode(self.spaces.action, step.action))
        flags = jnp.stack([reward, step.first, step.terminated], -1).astype(jnp.float32)
        return jnp.concatenate([obs, action, flags], -1)

    def observe(self, meta: RecurrentMeta, fast: Array, step: Step) -> Array:
        return meta.cell.step(fast, meta.cell.project(self._inputs(meta, step)))

    def decide(self, meta: RecurrentMeta, fast: Array, obs: Any) -> Decision:
        return Decision(meta.policy(fast), meta.value(fast)[..., 0])

    def unroll(self, meta: RecurrentMeta, fast: Array, steps: Step) -> tuple[Array, Decision]:
        """All input projections and read-outs in one product each; only the recurrence is scanned."""

        def one(h: Array, x: Array) -> tuple[Array, Array]:
            h = meta.cell.step(h, x)
            return h, h

        fast, memories = jax.lax.scan(one, fast, meta.cell.project(self._inputs(meta, steps)))
        return fast, self.decide(meta, memories, steps.obs)
