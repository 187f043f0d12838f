"""innerloop: deep meta-reinforcement learning. Agents that learn new tasks in a few episodes."""

from types import ModuleType
from typing import TYPE_CHECKING, Any

from innerloop import evaluate as evaluate
from innerloop.version import __version__ as __version__

if TYPE_CHECKING:
    from innerloop.api import (
        Run as Run,
        adapt as adapt,
        digest as digest,
        export as export,
        load as load,
        record as record,
        report as report,
        resume as resume,
        train as train,
    )
    from innerloop.deploy.agent import Agent as Agent


class _Verb(ModuleType):
    """The package `innerloop.evaluate`, which bears the name of a verb and so can be called as one."""

    def __call__(self, path: Any, **options: Any) -> dict[str, Any]:
        """See `innerloop.evaluation.evaluate`."""
        from innerloop import api

        return api.evaluate(path, **options)


evaluate.__class__ = _Verb

__all__ = [
    "Agent",
    "Run",
    "__version__",
    "adapt",
    "digest",
    "evaluate",
    "export",
    "load",
    "record",
    "report",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    """The verbs, imported when first used: importing the package costs nothing."""
    if name == "Agent":
        from innerloop.deploy.agent import Agent

        return Agent
    if name in __all__:
        from innerloop import api

        return getattr(api, name)
    raise AttributeError(f"module 'innerloop' has no attribute {name!r}")
