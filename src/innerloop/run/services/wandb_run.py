"""A run at Weights & Biases, by the package `wandb`: the extra `innerloop[wandb]`.

Not when rows are sent (`follower.py`). Its own environment variables say where: WANDB_PROJECT ("innerloop" if unset),
WANDB_ENTITY, WANDB_BASE_URL, WANDB_MODE=offline. Without a key it records offline, and never asks. The x-axis of every chart
is the number of environment steps; its own counter cannot go back, as a run that is resumed or rolled back does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from innerloop.run.rows import scalars
from innerloop.run.services.sink import About

_log = logging.getLogger(__name__)
AXIS = "env_steps"
SETTLES = 20.0  # seconds in which its own process has written what it was given
CODES = {"finished": 0, "failed": 1, "interrupted": 255}  # of a process that ended so; wandb shows a run by it


class WandbRun:
    """The sink. Kept: "run" (its id, which is the run's key), "project", "url" and "settles"."""

    def __init__(self) -> None:
        self._run: Any = None

    def begin(self, about: About, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        mode = os.environ.get("WANDB_MODE", "")
        if not mode and not wandb.setup(settings=wandb.Settings(silent=True)).settings.api_key:
            mode = "offline"
            _log.warning(
                "wandb has no key: the run is recorded offline, in %s; `wandb login` and `wandb sync` send it.",
                about.folder / "wandb",
            )
        settings = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True, init_timeout=60.0)
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or "innerloop", id=str(kept.get("run") or kept["key"]), resume="allow",
                dir=str(about.folder), name=about.name, group=about.group or None, notes=about.title,
                config=about.settings(), mode=mode or None, settings=settings, allow_val_change=True,
            )  # fmt: skip
        except Exception:
            if wandb.run is None:
                wandb.teardown()  # else its service takes the id for one in use, and no other attempt succeeds
            raise
        self._run.define_metric(AXIS, hidden=True)
        self._run.define_metric("*", step_metric=AXIS)
        return {
            "settles": SETTLES,
            "run": self._run.id,
            "project": self._run.project,
            "url": "" if mode == "offline" else self._run.url or "",
        }

    def send(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            at = {AXIS: row["env_steps"], "iteration": row["iteration"], "seconds": row["seconds"]}
            self._run.log(at | scalars(row))

    def end(self, status: str) -> None:
        self._run.finish(exit_code=CODES[status])
