"""Which world a family's lives are lived in.

Not a registry of families: that is `innerloop/registry.py`.
"""

from __future__ import annotations

from typing import Any

from innerloop.worlds.crew import CrewWorld
from innerloop.worlds.device import DeviceWorld
from innerloop.worlds.host import HostWorld


def world_of(tasks: Any, *, gymnasium: bool = False, workers: int = 2, **deadlines: float) -> DeviceWorld | CrewWorld:
    """The world of a family: the device's if JAX can trace it, else MuJoCo's own if it is a robot, else Gymnasium's.

    Args:
        gymnasium: step robots as Gymnasium environments too.
        workers: threads of MuJoCo or processes of Gymnasium's environments; 0 steps in the calling thread.
        deadlines: `HostWorld`'s, of its processes.
    """
    if tasks.on_device:
        return DeviceWorld(tasks)
    if tasks.native is None or gymnasium:
        return HostWorld(tasks, workers=workers, **deadlines)
    from innerloop.worlds.mujoco import MujocoWorld

    return MujocoWorld(tasks, workers=workers)
