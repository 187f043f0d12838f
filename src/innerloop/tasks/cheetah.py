"""The half-cheetah as the papers use it: rllab's step and centre of mass, or Gymnasium's torso.

Not the task families (`half_cheetah.py`), and free of JAX, so that worker processes start quickly.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import mujoco
import numpy as np

from innerloop.tasks.robot import Motion, Robot, body

CONTROL_COST = 0.05


@dataclass(frozen=True)
class Cheetah(Robot):
    """No termination; reward: `gain` of the forward velocity − 0.05 ‖action‖²."""

    motors: ClassVar[int] = 6

    @property
    def model(self) -> mujoco.MjModel:
        return body("half_cheetah.xml")

    @abstractmethod
    def velocity(self, before: Motion, after: Motion) -> np.ndarray:
        """Forward velocity in m/s, [S]."""

    @abstractmethod
    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        """What the task makes of the velocity, [S]."""

    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        return self.gain(self.velocity(before, after), params) - CONTROL_COST * np.einsum("sm,sm->s", action, action)


@dataclass(frozen=True)
class RllabCheetah(Cheetah):
    """Observation [20]: joint positions without x, velocities, centre of mass; v_x of the centre of mass after the step.

    rllab brings kinematics up to date after a step; sensors of MuJoCo would be one simulator step behind.
    """

    width: ClassVar[int] = 20

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self.model.qpos0 + 0.01 * rng.standard_normal(9), 0.1 * rng.standard_normal(9)

    def sense(self, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, ...]:
        """Centre of mass [S, 3] and its velocity along x [S]."""
        return centre_of_mass(qpos, qvel)

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos[:, 1:], motion.qvel, motion.sensed[0]], axis=1)

    def velocity(self, before: Motion, after: Motion) -> np.ndarray:
        return after.sensed[1]


@dataclass(frozen=True)
class GymCheetah(Cheetah):
    """Observation [17]: joint positions without x, velocities; v_x = Δx/Δt of the torso."""

    width: ClassVar[int] = 17

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self.model.qpos0 + rng.uniform(-0.1, 0.1, 9), 0.1 * rng.standard_normal(9)

    def observe(self, motion: Motion) -> np.ndarray:
        return np.concatenate([motion.qpos[:, 1:], motion.qvel], axis=1)

    def velocity(self, before: Motion, after: Motion) -> np.ndarray:
        return (after.qpos[:, 0] - before.qpos[:, 0]) / self.dt


class RllabCheetahDir(RllabCheetah):
    """params: the direction, +1 or -1."""

    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        return params * velocity


class RllabCheetahVel(RllabCheetah):
    """params: the velocity wanted."""

    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        return -np.abs(velocity - params)


class GymCheetahDir(GymCheetah):
    """params: the direction, +1 or -1."""

    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        return params * velocity


class GymCheetahVel(GymCheetah):
    """params: the velocity wanted."""

    def gain(self, velocity: np.ndarray, params: np.ndarray) -> np.ndarray:
        return -np.abs(velocity - params)


class Chain(NamedTuple):
    """The planar robot as rigid links: its centre of mass is the root's place plus Σ_k R_y(Θ_k) lever_k."""

    paths: np.ndarray  # [7 joints, 14]: which joint angles add up to each link's angle Θ_k, twice side by side
    lever: np.ndarray  # [14, 3]: of (cos Θ, sin Θ) for x, y and z, in m
    rest: np.ndarray  # [3]: the root's place at qpos = 0


@lru_cache(maxsize=1)
def chain() -> Chain:
    """Link k carries its own mass at `body_ipos` and all that hangs from it at its children's `body_pos`."""
    model = body("half_cheetah.xml")
    links = range(1, model.nbody)
    total = model.body_subtreemass[1]
    lever = np.array([model.body_mass[b] * model.body_ipos[b] for b in links]) / total
    paths = np.zeros((len(links), len(links)))
    for k, b in enumerate(links):
        parent = model.body_parentid[b] - 1
        if parent >= 0:
            lever[parent] += model.body_subtreemass[b] / total * model.body_pos[b]
            paths[:, k] = paths[:, parent]
        hinge = model.body_jntadr[b] + model.body_jntnum[b] - 1
        assert model.jnt_axis[hinge][1] == 1 and not model.jnt_pos[hinge].any() and model.body_quat[b][0] == 1
        paths[k, k] = 1.0
    x, _, z = lever.T
    lever = np.stack([np.concatenate([x, z]), np.zeros(14), np.concatenate([z, -x])], 1)
    return Chain(np.tile(paths, 2), lever, model.body_pos[1].copy())


def centre_of_mass(qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass [S, 3] and its velocity along x [S], in closed form (what `mj_comPos` and `mj_subtreeVel` give)."""
    paths, lever, rest = chain()
    angle, spin = qpos[:, 2:] @ paths, qvel[:, 2:] @ paths
    turned = np.empty_like(angle)
    np.cos(angle[:, :7], out=turned[:, :7])
    np.sin(angle[:, 7:], out=turned[:, 7:])
    com = turned @ lever + rest
    com[:, 0] += qpos[:, 0]
    com[:, 2] += qpos[:, 1]
    turned *= spin
    return com, qvel[:, 0] + turned @ lever[:, 2]  # d(cos Θ x + sin Θ z) = (cos Θ z − sin Θ x) dΘ
