"""Where the rows of a run's log go besides its folder: the protocol of a tracking service, and the services by name.

Not when they go there: that is `follower.py`. Nothing of a service is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from innerloop.outside import imported
from innerloop.run.settings import ConfigError, flat

SERVICES = {  # name: (module:class, the package it needs)
    "wandb": ("innerloop.run.services.wandb_run:WandbRun", "wandb"),
    "mlflow": ("innerloop.run.services.mlflow_run:MlflowRun", "mlflow"),
}
NONE = "none"  # in place of names: no service


class About(NamedTuple):
    """The run whose rows are passed on."""

    title: str  # what is trained, in a few words
    folder: Path  # of the run
    recipe: Mapping[str, Any]  # recipe.json
    record: Mapping[str, Any]  # run.json

    @property
    def name(self) -> str:
        """The folder's own name; of a run of several seeds, DIR-seed-N."""
        return f"{self.group}-{self.folder.name}" if self.group else self.folder.resolve().name

    @property
    def group(self) -> str:
        """The folder of seeds that the run belongs to; "" where it stands alone."""
        return self.folder.resolve().parent.name if self.folder.name.startswith("seed-") else ""

    def settings(self) -> dict[str, Any]:
        """Every setting of the recipe by its dotted name, and seed, command and versions."""
        told = {name: value for name, value in self.recipe.items() if name not in ("request", "extends")}
        told |= {"seed": self.record["seed"], "command": " ".join(self.record["command"]), "versions": self.record["versions"]}
        return dict(flat(told))


class Sink(Protocol):
    """A tracking service. Its methods are called on a thread of their own, one at a time, and may take as long as they like, or
    raise whatever they raise: what was not sent is sent again later."""

    def begin(self, about: About, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Open the remote run, or go on with the one in `kept`; what to keep of it in the run folder, as JSON.

        Args:
            kept: what earlier calls returned, and "key", a text that is this run's own.

        Returns:
            anything that is JSON; "settles": seconds for which what `send` took may still be lost if this process is killed,
            and is sent again then (0 where it is not given).
        """
        ...

    def send(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take these rows (`run/rows.py`), in their order."""
        ...

    def end(self, status: str) -> None:
        """The run is over, or over for now: "finished", "interrupted" or "failed"."""
        ...


def checked(names: Iterable[str]) -> list[str]:
    """The names of services, each once; ConfigError for one that is unknown or whose package is missing."""
    found = list(dict.fromkeys(names))
    if NONE in found and len(found) > 1:
        raise ConfigError(f"--log {NONE} stands for no service, and others are named beside it: {', '.join(found)}.")
    found = [name for name in found if name != NONE]
    for name in found:
        if ":" in name:
            _own(name)
        elif name not in SERVICES:
            near = difflib.get_close_matches(name, SERVICES, 1, 0.4)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"there is no service {name!r}.{hint} Accepted: {', '.join(SERVICES)}, {NONE}, or package.module:make. JSON "
                "lines and TensorBoard are always written."
            )
        elif importlib.util.find_spec(SERVICES[name][1]) is None:
            raise ConfigError(f"--log {name} needs the package {SERVICES[name][1]}: pip install 'innerloop[{name}]'")
    return found


def opened(name: str) -> Sink:
    """The sink of a name that `checked` has let through."""
    if ":" in name:
        return _own(name)()
    module, _, kind = SERVICES[name][0].partition(":")
    return getattr(importlib.import_module(module), kind)()


def _own(name: str) -> Any:
    try:
        make = imported(name, "--log")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not callable(make):
        raise ConfigError(f"--log {name} is {type(make).__name__}; accepted: a function that returns a sink.")
    return make
