"""The run folder: its names, its lock, and its recipe and record as JSON, written atomically.

Not the checkpoints (`checkpoint.py`) nor the log (`log.py`). Imports the standard library only, so that a run is on disk
before anything heavy is imported.

    DIR/recipe.json      what is trained
    DIR/run.json         command, seed, versions, started, status
    DIR/log.jsonl        one row per report
    DIR/tensorboard/     the same, as scalars
    DIR/checkpoints/     step-000000012/{state.safetensors, manifest.json}
    DIR/remote.json      where else the rows of the log go, and how many have gone there
    DIR/lock             who is writing; empty when nobody is
    DIR/seed-N/          the same again, when several seeds were asked for
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from innerloop.run.ending import ended
from innerloop.run.lock import FolderError, Lock, Locked
from innerloop.version import __version__

__all__ = [
    "STATUSES", "FolderError", "Locked", "NoRun", "RunExists", "RunFolder", "canonical", "check_name", "members", "read_json",
    "recipe_digest", "seed_folder", "sync", "versions", "write_atomically", "write_json",
]  # fmt: skip
STATUSES = ("running", "finished", "failed", "interrupted")
SCHEMA = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_OURS = {"recipe.json", "lock"}  # what a run killed before its run.json may have left


class RunExists(FolderError):
    """The folder already holds a run, or something that is no run."""


class NoRun(FolderError):
    """The folder holds no run."""


def check_name(name: str) -> str:
    """`name` if it may name a run or a zoo entry (1 to 64 of a-z 0-9 . _ -, the first a letter or digit); else ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a run: use 1 to 64 characters out of a-z, 0-9, '.', '_' and '-', beginning with a letter "
            "or a digit."
        )
    return name


def sync(path: str | os.PathLike[str]) -> None:
    """Flush a folder's entries (or a file's bytes) to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes) -> None:
    """Give `path` these bytes: a reader, or a later start after a kill, sees the old content or the new, never a part."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def canonical(value: Any) -> bytes:
    """The one JSON text of a value, whatever the order of its keys. NaN and infinity are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; NoRun if it is absent, FolderError if it is not an object."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NoRun(f"{path.parent} holds no run: {path.name} is missing. Give a folder made by `innerloop train`.") from None
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path} is not valid JSON ({error}).") from None
    if not isinstance(value, dict):
        raise FolderError(f"{path} should hold a JSON object, not {type(value).__name__}.")
    return value


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """SHA-256 of a recipe; a checkpoint carries it, so that another recipe's is never restored."""
    return hashlib.sha256(canonical(dict(recipe))).hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what a run's result rests on, without importing any of it."""
    found = {"innerloop": __version__, "python": platform.python_version()}
    for name in ("jax", "jaxlib", "numpy", "equinox", "optax", "gymnasium", "mujoco"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    for name in ("ale-py", "envpool", "metaworld", "xminigrid"):  # extras whose games and rules may change
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class RunFolder:
    """One run's folder. `create` begins a run and `resume` continues one, both taking the lock; `RunFolder(path)` reads.

    Use the writing ones as a context: leaving it sets the status (`ending.ended`) and gives the lock back.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._lock = Lock(self.path / "lock")

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], recipe: Mapping[str, Any], *, command: list[str], seed: int, **more: Any
    ) -> RunFolder:
        """Begin a run in a new (or empty) folder: lock, recipe.json, run.json with status "running".

        Args:
            recipe: any JSON object; `more` goes to run.json.

        Raises:
            RunExists: the folder holds a run or other files. Locked: another process writes there.
        """
        run = cls(path)
        run._refuse_occupied()
        run.path.mkdir(parents=True, exist_ok=True)
        run._lock.take()
        try:
            run._refuse_occupied()
            run.write_recipe(recipe)
            record = {"schema": SCHEMA, "command": list(command), "seed": seed, "versions": versions(), "started": _now()}
            write_json(run.path / "run.json", {**record, "status": "running", "resumed": [], **more})
        except BaseException:
            run._lock.release()
            raise
        return run

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Take up the run in `path`: lock it and set it to "running". (Look first whether its `status` is "finished".)

        Raises:
            NoRun: nothing to resume. Locked: another process writes there.
        """
        run = cls(path)
        record = run.record
        run._lock.take()
        try:
            run.update(status="running", resumed=[*record.get("resumed", []), {"at": _now(), "versions": versions()}])
        except BaseException:
            run._lock.release()
            raise
        return run

    @property
    def recipe(self) -> dict[str, Any]:
        """What is trained, as in recipe.json."""
        return read_json(self.path / "recipe.json")

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json."""
        return read_json(self.path / "run.json")

    @property
    def status(self) -> str:
        """One of STATUSES. A run that says "running" while no living process holds its lock was interrupted."""
        status = str(self.record.get("status"))
        return "interrupted" if status == "running" and self._lock.owner() is None else status

    @property
    def log(self) -> Path:
        """The JSON-lines log."""
        return self.path / "log.jsonl"

    @property
    def held(self) -> bool:
        """Whether this object holds the folder's lock."""
        return self._lock.held

    def write_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Replace recipe.json (once names have been resolved to the full recipe, say)."""
        write_json(self.path / "recipe.json", dict(recipe))

    def update(self, **fields: Any) -> None:
        """Set fields of run.json; `status` must be one of STATUSES."""
        if fields.get("status", "running") not in STATUSES:
            raise ValueError(f"status {fields['status']!r} is none of {', '.join(STATUSES)}.")
        write_json(self.path / "run.json", {**self.record, **fields})

    def close(self, status: str, **fields: Any) -> None:
        """Set the last status (and other fields of run.json) and give the lock back."""
        try:
            self.update(status=status, ended=_now(), **fields)
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._lock.held:
            return
        if kind is None:
            return self.close("finished")
        try:
            self.close(ended(kind), reason=f"{kind.__name__}: {error}")
        except OSError as problem:  # a full disk must not hide why the run ended
            assert error is not None
            error.add_note(f"The status could not be written to {self.path / 'run.json'}: {problem}.")

    def _refuse_occupied(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunExists(f"{self.path} is a file; --out needs a folder.")
        if (self.path / "run.json").exists():
            raise RunExists(
                f"{self.path} already holds a run ({self.status}). Continue it with `--resume {self.path}`, or choose "
                "another folder with --out."
            )
        found = sorted(p.name for p in self.path.iterdir() if p.name not in _OURS and not p.name.startswith(".tmp-"))
        if found:
            raise RunExists(f"{self.path} is not empty (it holds {', '.join(found[:3])}); choose another folder with --out.")


def seed_folder(path: str | os.PathLike[str], seed: int) -> Path:
    """Where seed `seed` of a run of several seeds lives: DIR/seed-N."""
    return Path(path) / f"seed-{seed}"


def members(path: str | os.PathLike[str]) -> list[RunFolder]:
    """The runs in DIR: DIR itself if it is one, else its DIR/seed-N in the order of N; NoRun if there are none."""
    path = Path(path)
    if (path / "run.json").is_file():
        return [RunFolder(path)]
    children = path.iterdir() if path.is_dir() else ()
    named = [p for p in children if re.fullmatch(r"seed-(0|[1-9][0-9]*)", p.name)]
    seeds = {int(p.name.removeprefix("seed-")): p for p in named if (p / "run.json").is_file()}
    if not seeds:
        what = "holds no run.json and no seed-N" if path.is_dir() else "is no folder"
        raise NoRun(f"{path} {what}. Give a folder made by `innerloop train`.")
    return [RunFolder(seeds[seed]) for seed in sorted(seeds)]
