"""Where lives are lived."""

from innerloop.worlds.device import DeviceWorld as DeviceWorld


def world_of(tasks, **options):
    """tmp"""
    if tasks.on_device:
        return DeviceWorld(tasks)
    from innerloop.worlds.host import HostWorld
    return HostWorld(tasks, **options)
