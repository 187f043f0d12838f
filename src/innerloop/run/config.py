"""The recipe: everything that decides a training run, as one frozen object, and its view as nested plain values.

Not the named recipes themselves (`recipes/`), nor the parsing of what a user writes (`settings.py`).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from innerloop.core import Inner, Outer, Plan
from innerloop.core.spaces import images
from innerloop.run.settings import ConfigError


@dataclass(frozen=True)
class Recipe:
    """inner × outer × plan, on one family."""

    name: str  # of the recipe
    family: str  # of the tasks
    inner: Inner
    outer: Outer
    meta_batch: int  # tasks per update
    steps: int  # environment steps of training in all; 0: none, `start` is used as it is
    unit: str  # of experience in reports: "step", "episode", "gradient step" or "update"
    evaluation: Plan  # the shape of one life in evaluation
    start: str = ""  # a run folder, zoo:NAME or a rule's .npz whose meta-parameters training begins with; "": fresh ones
    held_out: int = 200  # tasks in each evaluation while training
    evaluations: int = 20  # of them in a run
    report_every: int = 1  # updates between rows of the log
    save_every: float = 30.0  # seconds between checkpoints
    keep: int = 3  # checkpoints kept
    workers: int = 2  # processes for host environments, threads for robots; 0: neither, and no deadlines
    histories: str = ""  # a folder of recorded ones to train on in place of lives; evaluation lives in the family
    thin: int = 1  # every so-manieth episode of a history is kept
    digest: str = ""  # of the histories, once the run has begun: it goes on with the same ones, or not at all

    @property
    def interactions(self) -> int:
        """Environment steps per update."""
        return self.meta_batch * self.outer.lives(self.inner) * self.inner.plan.interactions

    @property
    def updates(self) -> int:
        """Updates in the run: the least number that reaches `steps`."""
        return -(-self.steps // self.interactions)

    def settled(self) -> Recipe:
        """The recipe with its outer told how many updates are to come (for schedules). ConfigError, or the ValueError of its
        inner or outer, if it cannot run."""
        for name in ("meta_batch", "held_out", "report_every", "keep", "thin"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.steps < 1 and (self.steps < 0 or not self.start):
            raise ConfigError(f"steps is {self.steps}; it must be at least 1, or 0 to use what `start` names as it is.")
        if self.held_out < 2:
            raise ConfigError(f"held_out is {self.held_out}; an interval needs at least 2 tasks.")
        if self.evaluations < 0:
            raise ConfigError(f"evaluations is {self.evaluations}; it must be at least 0.")
        for plan in (self.inner.plan, self.evaluation):
            if min(plan.chunks, plan.steps, plan.streams) < 1:
                raise ConfigError(f"{plan} has an empty axis; chunks, steps and streams must each be at least 1.")
            if plan.episodes < 0 or (plan.episodes and plan.restart):
                raise ConfigError(f"{plan}: episodes must be at least 0, and 0 where restart ends every chunk's episodes.")
        for image, _ in images(self.inner.spaces.obs):
            if not self.inner.sighted:
                raise ConfigError(
                    f"{self.family}: observations hold an image {list(image.shape)}, and the nets of {self.name} have no "
                    "convolutions. rl2, varibad, maml and its variants have; or flatten the image in the environment."
                )
        self.inner.check()
        self.outer.check(self.inner)
        if self.histories and self.outer.offline == "never":
            raise ConfigError(
                f"histories = {self.histories!r}, and {self.name} learns from its own lives only: its outer compares with the "
                "distributions that acted, which histories do not hold. Of the recipes, ad, dpt and amago learn from histories."
            )
        return dataclasses.replace(self, outer=self.outer.planned(max(self.updates, 1), self.meta_batch))


_DERIVED = {"spaces", "tasks", "updates"}  # follow from the family and the other fields


def _fields(x: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(x):
        return {f.name: getattr(x, f.name) for f in dataclasses.fields(x) if f.name not in _DERIVED}
    return x._asdict()


def _nested(x: Any) -> bool:
    return dataclasses.is_dataclass(x) or hasattr(x, "_asdict")


def as_dict(x: Any) -> dict[str, Any]:
    """Nested plain dict of a recipe (or a part of one): JSON and TOML write it."""
    out: dict[str, Any] = {}
    for name, value in _fields(x).items():
        out[name] = as_dict(value) if _nested(value) else list(value) if isinstance(value, tuple) else value
    return out


def _coerce(path: str, old: Any, new: Any) -> Any:
    """`new` in the type of `old`; ConfigError says what is accepted."""
    if isinstance(old, bool):
        if isinstance(new, bool):
            return new
    elif isinstance(old, (int, float)) and isinstance(new, (int, float)) and not isinstance(new, bool):
        if isinstance(old, float):
            return float(new)
        if float(new).is_integer():
            return int(new)
    elif isinstance(old, str) and isinstance(new, str):
        return new
    elif isinstance(old, tuple):
        items = list(new) if isinstance(new, (list, tuple)) else [new]
        return tuple(_coerce(path, old[0], item) if old else item for item in items)
    kind = "true or false" if isinstance(old, bool) else {int: "a whole number", float: "a number", str: "text"}.get(type(old))
    raise ConfigError(f"{path} = {new!r} does not fit; it takes {kind or type(old).__name__} (now {old!r}).")


def assign(x: Any, path: str, value: Any, whole: str | None = None) -> Any:
    """A copy of recipe `x` with the field at dotted `path` set; ConfigError names the nearest field if there is none."""
    whole = whole or path
    head, _, rest = path.partition(".")
    fields = _fields(x)
    if head not in fields:
        prefix = whole[: len(whole) - len(path)]
        near = difflib.get_close_matches(head, fields, 1, 0.5)
        hint = f" Did you mean {prefix}{near[0]}?" if near else ""
        raise ConfigError(f"there is no setting {whole!r}.{hint} Accepted there: {', '.join(prefix + f for f in fields)}.")
    old = fields[head]
    if rest:
        if not _nested(old):
            raise ConfigError(f"{whole!r}: {head!r} is a single value, {old!r}, and has no field {rest!r}.")
        new = assign(old, rest, value, whole)
    elif isinstance(value, Mapping) and _nested(old):
        new = old
        for name, item in value.items():
            new = assign(new, name, item, f"{whole}.{name}")
    else:
        new = _coerce(whole, old, value)
    return x._replace(**{head: new}) if hasattr(x, "_replace") else dataclasses.replace(x, **{head: new})


def override(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """`recipe` with nested settings (from TOML or recipe.json) applied."""
    for name, value in settings.items():
        recipe = assign(recipe, name, value)
    return recipe
