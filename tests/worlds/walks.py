"""The walk of `line_walk.py` as families, on the device and on the host, and an inner that uses everything."""

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import line_walk

from innerloop.core import Box, Categorical, Decision, Discrete, Inner, Plan, Spaces, Task
from innerloop.tasks.family import Family


@dataclass(frozen=True)
class HostWalk(Family):
    on_device: ClassVar[bool] = False
    make: ClassVar[Any] = staticmethod(line_walk.make)
    assign: ClassVar[Any] = staticmethod(line_walk.assign)
    name: ClassVar[str] = "line-walk"
    horizon: ClassVar[int] = 7
    episodes: ClassVar[int] = 2

    @property
    def spaces(self):
        return Spaces(Box((2,), -9.0, 9.0), Discrete(3))

    def sample(self, key, n):
        return walks([2.0] * n)


@dataclass(frozen=True)
class DeviceWalk(HostWalk):
    on_device: ClassVar[bool] = True

    def reset(self, task, key):
        return jnp.zeros(2, jnp.int32), jnp.zeros(2)

    def step(self, task, state, action, key):
        state = state + jnp.array([action - 1, 1])
        x, t = state
        return state, state.astype(jnp.float32), (x == task.params[0]).astype(jnp.float32), jnp.abs(x) == 3, t >= 7


def walks(goals, noise=0.0, faults=()):
    """One task per goal; `faults`: kinds, in the order of the tasks."""
    kinds = [1 + line_walk.KINDS.index(f) if f else 0 for f in faults] + [0] * (len(goals) - len(faults))
    params = jnp.array([[g, noise, k] for g, k in zip(goals, kinds, strict=True)], jnp.float32)
    return Task(jnp.arange(len(goals), dtype=jnp.int32), params)


class Gru(Inner):
    """A memory with a stochastic start that also learns something from every chunk."""

    plan: Plan

    @property
    def spaces(self):
        return HostWalk().spaces

    def init(self, key):
        k = jax.random.split(key)
        return eqx.nn.GRUCell(2 + 3 + 2, 8, key=k[0]), jax.random.normal(k[1], (8, 3))

    def begin(self, meta, key):
        return 0.1 * jax.random.normal(key, (self.plan.streams, 8)), jnp.zeros(8)

    def observe(self, meta, fast, step):
        memory, shift = fast
        x = [step.obs / 7, jax.nn.one_hot(step.action, 3), step.reward[:, None], step.first[:, None] * 1.0]
        return jax.vmap(meta[0])(jnp.concatenate(x, -1), memory), shift

    def decide(self, meta, fast, obs):
        h = fast[0] + fast[1][None]
        return Decision(Categorical(h @ meta[1]), h[..., 0])

    def learn(self, meta, fast, chunk, key):
        gain = jnp.sum(chunk.reward * chunk.mask) / jnp.maximum(1, jnp.sum(chunk.mask))
        return fast[0], fast[1] + 0.1 * gain * jax.random.normal(key, (8,))


def setup(plan):
    inner = Gru(plan)
    return inner, inner.init(jax.random.key(0))
