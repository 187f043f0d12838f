"""The ant as the papers use it: rllab's step and centre of mass, or Gymnasium's torso; contact forces felt by both.

Not the task families (`ant.py`), and free of JAX, so that worker processes start quickly.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import mujoco
import numpy as np

from innerloop.tasks.forward import Forward
from innerloop.tasks.robot import Motion, Robot, body

CONTACT_COST = 0.5e-3


@lru_cache(maxsize=1)
def rllab_body() -> mujoco.MjModel:
    """rllab's `ant.xml`, which is Gymnasium's but for a time step of 0.02 s and softer contacts (`solimp`)."""
    model = copy.copy(body("ant.xml"))
    model.opt.timestep = 0.02
    model.geom_solimp[:, :3] = 0.8, 0.8, 0.01
    return model


@lru_cache(maxsize=1)
def _rllab_forward() -> Forward:
    return Forward(rllab_body(), cfrc_ext=slice(None), xmat=1, subtree_com=1, subtree_linvel=1)


@lru_cache(maxsize=1)
def _gym_forward() -> Forward:
    return Forward(body("ant.xml"), cfrc_ext=slice(None))


def _contact(forces: np.ndarray) -> np.ndarray:
    """‖forces‖² [S]"""
    return np.einsum("sf,sf->s", forces, forces)


@dataclass(frozen=True)
class RllabAnt(Robot):
    """Observation [125]: positions, velocities, contact forces clipped to [-1, 1], the torso's rotation matrix, centre of
    mass. Reward: `gain` − 0.005 ‖action‖² − 0.0005 ‖clipped forces‖² + 0.05; terminated with the torso outside [0.2, 1] m."""

    width: ClassVar[int] = 125
    motors: ClassVar[int] = 8

    @property
    def model(self) -> mujoco.MjModel:
        return rllab_body()

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Around the stance that the XML gives as `init_qpos`."""
        return self.model.numeric("init_qpos").data + 0.01 * rng.standard_normal(15), 0.1 * rng.standard_normal(14)

    def sense(self, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, ...]:
        """Clipped forces [S, 84], rotation [S, 9], centre of mass [S, 3], its velocity [S, 3]."""
        forces, *rest = _rllab_forward()(qpos, qvel, control)
        return np.clip(forces, -1.0, 1.0), *rest

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos, motion.qvel, *motion.sensed[:3]], axis=1)

    @abstractmethod
    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        """What the task makes of the forward velocity of the centre of mass in m/s, [S]."""

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        costs = 0.005 * np.einsum("sm,sm->s", action, action) + CONTACT_COST * _contact(after.sensed[0])
        return self.gain(after.sensed[3][:, 0], params) - costs + 0.05

    def fallen(self, motion: Motion) -> np.ndarray:
        return ~((motion.qpos[:, 2] >= 0.2) & (motion.qpos[:, 2] <= 1.0))


class RllabAntDir(RllabAnt):
    """params: the direction, +1 or -1."""

    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        return params * velocity


class RllabAntVel(RllabAnt):
    """params: the velocity wanted."""

    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        return 1.0 - np.abs(velocity - params)


@dataclass(frozen=True)
class GymAnt(Robot):
    """Starts U[-0.1, 0.1] around rest and N(0, 0.1²) in velocity; senses its contact forces, clipped to [-1, 1]."""

    motors: ClassVar[int] = 8

    @property
    def model(self) -> mujoco.MjModel:
        return body("ant.xml")

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self.model.qpos0 + rng.uniform(-0.1, 0.1, 15), 0.1 * rng.standard_normal(14)

    def sense(self, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, ...]:
        """Clipped forces [S, 84]."""
        return (np.clip(_gym_forward()(qpos, qvel, control)[0], -1.0, 1.0),)


class AntCircle(GymAnt):
    """params [2]: a unit vector. Observation [111]: positions without x and y, velocities, forces. Reward: velocity of the
    torso along it − 0.5 ‖action‖² − 0.0005 ‖forces‖² + 1; terminated with the torso outside [0, 1] m."""

    width: ClassVar[int] = 111

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos[:, 2:], motion.qvel, *motion.sensed], axis=1)

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        velocity = (after.qpos[:, :2] - before.qpos[:, :2]) / self.dt
        costs = 0.5 * np.einsum("sm,sm->s", action, action) + CONTACT_COST * _contact(after.sensed[0])
        return np.einsum("sd,sd->s", velocity, params) - costs + 1.0

    def fallen(self, motion: Motion) -> np.ndarray:
        return ~((motion.qpos[:, 2] >= 0.0) & (motion.qpos[:, 2] <= 1.0))


class AntGoal(GymAnt):
    """params [2]: a place. Observation [113]: positions, velocities, forces. Reward: − distance of the torso in the 1-norm
    − 0.1 ‖action‖² − 0.0005 ‖forces‖²; no termination."""

    width: ClassVar[int] = 113

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos, motion.qvel, *motion.sensed], axis=1)

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        away = np.abs(after.qpos[:, :2] - params).sum(axis=1)
        return -away - 0.1 * np.einsum("sm,sm->s", action, action) - CONTACT_COST * _contact(after.sensed[0])
