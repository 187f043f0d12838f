"""A robot in MuJoCo and what is asked of it: starts, observations, rewards and falls of whole batches, in numpy.

Not a simulation: `robot_env.py` steps one robot as a Gymnasium environment, `worlds/mujoco.py` a batch natively, both by
this one definition. Free of JAX, so that worker processes start quickly.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, ClassVar, NamedTuple

import mujoco
import numpy as np

AWAKE = 1.0  # s: simulated time before every control step; MuJoCo sets it to 0 when a simulation diverges
UNSTABLE = "the simulation diverged"


class Motion(NamedTuple):
    """Where a batch of robots stand; leaves [S, ...], float64."""

    qpos: np.ndarray
    qvel: np.ndarray
    sensed: tuple[np.ndarray, ...]  # what the robot's `sense` returned


@lru_cache
def body(file: str) -> mujoco.MjModel:
    """One of Gymnasium's robots without its pictures, one copy per process (HalfCheetah: 17 kB instead of 518 kB).

    The deprecated `settotalmass` prints a line at every load; `mj_setTotalmass` and `mj_setConst` give the same numbers.
    """
    root = ElementTree.fromstring((files("gymnasium") / "envs/mujoco/assets" / file).read_text(encoding="utf-8"))
    compiler = root.find("compiler")
    mass = None if compiler is None else compiler.attrib.pop("settotalmass", None)
    for asset in root.findall("asset"):
        root.remove(asset)
    for geom in root.iter("geom"):
        geom.attrib.pop("material", None)
    model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))
    if mass is not None:
        mujoco.mj_setTotalmass(model, float(mass))
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


@dataclass(frozen=True)
class Robot(ABC):
    """One definition, immutable. A control step is `skip` steps of the simulator from (qpos, qvel) alone: the solver starts
    cold, so that a step is a function of the state and the action, whoever computes it. Batches have S rows."""

    length: int  # control steps in an episode
    skip: int  # simulator steps per control step
    scale: float = 1.0  # of the actions: ±scale are the actuators' limits, and what lies beyond is clipped
    shown: bool = False  # the task's parameters stand behind the observation

    width: ClassVar[int]  # of an observation
    motors: ClassVar[int]

    @property
    @abstractmethod
    def model(self) -> mujoco.MjModel:
        """The robot with no task in particular; not to be written to."""

    def model_of(self, params: Any) -> mujoco.MjModel:
        """The robot of one task. Default: the same for all."""
        return self.model

    @abstractmethod
    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """qpos and qvel at the beginning of an episode."""

    def sense(self, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, ...]:
        """What follows from the state [S, ...] and is needed beside it (centres of mass, contact forces). `control`: what
        the actuators are told, [S, motors]. Default: nothing."""
        return ()

    @abstractmethod
    def observe(self, motion: Motion) -> np.ndarray:
        """[S, width]"""

    @abstractmethod
    def reward(self, before: Motion, after: Motion, action: np.ndarray, params: Any) -> np.ndarray:
        """[S]. `action`: clipped and scaled to [-1, 1]; `params`: the tasks', leaves [S, ...]."""

    def fallen(self, motion: Motion) -> np.ndarray:
        """bool [S]: who has terminated. Default: nobody."""
        return np.zeros(len(motion.qpos), bool)

    @property
    def dt(self) -> float:
        """Seconds in a control step."""
        return float(self.model.opt.timestep) * self.skip

    def whole(self, time: np.ndarray) -> np.ndarray:
        """bool [S]: whose simulated time [S] says that a control step was done from `AWAKE` on, without divergence."""
        return time > AWAKE + self.dt - 0.5 * self.model.opt.timestep

    @property
    def limit(self) -> float:
        """What the actuators are told at action 1; the same for all of them in each of these robots."""
        return float(self.model.actuator_ctrlrange[0, 1])

    def admitted(self, actions: np.ndarray) -> np.ndarray:
        """Actions of a policy, clipped and scaled to [-1, 1]; float64."""
        return np.minimum(np.maximum(actions.astype(np.float64) / self.scale, -1.0), 1.0)

    def observation(self, motion: Motion, params: Any) -> np.ndarray:
        """What the agent sees, [S, ...]: `observe`, and the task where it is shown."""
        obs = self.observe(motion)
        return np.concatenate([obs, flat(params)], axis=1) if self.shown else obs


def flat(params: Any) -> np.ndarray:
    """Parameters [S, ...] side by side in the order of `jax.tree`: dict keys sorted, tuples in order; [S, P]."""
    if isinstance(params, dict):
        params = [params[key] for key in sorted(params)]
    if isinstance(params, (tuple, list)):
        return np.concatenate([flat(item) for item in params], axis=1)
    return np.reshape(np.asarray(params, np.float64), (len(params), -1))


def stacked(params: Sequence[Any]) -> Any:
    """One task's parameters per row → leaves [S, ...]."""
    first = params[0]
    if isinstance(first, dict):
        return {key: stacked([p[key] for p in params]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(stacked(column) for column in zip(*params, strict=True))
    return np.asarray(params, np.float64)
