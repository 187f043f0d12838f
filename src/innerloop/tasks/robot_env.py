"""A robot as a Gymnasium environment: one simulation, stepped by `mj_step`.

Not the definition of any robot (`robot.py`), nor the native world (`worlds/mujoco.py`). Free of JAX.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np

from innerloop.tasks.robot import AWAKE, UNSTABLE, Motion, Robot, stacked


class RobotEnv(gymnasium.Env):
    """A batch of one. Its task is put in by `assign`."""

    def __init__(self, robot: Robot):
        self.robot, self.elapsed = robot, 0
        self.params: Any = None
        bound = robot.scale
        self.action_space = gymnasium.spaces.Box(-bound, bound, (robot.motors,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (robot.width,), np.float64)
        self._use(robot.model)

    def _use(self, model: mujoco.MjModel) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self._motion = self._look()

    def _look(self) -> Motion:
        qpos, qvel = self.data.qpos[None].copy(), self.data.qvel[None].copy()
        return Motion(qpos, qvel, self.robot.sense(qpos, qvel, self.data.ctrl[None].copy()))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """A start drawn from the environment's own generator."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = self.robot.start(self.np_random)
        self.elapsed, self._motion = 0, self._look()
        return self.robot.observe(self._motion)[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step. Raises FloatingPointError where the simulation diverges."""
        robot, data, before = self.robot, self.data, self._motion
        admitted = robot.admitted(np.asarray(action)[None])
        data.ctrl[:] = robot.limit * admitted[0]
        data.time = AWAKE
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_step(self.model, data, robot.skip)
        if not robot.whole(np.array(data.time)):
            raise FloatingPointError(UNSTABLE)
        self._motion = after = self._look()
        self.elapsed += 1
        reward = float(robot.reward(before, after, admitted, self.params)[0])
        obs = robot.observe(after)[0]
        return obs, reward, bool(robot.fallen(after)[0]), self.elapsed >= robot.length, {}


def assign(env: RobotEnv, params: Any) -> None:
    """Put a task into an environment; `params` as the family draws them, of one task."""
    env.params = stacked([params])
    model = env.robot.model_of(params)
    if model is not env.model:
        env._use(model)
