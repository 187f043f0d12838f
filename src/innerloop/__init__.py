"""innerloop: deep meta-reinforcement learning. Agents that learn new tasks in a few episodes."""

from typing import TYPE_CHECKING, Any

from innerloop.version import __version__ as __version__

if TYPE_CHECKING:
    from innerloop.api import (
        Run as Run,
        digest as digest,
        evaluate as evaluate,
        report as report,
        resume as resume,
        train as train,
    )

__all__ = ["Run", "__version__", "digest", "evaluate", "report", "resume", "train"]


def __getattr__(name: str) -> Any:
    """The verbs, imported when first used: importing the package costs nothing."""
    if name in __all__:
        from innerloop import api

        return getattr(api, name)
    raise AttributeError(f"module 'innerloop' has no attribute {name!r}")
