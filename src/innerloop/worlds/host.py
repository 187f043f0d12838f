"""The host world: the same lives from any Gymnasium environments, stepped in worker processes or in-process.

Not the life itself (`crew.py`): what crosses the boundary is `boundary.py`'s, who steps is `bench.py`'s and `workers.py`'s.
"""

from __future__ import annotations

from typing import Any

from innerloop.worlds.bench import Bench, Layout, Slots
from innerloop.worlds.crew import CrewWorld
from innerloop.worlds.quarantine import Crew
from innerloop.worlds.workers import Workers


class HostWorld(CrewWorld):
    """Lives in the environments of a host family (core.HostTasks)."""

    def __init__(self, tasks: Any, *, workers: int = 2, step_deadline: float = 60.0, reset_deadline: float = 300.0):
        """Nothing is started before the first `live`.

        Args:
            tasks: a host family. `tasks.make` and `tasks.assign` go to the workers: plain functions of a module without
                JAX (or partials of them) let these start in a fraction of a second, bound methods bring their module along.
            workers: processes; 0 steps in-process, without deadlines and without protection from crashes.
            step_deadline: seconds that one environment may take for one step.
            reset_deadline: seconds that one environment may take to be made or reset.
        """
        if min(step_deadline, reset_deadline) <= 0:
            raise ValueError(f"deadlines are {step_deadline} and {reset_deadline} s; accepted: positive numbers of seconds")
        super().__init__(tasks, workers)
        self._deadlines = step_deadline, reset_deadline

    def _hire(self, layout: Layout) -> Crew:
        if self.workers:
            return Workers(self.tasks.make, self.tasks.assign, layout, *self._deadlines)
        return Bench(self.tasks.make, self.tasks.assign, Slots(layout))
