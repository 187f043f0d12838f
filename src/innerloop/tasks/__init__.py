"""What varies: families of tasks on device and on host, each with its definition in its own file.

Not where lives are lived: that is `worlds/`. Classes are imported when they are first asked for; names are turned into
families by `names.family`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from innerloop.tasks.bandit import Bandit
    from innerloop.tasks.dark_room import DarkKeyToDoor, DarkRoom, DarkRoomHard
    from innerloop.tasks.family import SPLITS, Family
    from innerloop.tasks.grid_navi import GridNavi
    from innerloop.tasks.point_goal import PointGoal
    from innerloop.tasks.probes import ProbeAcross, ProbeAlike, ProbeCost, ProbeObservation, ProbeReward
    from innerloop.tasks.projected import ProjectedAcrobot, ProjectedCartPole, ProjectedMountainCar, ProjectedPendulum
    from innerloop.tasks.semi_circle import SemiCircleDense, SemiCirclePearl, SemiCircleVaribad
    from innerloop.tasks.tabular_mdp import TabularMDP
    from innerloop.tasks.two_step import TwoStep

__all__ = [
    "SPLITS",
    "Bandit",
    "DarkKeyToDoor",
    "DarkRoom",
    "DarkRoomHard",
    "Family",
    "GridNavi",
    "PointGoal",
    "ProbeAcross",
    "ProbeAlike",
    "ProbeCost",
    "ProbeObservation",
    "ProbeReward",
    "ProjectedAcrobot",
    "ProjectedCartPole",
    "ProjectedMountainCar",
    "ProjectedPendulum",
    "SemiCircleDense",
    "SemiCirclePearl",
    "SemiCircleVaribad",
    "TabularMDP",
    "TwoStep",
]

_HOMES = {
    "bandit": ("Bandit",),
    "dark_room": ("DarkKeyToDoor", "DarkRoom", "DarkRoomHard"),
    "family": ("SPLITS", "Family"),
    "grid_navi": ("GridNavi",),
    "point_goal": ("PointGoal",),
    "probes": ("ProbeAcross", "ProbeAlike", "ProbeCost", "ProbeObservation", "ProbeReward"),
    "projected": ("ProjectedAcrobot", "ProjectedCartPole", "ProjectedMountainCar", "ProjectedPendulum"),
    "semi_circle": ("SemiCircleDense", "SemiCirclePearl", "SemiCircleVaribad"),
    "tabular_mdp": ("TabularMDP",),
    "two_step": ("TwoStep",),
}


def __getattr__(name: str) -> Any:
    for module, held in _HOMES.items():
        if name in held:
            return getattr(importlib.import_module(f"innerloop.tasks.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
