"""The host world: the same lives from any Gymnasium environments, stepped in worker processes or in-process.

Not jittable: a Python loop around one jitted policy step for all tasks and streams (cheaper than every callback form of
JAX) and one jitted `learn` per chunk. What crosses the boundary is `boundary.py`'s, who steps is `workers.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from jax import Array

from innerloop.core import Box, Chunk, Cursor, Discrete, Inner, Lifetime, Plan, Step, Task
from innerloop.worlds.bench import FINE, RESET_FAULT, STEP_FAULT, Bench, Layout, Slots
from innerloop.worlds.boundary import Leaf, Transition, sound, transition
from innerloop.worlds.faults import AGAIN, Fault, Ledger
from innerloop.worlds.policy import Policy, policy_of
from innerloop.worlds.record import Record
from innerloop.worlds.workers import Workers


def leaves(space: Any, path: tuple[Any, ...] = ()) -> list[Leaf]:
    """The arrays of a (nested) space, in the order of `jax.tree`."""
    if isinstance(space, Discrete):
        return [Leaf(path, (), True, 0, space.n - 1)]
    if isinstance(space, Box):
        return [Leaf(path, tuple(space.shape), False, space.low, space.high)]
    names = sorted(space) if isinstance(space, dict) else range(len(space))
    return [leaf for name in names for leaf in leaves(space[name], (*path, name))]


@dataclass(frozen=True)
class Lot:
    """The tasks of one life each, and how many slots they take: slot = row of the task × streams + stream."""

    count: int
    streams: int
    index: np.ndarray
    params: Any

    @property
    def size(self) -> int:
        """Number of slots."""
        return self.count * self.streams


class Now(NamedTuple):
    """The step before the next action, in numpy; leaves [S, ...], obs and arrived as lists of leaves."""

    obs: list[np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    arrived: list[np.ndarray]
    first: np.ndarray
    terminated: np.ndarray
    born: np.ndarray


class HostWorld:
    """Lives in the environments of a host family (core.HostTasks).

    Faulty environments never stop a life and never change its shapes: the episode is discarded (`mask` False from its
    first row in this life on), reported in `ledger`, and the slot goes on with the next seed.
    """

    jittable = False

    def __init__(self, tasks: Any, *, workers: int = 2, step_deadline: float = 60.0, reset_deadline: float = 300.0):
        """Nothing is started before the first `live`.

        Args:
            tasks: a host family. `tasks.make` and `tasks.assign` go to the workers: plain functions of a module without
                JAX (or partials of them) let these start in a fraction of a second, bound methods bring their module along.
            workers: processes; 0 steps in-process, without deadlines and without protection from crashes.
            step_deadline: seconds that one environment may take for one step.
            reset_deadline: seconds that one environment may take to be made or reset.
        """
        if workers < 0:
            raise ValueError(f"workers is {workers}; accepted: 0 for in-process stepping, or the number of processes")
        if min(step_deadline, reset_deadline) <= 0:
            raise ValueError(f"deadlines are {step_deadline} and {reset_deadline} s; accepted: positive numbers of seconds")
        self.tasks, self.workers = tasks, workers
        self.ledger = Ledger(tasks.name)
        self._deadlines = step_deadline, reset_deadline
        self._leaves = tuple(leaves(tasks.spaces.obs))
        self._action = leaves(tasks.spaces.action)[0]
        self._tree = jax.tree.structure(tasks.spaces.obs)
        self._crew: Bench | Workers | None = None
        self._policies: dict[Any, tuple[Inner, Policy]] = {}  # of inners that cannot be hashed
        self._serial = 0  # of the environments' present state; a cursor from an older one cannot be continued
        self._now: Now | None = None
        self._down = np.zeros(0, bool)
        self._due = np.zeros(0, np.int64)
        self._clock = 0

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
        metas: bool = False,
    ) -> tuple[Lifetime, Cursor]:
        """One life in each of the tasks [B]; arguments and results as `DeviceWorld.live`, `fresh` a scalar.

        A cursor can be continued only as long as no other life has been lived in this world since.
        """
        plan = inner.plan
        count = int(jax.tree.leaves(tasks)[0].shape[0])
        policy = self._policy(inner, metas, stochastic, key)
        key_inner, keys_learn, key_begin, action_keys, reset_keys = policy.keys(jax.random.split(key, count))
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
                record.write(k * plan.steps + t, Chunk(step, action, dist, log_prob, value, *crossed))
            if plan.restart:
                self._restart(slots, record, (k + 1) * plan.steps - 1)
            if learn_last or k + 1 < plan.chunks:
                fast = policy.learn(meta, fast, record.chunk(k), keys_learn[:, k])
        step = jax.tree.map(jnp.asarray, self._step(slots))
        end = Cursor(fast, jnp.full(count, self._serial, jnp.int32), step)
        return Lifetime(record.chunks(), step, key_inner, start, jnp.full(count, anew), tasks), end

    def close(self) -> None:
        """Close the environments and stop the workers; another `live` starts them again."""
        if self._crew is not None:
            self._crew.close()
        self._crew, self._now = None, None

    # -- a life's parts, all slots [S] = tasks × streams at once ------------------------------------------------------------

    def _policy(self, inner: Inner, metas: bool, stochastic: bool, key: Array) -> Policy:
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
            layout = Layout(lot.size, self.workers, self._leaves, self._action)
            if self.workers:
                self._crew = Workers(self.tasks.make, self.tasks.assign, layout, *self._deadlines)
            else:
                self._crew = Bench(self.tasks.make, self.tasks.assign, Slots(layout))
        return lot

    def _open(self, lot: Lot, reset_keys: np.ndarray) -> None:
        """New lives: assign the tasks, seed the slots and begin the first episodes."""
        crew, s = self._running_crew, lot.size
        self._serial += 1
        self.ledger.open(s)
        params = jax.tree.map(np.asarray, lot.params)
        per_task = [jax.tree.map(lambda x, b=b: x[b], params) for b in range(lot.count)]
        crew.assign([per_task[slot // lot.streams] for slot in range(s)])
        slots = crew.slots
        slots.words[:s, :2] = np.repeat(reset_keys[:, :2], lot.streams, axis=0)
        slots.words[:s, 2] = np.tile(np.arange(lot.streams), lot.count)
        slots.episode[:s] = 0
        self._down, self._due = np.zeros(s, bool), np.zeros(s, np.int64)
        obs = [np.zeros((s, *leaf.shape), leaf.dtype) for leaf in self._leaves]
        self._begin(lot, np.ones(s, bool), obs)
        obs = self._kept(obs)
        action = np.zeros((s, *self._action.shape), slots.action.dtype)
        no, yes = np.zeros(s, bool), np.ones(s, bool)
        self._now = Now(obs, action, np.zeros(s, np.float32), obs, yes, no, yes)

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
    def _running_crew(self) -> Bench | Workers:
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

    def _advance(self, lot: Lot, record: Record, row: int, action: np.ndarray) -> tuple[Any, ...]:
        """Step all environments; the rest of the row, from `reward` to `mask`, leaves [B, N, ...]."""
        crew, before, s = self._running_crew, self._now, lot.size
        assert before is not None
        slots = crew.slots
        action = action.reshape(s, *self._action.shape)
        slots.action[:s] = action
        slots.todo[:s] = ~self._down
        slots.todo[s:] = False
        crew.step()
        # Copies: the slots' arrays are written again at the next step, and JAX may keep what it is given.
        obs, final = [o[:s].copy() for o in slots.obs], [o[:s] for o in slots.final]
        flags = slots.terminated[:s], slots.truncated[:s]
        got = transition(AutoresetMode.SAME_STEP, obs, final, slots.reward[:s], *flags, before.first)
        faults, unborn = self._examine(s, got)
        if faults or unborn or self._down.any():
            self._quarantine(lot, record, row, before, got, faults, unborn)
        got = got._replace(obs=self._kept(got.obs), arrived=self._kept(got.arrived))
        self._now = Now(got.obs, action, got.reward, got.arrived, got.first, got.terminated, np.zeros(s, bool))
        self._clock += 1
        ended = np.flatnonzero(got.first)
        record.began[ended] = row + 1
        self.ledger.clean(ended[got.mask[ended]])
        fields = (got.reward, got.terminated, got.truncated)
        lead = [x.reshape(lot.count, lot.streams) for x in fields]
        arrived = jax.tree.unflatten(self._tree, [o.reshape(lot.count, lot.streams, *o.shape[1:]) for o in got.arrived])
        return *lead, arrived, got.mask.reshape(lot.count, lot.streams)

    def _kept(self, obs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Leaves in the types that lives have: float32 and int32."""
        return [o.astype(np.int32) if leaf.discrete else o for leaf, o in zip(self._leaves, obs, strict=True)]

    def _restart(self, lot: Lot, record: Record, row: int) -> None:
        """`plan.restart`: every episode that is under way ends here by truncation, and another begins."""
        now, slots, s = self._now, self._running_crew.slots, lot.size
        assert now is not None
        record.cut(row, now.terminated.reshape(lot.count, lot.streams))
        which = ~now.first & ~self._down  # whoever ended in the last row has just begun anew
        self.ledger.clean(which)
        slots.episode[:s][which] += 1
        obs = [o.astype(leaf.dtype) for leaf, o in zip(self._leaves, now.obs, strict=True)]
        self._begin(lot, which, obs)
        self._now = now._replace(obs=self._kept(obs), first=np.ones(s, bool))
        record.began[:] = row + 1

    # -- faults ---------------------------------------------------------------------------------------------------------

    def _examine(self, s: int, got: Transition) -> tuple[dict[int, str], dict[int, str]]:
        """Slots whose step failed, and slots whose next episode failed to begin, with the reasons."""
        slots = self._running_crew.slots
        status = slots.status[:s]
        wrong = sound(self._leaves, got.arrived, got.reward)
        unsound = sound(self._leaves, got.obs) if got.first.any() else {}
        if not (status.any() or wrong or unsound):
            return {}, {}
        faults, unborn = {}, {}
        for i in np.flatnonzero(~self._down).tolist():
            if status[i] == STEP_FAULT:
                faults[i] = slots.reason(i)
            elif i in wrong:
                faults[i] = wrong[i]
            elif status[i] == RESET_FAULT:
                unborn[i] = slots.reason(i)
            elif got.first[i] and i in unsound:
                unborn[i] = unsound[i]
        return faults, unborn

    def _quarantine(
        self, lot: Lot, record: Record, row: int, before: Now, got: Transition, faults: dict[int, str], unborn: dict[int, str]
    ) -> None:
        """Put finite dummies where there is no transition, discard the episodes, and begin others."""
        slots, renew = self._running_crew.slots, np.zeros(lot.size, bool)
        self.ledger.discarded += int(self._down.sum())
        for i in [*faults, *np.flatnonzero(self._down)]:
            for arrived, obs, last in zip(got.arrived, got.obs, before.obs, strict=True):
                arrived[i] = obs[i] = last[i]
            got.reward[i], got.terminated[i], got.truncated[i], got.first[i], got.mask[i] = 0.0, False, True, True, False
        for i, reason in faults.items():
            self.ledger.discarded += record.discard(i, row)
            self._report(lot, i, reason)
            renew[i] = True
        for i, reason in unborn.items():
            for arrived, obs in zip(got.arrived, got.obs, strict=True):
                obs[i] = arrived[i]
            self._report(lot, i, reason)
            renew[i] = True
        renew |= self._down & (self._due <= self._clock)
        slots.episode[: lot.size][renew] += 1
        slots.remake[: lot.size][renew] = True
        self._begin(lot, renew, got.obs)

    def _begin(self, lot: Lot, which: np.ndarray, obs: list[np.ndarray]) -> None:
        """Begin the current episode of some slots, into `obs`. Who fails tries the next episode on a new environment; who
        fails again and again is down, and tried again later, after twice as many steps each time."""
        crew, s = self._running_crew, lot.size
        slots, which = crew.slots, which.copy()
        for _ in range(AGAIN):
            if not which.any():
                break
            slots.todo[:s], slots.todo[s:] = which, False
            crew.reset()
            unsound = sound(self._leaves, [o[:s] for o in slots.obs])
            bad = {i: slots.reason(i) for i in np.flatnonzero(which & (slots.status[:s] != FINE)).tolist()}
            bad = {i: why for i, why in unsound.items() if which[i]} | bad
            good = which.copy()
            good[list(bad)] = False
            for mine, theirs in zip(obs, slots.obs, strict=True):
                mine[good] = theirs[:s][good]
            self._down[good] = False
            which &= ~good
            for i, reason in bad.items():
                self._report(lot, i, reason)
                slots.episode[i] += 1
                slots.remake[i] = True
        self._down |= which
        self._due[which] = self._clock + (2 ** np.minimum(self.ledger.fails[which], 20)).astype(np.int64)
        self.ledger.check()

    def _report(self, lot: Lot, slot: int, reason: str) -> None:
        row, stream = divmod(slot, lot.streams)
        episode = int(self._running_crew.slots.episode[slot])
        self.ledger.record(slot, Fault(self.tasks.name, row, int(lot.index[row]), stream, episode, reason))
