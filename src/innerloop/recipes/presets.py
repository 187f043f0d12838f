"""Which preset of a recipe applies to a family. Not the presets: each recipe has its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def preset(presets: Mapping[str, dict[str, Any]], family: str) -> dict[str, Any]:
    """The settings under the family's whole name, or under the longest beginning of it that ends at a hyphen; else none."""
    fitting = [name for name in presets if family == name or family.startswith(f"{name}-")]
    return presets[max(fitting, key=len)] if fitting else {}
