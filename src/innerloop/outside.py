"""What comes from outside: modules that a user names, and Keras. Free of JAX, since the command's arguments are read with it.

Not the packages that a family stands on: each is imported in that family's own file.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def imported(name: str, option: str) -> Any:
    """What "package.module:attribute" names; modules in the working folder are found too. `option`: for the message."""
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.append("")  # the console script has it not, `python -m` has
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{option} {name!r} cannot be imported: {error}. Give package.module:make.") from None


def keras() -> Any:
    """Keras 3 on JAX (the extra `keras`), imported when it is first needed. It takes its backend from the environment, once."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"
    try:
        found = importlib.import_module("keras")
        backend = found.config.backend()
    except (ImportError, AttributeError):
        raise ValueError("a policy network of Keras needs Keras 3: pip install 'innerloop[keras]'") from None
    if backend != "jax":
        raise ValueError(
            f"Keras was imported with the backend {backend!r}, and here it must be 'jax': set KERAS_BACKEND=jax in the "
            "environment, or import keras after innerloop has asked for it."
        )
    return found
