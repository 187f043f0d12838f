"""A run at an MLflow server or in its file or database store, by the package `mlflow`: the extra `innerloop[mlflow]`.

Not when rows are sent (`follower.py`). Its own environment variables say where: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME
("innerloop" if unset) and MLFLOW_TRACKING_TOKEN. A metric's step is the number of environment steps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from innerloop.run.rows import scalars
from innerloop.run.services.sink import About

AT_ONCE = 1000  # metrics in a request; the service's limit
PARAMS, LONG = 100, 6000  # parameters in a request; characters in one
STATUSES = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MlflowRun:
    """The sink. Kept: "run" (its id) and "experiment"."""

    def __init__(self) -> None:
        self._client = mlflow.MlflowClient()
        self._id = ""

    def begin(self, about: About, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        key = str(kept["key"])
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "innerloop"
        experiment = str(kept.get("experiment") or self._experiment(name))
        # Found by its key where an answer was lost; else it would be made twice.
        found = [] if kept.get("run") else self._client.search_runs([experiment], f"tags.`innerloop.key` = '{key}'")
        self._id = str(kept.get("run") or (found[0].info.run_id if found else ""))
        if self._id:
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {"innerloop.key": key, "mlflow.note.content": about.title, "innerloop.group": about.group}
            self._id = self._client.create_run(experiment, run_name=about.name, tags=tags).info.run_id
        self._tell(about)
        return {"run": self._id, "experiment": experiment}

    def send(self, rows: Sequence[Mapping[str, Any]]) -> None:
        metrics = []
        for row in rows:
            # A time that follows from the row: sent twice, it is the same point.
            at = 1000 * int(row["seconds"])
            named = scalars(row) | {"iteration": float(row["iteration"]), "seconds": float(row["seconds"])}
            metrics += [Metric(name, value, at, row["env_steps"]) for name, value in named.items() if math.isfinite(value)]
        for start in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + AT_ONCE])

    def end(self, status: str) -> None:
        self._client.set_terminated(self._id, STATUSES[status])

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(name)
        except MlflowException:  # another run made it meanwhile
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def _tell(self, about: About) -> None:
        """The settings that the remote run does not have yet; one that has changed since (`steps` of a run trained further)
        becomes a tag, as MLflow's parameters cannot change."""
        told = self._client.get_run(self._id).data.params
        ours = {name: str(value)[:LONG] for name, value in about.settings().items()}
        new = [Param(name, value) for name, value in ours.items() if name not in told]
        for start in range(0, len(new), PARAMS):
            self._client.log_batch(self._id, params=new[start : start + PARAMS])
        changed = [RunTag(name, value) for name, value in ours.items() if told.get(name, value) != value]
        if changed:
            self._client.log_batch(self._id, tags=changed)
