"""Which preset of a recipe applies to a family, and what several of them share. Not the presets: each recipe has its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from innerloop.tasks.family import Family

# A memory for families in which several states are to be told apart: a matrix addressed by keys, fed with whole transitions.
BY_KEY: dict[str, Any] = {"memory": "gdn", "layers": 1, "embed": 64, "transition": True}


def preset(presets: Mapping[str, dict[str, Any]], family: str) -> dict[str, Any]:
    """The settings under the family's whole name, or under the longest beginning of it that ends at a hyphen; else none."""
    fitting = [name for name in presets if family == name or family.startswith(f"{name}-")]
    return presets[max(fitting, key=len)] if fitting else {}


def held_out(family: Family) -> int:
    """Tasks in each evaluation while training: many on the device, few where environments are stepped one by one."""
    return 1000 if family.on_device else 40
