"""A bench: environments in a row, stepped one after the other into arrays of fixed shape.

Not a process: the arrays may be ordinary memory (`HostWorld(workers=0)`) or shared with a worker (`workers.py`). Free of JAX.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from innerloop.worlds.boundary import Leaf, Misfit, admit, flag, number

STEP, RESET, MAKE = 0, 1, 2  # what a bench is doing, in `Slots.beat`
FINE, STEP_FAULT, RESET_FAULT = 0, 1, 2  # `Slots.status`
TEXT = 200  # bytes of a fault's description


class Layout(NamedTuple):
    """What determines the arrays: number of slots and of workers, the leaves of observations, the action, and the numbers in
    `info` that are asked for."""

    size: int
    workers: int
    obs: tuple[Leaf, ...]
    action: Leaf
    told: tuple[str, ...] = ()


class Slots:
    """The arrays that a bench and its owner share; a slot is one environment."""

    def __init__(self, layout: Layout, memory: Any = None):
        """`memory`: a writable buffer of `Slots.nbytes(layout)`; None allocates."""
        self.layout = layout
        views, total = self._plan(layout)
        raw = np.zeros(total, np.uint8) if memory is None else np.frombuffer(memory, np.uint8, total)

        def view(at: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
            nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
            return raw[at : at + nbytes].view(dtype).reshape(shape)

        arrays = [view(*v) for v in views]
        # Written by the owner:
        self.words = arrays[0]  # uint32 [S, 3]: the task's key and the stream, from which seeds come
        self.episode = arrays[1]  # int64 [S]: number of the episode in this life (a bench counts on at every autoreset)
        self.todo = arrays[2]  # bool [S]: which slots the next command is for
        self.remake = arrays[3]  # bool [S]: reset on a new environment; the old one is not to be trusted
        self.action = arrays[4]
        # Written by the bench:
        self.reward = arrays[5]
        self.terminated, self.truncated = arrays[6], arrays[7]
        self.status = arrays[8]  # uint8 [S]
        self.text = arrays[9]  # uint8 [S, TEXT]
        self.beat = arrays[10]  # int64 [W, 3]: command number, slot, activity; how the owner knows who hangs
        self.told = arrays[11]  # float32 [S, M], of `info`
        rest = arrays[12:]
        self.obs: list[np.ndarray] = rest[: len(layout.obs)]
        self.final: list[np.ndarray] = rest[len(layout.obs) :]

    @staticmethod
    def _plan(layout: Layout) -> tuple[list[tuple[int, tuple[int, ...], Any]], int]:
        s = layout.size
        action = np.int32 if layout.action.discrete else np.float32
        fields: list[tuple[tuple[int, ...], Any]] = [((s, 3), np.uint32), ((s,), np.int64), ((s,), bool), ((s,), bool)]
        fields += [((s, *layout.action.shape), action), ((s,), np.float32), ((s,), bool), ((s,), bool)]
        fields += [((s,), np.uint8), ((s, TEXT), np.uint8), ((max(1, layout.workers), 3), np.int64)]
        fields += [((s, len(layout.told)), np.float32)]
        fields += [((s, *leaf.shape), leaf.dtype) for leaf in layout.obs] * 2
        views, at = [], 0
        for shape, dtype in fields:
            views.append((at, shape, dtype))
            at += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // 64) * 64
        return views, at

    @classmethod
    def nbytes(cls, layout: Layout) -> int:
        """Size of the memory that `layout` needs."""
        return cls._plan(layout)[1]

    def seed(self, slot: int) -> int:
        """The seed of the slot's current episode: a counter hashed, so that who resets, when and where does not matter."""
        a, b, stream = self.words[slot].tolist()
        packed = struct.pack("<IIIq", a, b, stream, int(self.episode[slot]))
        return int.from_bytes(hashlib.blake2s(packed, digest_size=4).digest(), "little") >> 1

    def fail(self, slot: int, status: int, reason: str) -> None:
        """Write down a fault."""
        self.status[slot] = status
        raw = reason.encode("utf-8", "replace")[:TEXT]
        self.text[slot] = 0
        self.text[slot, : len(raw)] = np.frombuffer(raw, np.uint8)

    def reason(self, slot: int) -> str:
        """The fault written down last."""
        return self.text[slot].tobytes().rstrip(b"\0").decode("utf-8", "replace")


