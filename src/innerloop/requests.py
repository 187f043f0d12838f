"""What is asked for, by names and settings, and the recipe and family that it comes to.

Not running it (`api.py`). Nothing here compiles: whatever does not fit is refused first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from innerloop.run.settings import flat

if TYPE_CHECKING:
    from innerloop.run.config import Recipe
    from innerloop.tasks.family import Family
    from innerloop.worlds.check import Findings


@contextmanager
def asked() -> Iterator[None]:
    """Whatever a name or a value is refused with is a ConfigError."""
    from innerloop.run.settings import ConfigError

    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def resolve(request: Mapping[str, Any]) -> tuple[Recipe, Family]:
    """The full recipe and its family from what was asked for: {"recipe", "tasks", "steps", "file", "settings"}.

    Raises:
        ConfigError: an unknown name or a setting that does not fit; nothing has been compiled.
    """
    with asked():
        from innerloop.registry import maker
        from innerloop.run.config import assign, override
        from innerloop.tasks.names import family as find

        family = find(request["tasks"])
        recipe = maker(request["recipe"])(family, request.get("steps"))
        recipe = replace(recipe, steps=0) if request.get("steps") == 0 else recipe
        family = find(recipe.family)
        recipe = override(recipe, request.get("file") or {})
        for name, value in (request.get("settings") or {}).items():
            recipe = assign(recipe, name, value)
        return recipe.settled(), family


def examined(name: str) -> Findings:
    """What is wrong with a user's own environment, by the name of its family: some tasks of it are walked."""
    from innerloop.worlds.check import check_environment
    from innerloop.worlds.check_traced import check_traced

    with asked():
        from innerloop.tasks import own

        family = own.family(name)
        if family.on_device:
            return check_traced(family)
        return check_environment(family.source, family.corners(), family.max_steps)


def furnished(recipe: Recipe, family: Family) -> tuple[Recipe, Family]:
    """With the digest of the histories that the recipe trains on, every byte of them checked; ConfigError where they do not
    serve, or where a user's own environment has a fault. Recipes that train on lives are returned as they are."""
    if family.name.startswith("env:"):
        _sound(family.name)
    if not recipe.histories and recipe.outer.offline != "only":
        return recipe, family
    from innerloop.run.train import recorded

    world = recorded(recipe, family, verify=True)
    assert world is not None
    return replace(recipe, digest=world.histories.digest), family


def _sound(name: str) -> None:
    from innerloop.run.settings import ConfigError

    found = examined(name)
    for remark in found.remarks:
        logging.getLogger("innerloop").warning("%s", remark)
    if found.problems:
        raise ConfigError(f"{name}: {' '.join(found.problems)}")


def recover(stored: Mapping[str, Any]) -> tuple[Recipe, Family]:
    """The full recipe and its family from the content of recipe.json."""
    if "inner" not in stored:
        return resolve(stored["request"])
    with asked():
        from innerloop.registry import maker
        from innerloop.run.config import override
        from innerloop.tasks.names import family as find

        settings = {name: value for name, value in stored.items() if name not in ("request", "extends")}
        family = find(settings["family"])
        return override(maker(stored["request"]["recipe"])(family), settings).settled(), family


def command(request: Mapping[str, Any], seed: int, out: Path) -> list[str]:
    """What to type for a request of one seed, into `out`."""
    words = ["innerloop", "train", request["recipe"], "--tasks", request["tasks"], "--seed", str(seed)]
    words += ["--steps", str(request["steps"])] if request["steps"] is not None else []
    for name, value in [*flat(request["file"]), *request["settings"].items()]:
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return [*words, "--out", str(out)]
