"""Settings as a user writes them: `--set NAME=VALUE` and TOML files.

Not the recipe that they change: that is `config.py`. Imports the standard library only.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A setting that does not exist or does not fit; the message says what is accepted."""


def parse_settings(items: Iterable[str]) -> dict[str, Any]:
    """["outer.lr=3e-4", …] → {dotted name: value}; values are TOML, or text where they are none."""
    out = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set takes NAME=VALUE, for example outer.lr=3e-4; given: {item!r}.")
        text = {"True": "true", "False": "false"}.get(text.strip(), text)  # as Python has them
        try:
            out[name.strip()] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            out[name.strip()] = text
    return out


def read_toml(path: Path) -> dict[str, Any]:
    """Settings from a TOML file of at most 1 MB."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}.")
    if path.stat().st_size > 1_000_000:
        raise ConfigError(f"{path} is larger than 1 MB; a recipe is a page of settings.")
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{"outer": {"lr": 1}} → ("outer.lr", 1)"""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
