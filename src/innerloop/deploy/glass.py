"""An adapted agent seen through glass: what it would do, with nothing learned and nothing of it changed.

Not its life (`agent.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Decision, Inner, Step, select

if TYPE_CHECKING:
    from innerloop.deploy.agent import Agent


class Ahead(NamedTuple):
    """What `predict` carries from call to call, of M observations."""

    fast: Any  # leaves [M, ...]
    action: Any  # [M, 1, ...], the last
    draws: int  # so far


class Glass:
    """The jitted read-out of one inner; an agent and its copies share it."""

    def __init__(self, inner: Inner[Any, Any]):
        def look(meta: Any, fast: Any, step: Step) -> tuple[Any, Decision]:
            fast = inner.observe(meta, fast, step)
            return fast, inner.decide(meta, fast, step.obs)

        self._look = jax.jit(jax.vmap(look, (None, 0, 0)))
        self._draw = jax.jit(jax.vmap(lambda dist, key: dist.sample(key)))

    def decide(self, agent: Agent, obs: Any, episode_start: bool | None) -> Decision:
        """See `Agent.decide`."""
        agent.entered("decide")
        fast, step = _imagined(agent, agent.door.observed(obs, "decide"), episode_start)
        return jax.tree.map(lambda x: x[0, 0], self._look(agent.meta, fast, step)[1])

    def predict(
        self, agent: Agent, obs: Any, state: Ahead | None, episode_start: Any, deterministic: bool, reward: Any
    ) -> tuple[Any, Ahead]:
        """See `Agent.predict`."""
        agent.entered("predict")
        seen, batched = agent.door.batch(obs)
        count = len(jax.tree.leaves(seen)[0])
        starts = np.broadcast_to(np.asarray(state is None if episode_start is None else episode_start, bool).reshape(-1), count)
        fast, step = _imagined(agent, seen, starts)
        draws = 0
        if state is not None:
            if len(state.action) != count:
                raise ValueError(f"predict(): the state is of {len(state.action)} observations, and {count} are given.")
            no = np.zeros((count, 1), bool)
            later = Step(seen, state.action, agent.door.earned(reward, count), seen, no, no, no)
            fast, step = select(jnp.asarray(starts), (fast, step), (state.fast, later))
            draws = state.draws
        fast, decision = self._look(agent.meta, fast, step)
        if deterministic:
            actions = decision.dist.mode()
        else:
            key = jax.random.fold_in(jax.random.fold_in(agent.key, 2**31), draws)
            actions = self._draw(decision.dist, jax.random.split(key, count))
        actions = np.asarray(actions)
        out = agent.door.actions(actions[:, 0])
        return (out if batched else out[0]), Ahead(fast, actions, draws + 1)


def _imagined(agent: Agent, seen: Any, starts: Any) -> tuple[Any, Step]:
    """The fast state and the step before the next action, were these the observations [M, 1, ...]; leaves [M, ...]. `starts`:
    None (as things stand), bool or [M]: whether they begin episodes."""
    count = len(jax.tree.leaves(seen)[0])
    fast, now = agent.entry(jax.tree.map(lambda x: x[:1], seen))
    fast = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape[1:])), fast)
    step = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (count, *x.shape[1:])), now)
    first = step.first if starts is None else np.reshape(np.broadcast_to(starts, count), (count, 1)) | step.born
    inside = np.asarray(step.born | ~first)
    arrived = jax.tree.map(lambda o, a: np.where(inside.reshape(count, 1, *(1,) * (o.ndim - 2)), o, a), seen, step.arrived)
    return fast, step._replace(obs=seen, first=first, arrived=arrived)
