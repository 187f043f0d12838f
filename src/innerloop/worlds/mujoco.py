"""The native world: lives of robots in MuJoCo, one `mujoco.rollout` call per control step for all tasks and streams.

Not the life (`crew.py`), nor any robot (`tasks/robot.py`): this holds the states of a batch and has them stepped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from innerloop.tasks.robot import AWAKE, UNSTABLE, Motion, Robot, stacked
from innerloop.worlds.bench import FINE, STEP_FAULT, Layout, Slots
from innerloop.worlds.crew import CrewWorld
from innerloop.worlds.quarantine import Crew

_CONTROL = int(mujoco.mjtState.mjSTATE_CTRL)
_STATE = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)  # time, qpos, qvel (and activations, which these robots have none of)


class MujocoWorld(CrewWorld):
    """Lives of a family whose `native` is a `Robot`. The same lives as `HostWorld`'s, in this process, at a multiple of the
    speed. A simulation that diverges is a fault like any other; a crash of MuJoCo itself would take the process along."""

    def __init__(self, tasks: Any, *, workers: int = 2):
        """Nothing is started before the first `live`.

        Args:
            tasks: a family with a `native` robot.
            workers: threads in which MuJoCo steps; 0 and 1 step in the calling thread.
        """
        if tasks.native is None:
            raise ValueError(f"{tasks.name} cannot be stepped natively: its `native` is None; use a HostWorld")
        super().__init__(tasks, workers)

    def _hire(self, layout: Layout) -> Crew:
        return Fleet(self.tasks.native, Slots(layout), self.workers)


class Fleet:
    """The robots of all slots; the same verbs, arrays and seeds as a `Bench`'s."""

    def __init__(self, robot: Robot, slots: Slots, threads: int = 0):
        self.robot, self.slots = robot, slots
        self._datas = [mujoco.MjData(robot.model) for _ in range(max(1, threads))]
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)
        self._nq, self._limit = robot.model.nq, robot.limit
        self._count = 0  # slots in use: the first so many
        self._models: list[mujoco.MjModel] = []
        self._params: Any = None

    def assign(self, params: Sequence[Any]) -> None:
        """The task of every slot. What `rollout` would check at every call is true by construction: one model of equal
        sizes per slot, C-contiguous float64 arrays, one MjData per thread."""
        robot, n = self.robot, len(params)
        known: dict[int, mujoco.MjModel] = {}
        for p in params:  # streams of a task share its parameters, and its model
            if id(p) not in known:
                known[id(p)] = robot.model_of(p)
        self._count, self._models, self._params = n, [known[id(p)] for p in params], stacked(params)
        model = robot.model
        self._rest = np.concatenate([[AWAKE], model.qpos0, np.zeros(model.nv)])
        width = len(self._rest)
        assert {mujoco.mj_stateSize(m, _STATE) for m in known.values()} == {width}
        self._state = np.tile(self._rest, (n, 1))
        self._path = np.zeros((n, robot.skip, width))  # every simulator step of a control step
        self._control = np.zeros((n, robot.skip, model.nu))
        self._elapsed = np.zeros(n, np.int64)
        self._sensed = self._look(self._state, self._control[:, 0]).sensed

    def reset(self) -> None:
        """Begin the current episode of every slot that is to do so."""
        which = np.flatnonzero(self.slots.todo[: self._count])
        self.slots.status[which] = FINE
        self._begin(which)

    def step(self) -> None:
        """One step, and the next episode's reset where one ended (SAME_STEP)."""
        robot, slots, n = self.robot, self.slots, self._count
        action = robot.admitted(slots.action[:n])
        np.multiply(action[:, None], self._limit, out=self._control)
        self._state[:, 0] = AWAKE
        self._rollout.rollout(
            self._models,
            self._datas,
            self._state,
            self._control,
            control_spec=_CONTROL,
            skip_checks=True,
            nstep=robot.skip,
            state=self._path,
        )
        before, self._state = Motion(*self._split(self._state), self._sensed), self._path[:, -1].copy()
        with np.errstate(all="ignore"):
            after = self._look(self._state, self._control[:, -1])
            slots.reward[:n] = robot.reward(before, after, action, self._params)
            slots.obs[0][:n] = robot.observation(after, self._params)
            slots.terminated[:n] = robot.fallen(after)
        self._sensed = after.sensed
        self._elapsed += 1
        slots.truncated[:n] = self._elapsed >= robot.length
        slots.status[:n] = FINE
        whole = robot.whole(self._state[:, 0])
        ended = (slots.terminated[:n] | slots.truncated[:n]) & slots.todo[:n] & whole
        if not whole.all():
            self._stop(np.flatnonzero(~whole))
        if ended.any():
            which = np.flatnonzero(ended)
            slots.final[0][which] = slots.obs[0][which]
            slots.episode[which] += 1
            self._begin(which)

    def close(self) -> None:
        """Stop the threads."""
        self._rollout.close()

    def _split(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return state[:, 1 : 1 + self._nq], state[:, 1 + self._nq :]

    def _look(self, state: np.ndarray, control: np.ndarray) -> Motion:
        qpos, qvel = self._split(state)
        return Motion(qpos, qvel, self.robot.sense(qpos, qvel, control))

    def _begin(self, which: np.ndarray) -> None:
        """New episodes for slots [W]."""
        slots = self.slots
        qpos, qvel = self._split(self._state)
        for i in which.tolist():
            qpos[i], qvel[i] = self.robot.start(np.random.Generator(np.random.PCG64(slots.seed(i))))  # Gymnasium's generator
        self._elapsed[which] = 0
        slots.obs[0][which] = self.robot.observation(self._placed(which), _rows(self._params, which))

    def _stop(self, which: np.ndarray) -> None:
        """These slots' simulations diverged: lay the robots to rest, where they cannot again."""
        for i in which.tolist():
            if self.slots.todo[i]:
                self.slots.fail(i, STEP_FAULT, UNSTABLE)
        self._state[which] = self._rest
        self._placed(which)

    def _placed(self, which: np.ndarray) -> Motion:
        """Where slots stand whose state was set; brings what is sensed up to date."""
        motion = self._look(self._state[which], np.zeros((len(which), self.robot.motors)))
        for mine, theirs in zip(self._sensed, motion.sensed, strict=True):
            mine[which] = theirs
        return motion


def _rows(params: Any, which: np.ndarray) -> Any:
    """Rows of every leaf."""
    if isinstance(params, dict):
        return {key: _rows(x, which) for key, x in params.items()}
    return tuple(_rows(x, which) for x in params) if isinstance(params, tuple) else params[which]