class Bench:
    """The environments of slots `worker`, `worker` + W, … of W workers."""

    def __init__(self, make: Callable[[], Any], assign: Callable[[Any, Any], None], slots: Slots, worker: int = 0):
        self.make, self.assign_task, self.slots = make, assign, slots
        self.mine = range(worker, slots.layout.size, max(1, slots.layout.workers))
        self.beat = slots.beat[worker]
        self.envs: dict[int, Any] = {}
        self.params: Sequence[Any] = ()

    def assign(self, params: Sequence[Any]) -> None:
        """The task of every slot (those beyond its length stay unused); environments are made when first reset."""
        self.params = params
        for i, env in self.envs.items():
            if i < len(params):
                self.assign_task(env, params[i])

    def _fresh(self, i: int) -> Any:
        """The slot's environment, with its task; made if there is none or the old one is not to be trusted."""
        env = self.envs.get(i)
        if env is None or self.slots.remake[i]:
            self.beat[1:] = i, MAKE
            self.envs.pop(i, None)
            if env is not None:
                try:
                    env.close()
                except Exception:
                    pass
            env = self.make()
            self.assign_task(env, self.params[i])
            self.envs[i] = env
            self.slots.remake[i] = False
        return env

    def _begin(self, i: int, env: Any) -> None:
        self.beat[1:] = i, RESET
        slots = self.slots
        obs, _ = env.reset(seed=slots.seed(i))
        for leaf, out in zip(slots.layout.obs, slots.obs, strict=True):
            admit(leaf, obs, out[i])

    def reset(self) -> None:
        """Begin the current episode of every slot that is to do so."""
        slots = self.slots
        with np.errstate(all="ignore"):
            for i in self.mine:
                if slots.todo[i]:
                    slots.status[i] = FINE
                    try:
                        self._begin(i, self._fresh(i))
                    except (Exception, SystemExit) as error:  # whatever a user's environment may raise
                        slots.fail(i, RESET_FAULT, describe(error))

    def step(self) -> None:
        """One step, and the next episode's reset where one ended (SAME_STEP)."""
        slots, beat, envs = self.slots, self.beat, self.envs
        mine = slice(self.mine.start, None, self.mine.step)
        todo, actions = slots.todo[mine].tolist(), slots.action[mine].copy()
        if slots.layout.action.discrete:
            actions = actions.tolist()
        obs_out, final_out, leaves = slots.obs, slots.final, slots.layout.obs
        pairs = list(zip(leaves, obs_out, strict=True))
        single = obs_out[0] if len(leaves) == 1 and not leaves[0].path and not leaves[0].discrete else None
        shape, kinds = leaves[0].shape, "B" if leaves[0].real == "uint8" else "efdg"  # numpy's characters of types
        told = list(enumerate(slots.layout.told))
        slots.status[mine] = FINE
        beat[2] = STEP
        with np.errstate(all="ignore"):
            for j, i in enumerate(self.mine):
                if not todo[j]:
                    continue
                beat[1] = i
                fault = STEP_FAULT
                try:
                    obs, reward, terminated, truncated, info = envs[i].step(actions[j])
                    for m, name in told:
                        if name not in info:
                            raise Misfit(f"info has no number {name!r}")
                        slots.told[i, m] = number(info[name], name)
                    if single is not None and type(obs) is np.ndarray and obs.shape == shape and obs.dtype.char in kinds:
                        single[i] = obs
                    else:
                        for leaf, out in pairs:
                            admit(leaf, obs, out[i])
                    slots.reward[i] = number(reward)
                    slots.terminated[i] = terminated = flag(terminated, "terminated")
                    slots.truncated[i] = truncated = flag(truncated, "truncated")
                    if terminated or truncated:
                        for out, last in zip(obs_out, final_out, strict=True):
                            last[i] = out[i]
                        slots.episode[i] += 1
                        fault = RESET_FAULT
                        self._begin(i, envs[i])
                except (Exception, SystemExit) as error:  # whatever a user's environment may raise
                    slots.fail(i, fault, describe(error))
                if fault == RESET_FAULT:
                    beat[2] = STEP

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs.values():
            try:
                env.close()
            except Exception:
                pass
        self.envs.clear()


def describe(error: BaseException) -> str:
    """A fault's reason in one line."""
    return str(error) if isinstance(error, Misfit) else f"raised {type(error).__name__}: {error}"
