"""Robots that walk, hop and swim in a plane, as Gym's environments of 2016 have them, and bodies with other parameters.

Not the task families (`walker.py`, `swimmer.py`), and free of JAX, so that worker processes start quickly.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np

from innerloop.tasks.robot import Motion, Robot, body

VARIED = ("body_inertia", "body_mass", "dof_damping", "geom_friction")


@dataclass(frozen=True)
class Walker(Robot):
    """Observation [17]: positions without x, velocities clipped to ±10. Terminated unless 0.8 < height < 2 m and the torso's
    angle is within ±1. Starts U[-0.005, 0.005] around rest. Reward: `gain` of Δx/Δt − 0.001 ‖action‖²."""

    width: ClassVar[int] = 17
    motors: ClassVar[int] = 6
    file: ClassVar[str] = "walker2d.xml"

    @property
    def model(self) -> mujoco.MjModel:
        return body(self.file)

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        model = self.model
        return model.qpos0 + rng.uniform(-0.005, 0.005, model.nq), rng.uniform(-0.005, 0.005, model.nv)

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos[:, 1:], np.clip(motion.qvel, -10.0, 10.0)], axis=1)

    def gain(self, velocity: np.ndarray, params: Any) -> np.ndarray:
        """What the task makes of the velocity in m/s, [S]. Default: forward, and 1 for being up."""
        return velocity + 1.0

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        velocity = (after.qpos[:, 0] - before.qpos[:, 0]) / self.dt
        return self.gain(velocity, params) - 1e-3 * np.einsum("sm,sm->s", action, action)

    def fallen(self, motion: Motion) -> np.ndarray:
        height, angle = motion.qpos[:, 1], motion.qpos[:, 2]
        return ~((height > 0.8) & (height < 2.0) & (np.abs(angle) < 1.0))


class WalkerDir(Walker):
    """params: the direction, +1 or -1."""

    def gain(self, velocity: np.ndarray, params: Any) -> np.ndarray:
        return params * velocity + 1.0


class WalkerVel(Walker):
    """params: the velocity wanted."""

    def gain(self, velocity: np.ndarray, params: Any) -> np.ndarray:
        return 15.0 - np.abs(velocity - params)


class WalkerParams(Walker):
    """params: factors of the body's parameters, {name: as that array of MjModel}."""

    def model_of(self, params: Any) -> mujoco.MjModel:
        return varied(self.model, params)


class HopperParams(WalkerParams):
    """The same with one leg. Observation [11]; terminated unless height > 0.7 m, the torso's angle is within ±0.2 and all
    else within ±100."""

    width: ClassVar[int] = 11
    motors: ClassVar[int] = 3
    file: ClassVar[str] = "hopper.xml"

    def fallen(self, motion: Motion) -> np.ndarray:
        rest = np.concatenate([motion.qpos[:, 2:], motion.qvel], axis=1)
        upright = (motion.qpos[:, 1] > 0.7) & (np.abs(motion.qpos[:, 2]) < 0.2)
        return ~(upright & (np.abs(rest) < 100.0).all(axis=1))


@dataclass(frozen=True)
class SwimmerVel(Robot):
    """Observation [8]: angles and velocities. Reward: −|Δx/Δt − v*| − 0.0001 ‖action‖²; no termination. Starts U[-0.1, 0.1]
    around rest, velocities too. params: the velocity wanted."""

    width: ClassVar[int] = 8
    motors: ClassVar[int] = 2

    @property
    def model(self) -> mujoco.MjModel:
        return body("swimmer.xml")

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self.model.qpos0 + rng.uniform(-0.1, 0.1, 5), rng.uniform(-0.1, 0.1, 5)

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos[:, 2:], motion.qvel], axis=1)

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        velocity = (after.qpos[:, 0] - before.qpos[:, 0]) / self.dt
        return -np.abs(velocity - params) - 1e-4 * np.einsum("sm,sm->s", action, action)


def varied(model: mujoco.MjModel, factors: dict[str, Any]) -> mujoco.MjModel:
    """A copy of the model with some of its arrays multiplied. What MuJoCo derived from them at compilation (inverse weights
    in the constraints' softness) stays the original's, as in rand_param_envs."""
    model = copy.copy(model)
    for name, factor in factors.items():
        getattr(model, name)[:] *= np.asarray(factor, np.float64)
    return model
