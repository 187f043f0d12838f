"""The package highway-env under a regime: highway-fast-v0 with other drivers and another reward. Nothing else imports it.

Not our own traffic (`traffic.py`). Free of JAX: worker processes import it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import Any

import gymnasium

from innerloop.tasks.regime import (
    EGO_SPACING,
    FAST,
    PAID,
    PUBLISHED,
    SECONDS,
    SEEN,
    SLOW,
    SPEEDS,
    SUBSTEPS,
    VEHICLES,
    Regime,
    drivers,
)


def require() -> None:
    """ValueError, naming the extra, where the package is not installed."""
    if importlib.util.find_spec("highway_env") is None:
        raise ValueError("highway-env families need the package highway-env: pip install 'innerloop[driving]'")


@cache
def _kind() -> Any:
    """The environment's class, made when it is first needed: its parent is the package's."""
    require()

    class Highway(importlib.import_module("highway_env.envs.highway_env").HighwayEnvFast):
        regime: Regime = PUBLISHED

        def _create_vehicles(self) -> None:
            super()._create_vehicles()
            ways = drivers(float(self.regime.aggression))
            for car in self.road.vehicles:
                if car not in self.controlled_vehicles:
                    car.TIME_WANTED, car.POLITENESS = ways.headway, ways.politeness
                    car.LANE_CHANGE_MAX_BRAKING_IMPOSED = ways.imposed

        def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
            self.owed = 0.0
            return super().reset(**options)

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            obs, worth, terminated, truncated, info = super().step(action)
            self.owed += worth
            due = terminated or truncated or self.time % PAID == 0
            paid, self.owed = (self.owed, 0.0) if due else (0.0, self.owed)
            return obs, paid, terminated, truncated, info

        def render(self) -> Any:
            if self.viewer is None:
                self.viewer = importlib.import_module("highway_env.envs.common.graphics").EnvViewer(self)
                self.viewer.enabled = True  # without a screen it would draw nothing, though it needs none
            return super().render()

    return Highway


def config(regime: Regime) -> dict[str, Any]:
    """The package's configuration of a regime, all but its drivers."""
    return {
        "lanes_count": int(regime.lanes),
        "vehicles_count": VEHICLES,
        "vehicles_density": float(regime.density),
        "ego_spacing": EGO_SPACING,
        "high_speed_reward": float(regime.speed),
        "right_lane_reward": float(regime.lane),
        "collision_reward": -float(regime.collision),
        "reward_speed_range": [SLOW, FAST],
        "action": {"type": "DiscreteMetaAction", "target_speeds": list(SPEEDS)},
        "normalize_reward": False,
        "duration": SECONDS,
        "simulation_frequency": SUBSTEPS,
        "observation": {"type": "Kinematics", "vehicles_count": SEEN},
    }


def make() -> gymnasium.Env:
    """One highway, of any regime, which can be rendered without a screen. ValueError where the package is not installed."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    return _kind()(config=config(PUBLISHED), render_mode="rgb_array")


def assign(env: Any, params: Regime) -> None:
    """Put a regime into a highway, before its next reset."""
    env.unwrapped.regime = params
    env.unwrapped.configure(config(params))
