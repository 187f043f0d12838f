"""The half-cheetah robot: a Gymnasium environment in MuJoCo, told in which direction to run.

Not a task family (that is `half_cheetah.py`), and free of JAX, so that worker processes start quickly.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from importlib.resources import files
from typing import Any

import gymnasium
import mujoco
import numpy as np

MASS = 14.0  # kg; rllab's and Gymnasium's XML ask for it by `settotalmass`
CONTROL_COST = 0.05


@lru_cache(maxsize=1)
def body() -> mujoco.MjModel:
    """Gymnasium's `half_cheetah.xml` without its textures, one copy per process (17 kB instead of 518 kB each).

    Its deprecated `settotalmass` prints a line at every load; `mj_setTotalmass` and `mj_setConst` give the same numbers.
    """
    root = ElementTree.fromstring((files("gymnasium") / "envs/mujoco/assets/half_cheetah.xml").read_text(encoding="utf-8"))
    compiler = root.find("compiler")
    if compiler is not None:
        compiler.attrib.pop("settotalmass", None)
    for asset in root.findall("asset"):
        root.remove(asset)
    for geom in root.iter("geom"):
        geom.attrib.pop("material", None)
    model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))
    mujoco.mj_setTotalmass(model, MASS)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


class HalfCheetah(gymnasium.Env):
    """Run forward (`direction` +1) or backward (-1) for `horizon` control steps of `skip` × 0.01 s.

    Observation [20]: joint positions without x, velocities, centre of mass. Actions beyond [-1, 1] are clipped.
    Reward: direction × forward velocity of the centre of mass − 0.05 ‖clipped action‖².
    """

    def __init__(self, horizon: int = 200, skip: int = 1):
        self.horizon, self.skip, self.direction, self.elapsed = horizon, skip, 1.0, 0
        self.model = body()
        self.data = mujoco.MjData(self.model)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (20,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (6,), np.float32)
        # Views into MuJoCo's memory: every attribute access of `data` costs as much as a small numpy call.
        self._qpos, self._qvel, self._ctrl = self.data.qpos, self.data.qvel, self.data.ctrl
        self._com, self._comvel = self.data.subtree_com[1], self.data.subtree_linvel[1]
        self._rest = self.data.qpos.copy()

    def _observe(self) -> np.ndarray:
        """Bring the centre of mass and its velocity up to date (a step leaves them one simulator step behind)."""
        model, data = self.model, self.data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_subtreeVel(model, data)
        obs = np.empty(20)
        obs[:8], obs[8:17], obs[17:] = self._qpos[1:], self._qvel, self._com
        return obs

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start at rest with normal noise: 0.01 on positions, 0.1 on velocities, as rllab does."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self._qpos[:] = self._rest + 0.01 * self.np_random.standard_normal(9)
        self._qvel[:] = 0.1 * self.np_random.standard_normal(9)
        self.elapsed = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step; truncated at the horizon, never terminated."""
        ctrl = np.minimum(np.maximum(action, -1.0), 1.0)
        self._ctrl[:] = ctrl
        mujoco.mj_step(self.model, self.data, self.skip)
        obs = self._observe()
        self.elapsed += 1
        reward = self.direction * float(self._comvel[0]) - CONTROL_COST * float(ctrl.dot(ctrl))
        return obs, reward, False, self.elapsed >= self.horizon, {}


def assign_direction(env: HalfCheetah, params: Any) -> None:
    """The task of a running direction; `params`: +1 or -1."""
    env.direction = float(params)
