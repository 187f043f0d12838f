"""Which world a family's lives are lived in.

Not a registry of families: that is `innerloop/registry.py`.
"""

from __future__ import annotations

from typing import Any

from innerloop.worlds.device import DeviceWorld
from innerloop.worlds.host import HostWorld


def world_of(tasks: Any, **options: Any) -> DeviceWorld | HostWorld:
    """The world of a family: the device's if JAX can trace it, else Gymnasium's, to which alone `options` apply."""
    return DeviceWorld(tasks) if tasks.on_device else HostWorld(tasks, **options)
