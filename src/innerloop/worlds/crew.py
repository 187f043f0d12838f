"""Lives on the host: what all worlds share whose environments are stepped outside JAX.

Not jittable: a Python loop around one jitted policy step for all tasks and streams (cheaper than every callback form of
JAX) and one jitted `learn` per chunk. Who steps is the crew's: `host.py` and `mujoco.py` bring one each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from jax import Array

from innerloop.core import Box, Chunk, Cursor, Discrete, Inner, Lifetime, Plan, Step, Task
from innerloop.core.life import each_key
from innerloop.worlds.bench import Layout
from innerloop.worlds.boundary import Leaf, transition
from innerloop.worlds.faults import Fault, Ledger
from innerloop.worlds.policy import Policy, policy_of
from innerloop.worlds.quarantine import Crew, Lot, Quarantine
from innerloop.worlds.record import Record


def leaves(space: Any, path: tuple[Any, ...] = ()) -> list[Leaf]:
    """The arrays of a (nested) space, in the order of `jax.tree`."""
    if isinstance(space, Discrete):
        return [Leaf(path, (), True, 0, space.n - 1)]
    if isinstance(space, Box):
        return [Leaf(path, tuple(space.shape), False, space.low, space.high, space.dtype)]
    names = sorted(space) if isinstance(space, dict) else range(len(space))
    return [leaf for name in names for leaf in leaves(space[name], (*path, name))]


class Now(NamedTuple):
    """The step before the next action, in numpy; leaves [S, ...], obs and arrived as lists of leaves."""

    obs: list[np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    arrived: list[np.ndarray]
    first: np.ndarray
    terminated: np.ndarray
    born: np.ndarray
    episode: np.ndarray  # episodes that have ended in the trial under way


class CrewWorld(ABC):
    """Lives in environments that a crew steps.

    Faulty environments never stop a life and never change its shapes: the episode is discarded (`mask` False from its
    first row in this life on), reported in `ledger`, and the slot goes on with the next seed.
    """

    jittable = False

    def __init__(self, tasks: Any, workers: int):
        """`tasks`: a family; `workers`: processes or threads that the crew may use. Nothing is started before `live`."""
        if workers < 0:
            raise ValueError(f"workers is {workers}; accepted: 0 for in-process stepping, or the number of workers")
        self.tasks, self.workers = tasks, workers
        self._leaves = tuple(leaves(tasks.spaces.obs))
        self._action = leaves(tasks.spaces.action)[0]
        self._tree = jax.tree.structure(tasks.spaces.obs)
        self._quarantine = Quarantine(tasks.name, self._leaves)
        self._crew: Crew | None = None
        self._policies: dict[Any, tuple[Inner, Policy]] = {}  # of inners that cannot be hashed
        self._serial = 0  # of the environments' present state; a cursor from an older one cannot be continued
        self._now: Now | None = None

    @abstractmethod
    def _hire(self, layout: Layout) -> Crew:
        """A crew for so many slots."""

    @property
    def ledger(self) -> Ledger:
        """The faults, counted."""
        return self._quarantine.ledger

    @property
    def faults(self) -> list[Fault]:
        """The last thousand faults."""
        return list(self.ledger.faults)

    def live(
        self,
        inner: Inner,
        meta: Any,
        tasks: Task,
        key: Array,
        cursor: Cursor | None = None,
        fresh: Array | bool = True,
        *,
        learn_last: bool = True,
        stochastic: bool = True,
        metas: Any = None,
    ) -> tuple[Lifetime, Cursor]:
        """One life in each of the tasks [B]; arguments and results as `DeviceWorld.live`, `fresh` a scalar.

        A cursor can be continued only as long as no other life has been lived in this world since.
        """
        plan = inner.plan
        count = int(jax.tree.leaves(tasks)[0].shape[0])
        policy = self._policy(inner, metas, stochastic, key)
        key_inner, keys_learn, key_begin, action_keys, reset_keys = policy.keys(each_key(key, count))
        fast = policy.begin(meta, key_begin)
        action_keys = np.asarray(action_keys)
        slots = self._slots(tasks, plan)
        anew = cursor is None or bool(fresh)
        if anew:
            self._open(slots, np.asarray(reset_keys))
        else:
            assert cursor is not None
            self._resume(slots, cursor)
            fast = cursor.fast
        start, record = fast, Record(plan, count)
        for k in range(plan.chunks):
            for t in range(plan.steps):
                step = self._step(slots)
                fast, action, dist, log_prob, value = policy.act(meta, fast, step, action_keys[:, k, t])
                action = np.asarray(action)
                crossed = self._advance(slots, record, k * plan.steps + t, action)
                self._end_trials(plan.episodes)
                record.write(k * plan.steps + t, Chunk(step, action, dist, log_prob, value, *crossed), self._told(slots))
            if plan.restart:
                self._restart(slots, record, (k + 1) * plan.steps - 1)
            if learn_last or k + 1 < plan.chunks:
                fast = policy.learn(meta, fast, record.chunk(k), keys_learn[:, k])
        step = jax.tree.map(jnp.asarray, self._step(slots))
        assert self._now is not None
        episode = jnp.asarray(self._now.episode.reshape(count, -1))
        end = Cursor(fast, jnp.full(count, self._serial, jnp.int32), step, episode)
        return Lifetime(record.chunks(), step, key_inner, start, jnp.full(count, anew), tasks, record.told()), end

    def close(self) -> None:
        """Close the environments and stop the workers; another `live` starts them again."""
        if self._crew is not None:
            self._crew.close()
        self._crew, self._now = None, None

    # -- a life's parts, all slots [S] = tasks × streams at once ------------------------------------------------------------

    def _policy(self, inner: Inner, metas: Any, stochastic: bool, key: Array) -> Policy:
        options = metas, stochastic, str(jax.random.key_impl(key))
        try:
            return policy_of(inner, *options)
        except TypeError:  # not hashable: an inner with arrays among its fields
            name = (id(inner), *options)
            if name not in self._policies:
                self._policies[name] = inner, Policy(inner, *options)
            return self._policies[name][1]

    def _slots(self, tasks: Task, plan: Plan) -> Lot:
        index = np.asarray(tasks.index)
        lot = Lot(len(index), plan.streams, index, tasks.params)
        if self._crew is None or self._crew.slots.layout.size < lot.size:
            self.close()
            self._crew = self._hire(Layout(lot.size, self.workers, self._leaves, self._action, self.tasks.told))
        return lot

    def _open(self, lot: Lot, reset_keys: np.ndarray) -> None:
        """New lives: assign the tasks, seed the slots and begin the first episodes."""
        crew, s = self._running_crew, lot.size
        self._serial += 1
        self._quarantine.open(s)
        params = jax.tree.map(np.asarray, lot.params)
        per_task = [jax.tree.map(lambda x, b=b: x[b], params) for b in range(lot.count)]
        crew.assign([per_task[slot // lot.streams] for slot in range(s)])
        slots = crew.slots
        slots.words[:s, :2] = np.repeat(reset_keys[:, :2], lot.streams, axis=0)
        slots.words[:s, 2] = np.tile(np.arange(lot.streams), lot.count)
        slots.episode[:s] = 0
        obs = [np.zeros((s, *leaf.shape), leaf.dtype) for leaf in self._leaves]
        self._quarantine.begin(crew, lot, np.ones(s, bool), obs)
        obs = self._kept(obs)
        action = np.zeros((s, *self._action.shape), slots.action.dtype)
        no, yes = np.zeros(s, bool), np.ones(s, bool)
        self._now = Now(obs, action, np.zeros(s, np.float32), obs, yes, no, yes, np.zeros(s, np.int32))

    def _resume(self, lot: Lot, cursor: Cursor) -> None:
        """Go on from where this world's environments stand."""
        if self._now is None or int(np.asarray(cursor.world).flat[0]) != self._serial or len(self._now.first) != lot.size:
            raise ValueError(
                "this cursor's environments are gone: host environments stand where the last life left them, and another "
                "life was lived in this world since; pass cursor=None to begin anew, or use one world for each"
            )
        self._serial += 1
        self.ledger.open(lot.size)

    @property
    def _running_crew(self) -> Crew:
        assert self._crew is not None
        return self._crew

    def _step(self, lot: Lot) -> Step:
        """What the policy sees next, leaves [B, N, ...]."""
        assert self._now is not None

        def lead(x: np.ndarray) -> np.ndarray:
            return x.reshape(lot.count, lot.streams, *x.shape[1:])

        now = self._now._replace(obs=[lead(o) for o in self._now.obs], arrived=[lead(o) for o in self._now.arrived])
        obs, arrived = jax.tree.unflatten(self._tree, now.obs), jax.tree.unflatten(self._tree, now.arrived)
        rest = [lead(x) for x in (now.action, now.reward, now.first, now.terminated, now.born)]
        return Step(obs, rest[0], rest[1], arrived, *rest[2:])

    def _told(self, lot: Lot) -> np.ndarray:
        """What `info` said of the step just done, [B, N, M]."""
        return self._running_crew.slots.told[: lot.size].reshape(lot.count, lot.streams, -1)

    def _advance(self, lot: Lot, record: Record, row: int, action: np.ndarray) -> tuple[Any, ...]:
        """Step all environments; the rest of the row, from `reward` to `mask`, leaves [B, N, ...].

        An action that is not finite is a fault of the policy's, not of its environment: that is told 0, and the reward is
        NaN, as on the device. So the task's gradient is masked and counted, or its evaluation incomplete.
        """
        crew, before, s = self._running_crew, self._now, lot.size
        assert before is not None
        slots = crew.slots
        action = action.reshape(s, *self._action.shape)
        sane = np.isfinite(action.reshape(s, -1)).all(1)
        slots.action[:s] = action if sane.all() else np.where(sane.reshape(-1, *(1,) * len(self._action.shape)), action, 0)
        slots.todo[:s] = ~self._quarantine.down
        slots.todo[s:] = False
        crew.step()
        # Copies: the slots' arrays are written again at the next step, and JAX may keep what it is given.
        obs, final = [o[:s].copy() for o in slots.obs], [o[:s] for o in slots.final]
        flags = slots.terminated[:s], slots.truncated[:s]
        got = transition(AutoresetMode.SAME_STEP, obs, final, slots.reward[:s], *flags, before.first)
        faults, unborn = self._quarantine.examine(crew, s, got)
        if faults or unborn or self._quarantine.down.any():
            self._quarantine.isolate(crew, lot, record, row, before.obs, got, faults, unborn)
        reward = got.reward if sane.all() else np.where(sane, got.reward, np.nan)
        got = got._replace(obs=self._kept(got.obs), arrived=self._kept(got.arrived), reward=reward)
        episode = before.episode + got.first
        self._now = Now(got.obs, action, got.reward, got.arrived, got.first, got.terminated, np.zeros(s, bool), episode)
        self._quarantine.tick()
        ended = np.flatnonzero(got.first)
        record.began[ended] = row + 1
        self.ledger.clean(ended[got.mask[ended]])
        fields = (got.reward, got.terminated, got.truncated)
        lead = [x.reshape(lot.count, lot.streams) for x in fields]
        arrived = jax.tree.unflatten(self._tree, [o.reshape(lot.count, lot.streams, *o.shape[1:]) for o in got.arrived])
        return *lead, arrived, got.mask.reshape(lot.count, lot.streams)

    def _end_trials(self, episodes: int) -> None:
        """Where a trial's last episode has just ended, nothing lies behind the next step."""
        now = self._now
        assert now is not None
        over = now.first & (now.episode >= episodes) if episodes else np.zeros_like(now.first)
        if over.any():

            def put(value: np.ndarray, x: np.ndarray) -> np.ndarray:
                return np.where(over.reshape(-1, *(1,) * (x.ndim - 1)), value, x)

            none = [put(np.zeros((), x.dtype), x) for x in (now.action, now.reward, now.terminated, now.episode)]
            fields = dict(zip(("action", "reward", "terminated", "episode"), none, strict=True))
            self._now = now._replace(**fields, arrived=[put(*x) for x in zip(now.obs, now.arrived, strict=True)], born=over)

    def _kept(self, obs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Leaves in the types that lives have: float32, uint8 and int32."""
        return [o.astype(np.int32) if leaf.discrete else o for leaf, o in zip(self._leaves, obs, strict=True)]

    def _restart(self, lot: Lot, record: Record, row: int) -> None:
        """`plan.restart`: every episode that is under way ends here by truncation, and another begins."""
        now, slots, s = self._now, self._running_crew.slots, lot.size
        assert now is not None
        record.cut(row, now.terminated.reshape(lot.count, lot.streams))
        which = ~now.first & ~self._quarantine.down  # whoever ended in the last row has just begun anew
        self.ledger.clean(which)
        slots.episode[:s][which] += 1
        obs = [o.astype(leaf.dtype) for leaf, o in zip(self._leaves, now.obs, strict=True)]
        self._quarantine.begin(self._running_crew, lot, which, obs)
        self._now = now._replace(obs=self._kept(obs), first=np.ones(s, bool))
        record.began[:] = row + 1
