"""The humanoid of Gym's environments of 2016.

Not the task family (`humanoid.py`), and free of JAX, so that worker processes start quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import mujoco
import numpy as np

from innerloop.tasks.forward import Forward
from innerloop.tasks.robot import Motion, Robot, body


@lru_cache(maxsize=1)
def _forward() -> Forward:
    whole = slice(None)
    fields = {"cinert": whole, "cvel": whole, "qfrc_actuator": whole, "cfrc_ext": whole, "subtree_com": 1}
    return Forward(body("humanoid.xml"), **fields)


@dataclass(frozen=True)
class HumanoidDir(Robot):
    """params [2]: a unit vector. Observation [376]: positions without x and y, velocities, inertias and velocities of the 14
    bodies, forces of the motors, contact forces. Terminated unless 1 ≤ z ≤ 2 m. Starts U[-0.01, 0.01] around rest,
    velocities too."""

    width: ClassVar[int] = 376
    motors: ClassVar[int] = 17

    @property
    def model(self) -> mujoco.MjModel:
        return body("humanoid.xml")

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self.model.qpos0 + rng.uniform(-0.01, 0.01, 24), rng.uniform(-0.01, 0.01, 23)

    def sense(self, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, ...]:
        """Inertias [S, 140], velocities [S, 84], motors' forces [S, 23], contact forces [S, 84], centre of mass [S, 3]."""
        return _forward()(qpos, qvel, control)

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos[:, 2:], motion.qvel, *motion.sensed[:4]], axis=1)

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        way = np.einsum("sd,sd->s", (after.sensed[4] - before.sensed[4])[:, :2], params)
        impact = np.minimum(0.5e-6 * np.einsum("sf,sf->s", after.sensed[3], after.sensed[3]), 10.0)
        effort = 0.1 * self.limit**2 * np.einsum("sm,sm->s", action, action)
        return 0.25 * way / self.model.opt.timestep - effort - impact + 5.0

    def fallen(self, motion: Motion) -> np.ndarray:
        return (motion.qpos[:, 2] < 1.0) | (motion.qpos[:, 2] > 2.0)
