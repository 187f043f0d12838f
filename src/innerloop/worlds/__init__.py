"""Where lives are lived: on the device, in MuJoCo, or in Gymnasium environments on the host.

Names are loaded when first asked for, since worker processes import this package and need no JAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from innerloop.worlds.choice import world_of as world_of
    from innerloop.worlds.device import DeviceWorld as DeviceWorld
    from innerloop.worlds.faults import Fault as Fault, HostFaults as HostFaults
    from innerloop.worlds.host import HostWorld as HostWorld
    from innerloop.worlds.mujoco import MujocoWorld as MujocoWorld

_HOMES = {
    "world_of": "choice",
    "DeviceWorld": "device",
    "HostWorld": "host",
    "MujocoWorld": "mujoco",
    "Fault": "faults",
    "HostFaults": "faults",
}
__all__ = ["DeviceWorld", "Fault", "HostFaults", "HostWorld", "MujocoWorld", "world_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
