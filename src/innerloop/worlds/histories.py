"""Learning histories on the disk: what agents met and did, step by step, in files that are mapped and not read.

Not lives: fast states and distributions are not kept, and what is cut out of histories is `windows.py`'s. The format is
described for others in docs/histories.md.

    FOLDER/part-00000/header.json     what, by whom, how much, and the SHA-256 of each file
    FOLDER/part-00000/NAME.npy        one array per leaf, [histories, steps, ...], or [histories, ...] for the tasks
    FOLDER/.tmp-part-PID/             being written; no reader looks there

A part is written elsewhere and moved in place when it is whole, so a crash leaves no part, or all of it. Parts are added and
never changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from innerloop.core import Discrete, Lifetime, Spaces

SCHEMA = 1
FIRST, TERMINATED, TRUNCATED, SOUND = 1, 2, 4, 8  # bits of a row's flags
_BLOCK = 1 << 22  # bytes hashed at a time


class HistoryError(ValueError):
    """A folder holds no histories, or damaged ones, or not those that are asked for; the message says which and what to do."""


class _Leaf(NamedTuple):
    """One array of a part: what one entry is."""

    dtype: str
    shape: tuple[int, ...]
    limit: int  # of discrete values; 0 where there is none


def _spaced(space: Any, name: str) -> dict[str, _Leaf]:
    """The leaves of a (nested) space in the order of `jax.tree`, named NAME-0, NAME-1, … Whole numbers take few bytes."""
    if isinstance(space, dict):
        spaces = [space[k] for k in sorted(space)]
    else:
        spaces = list(space) if isinstance(space, tuple) else [space]
    flat: list[_Leaf] = []
    for one in spaces:
        if isinstance(one, Discrete):
            flat.append(_Leaf(str(np.min_scalar_type(one.n - 1)), (), one.n))
        elif isinstance(one, (dict, tuple)):
            flat += _spaced(one, name).values()
        else:
            flat.append(_Leaf("float32", tuple(one.shape), 0))
    return {f"{name}-{i}": leaf for i, leaf in enumerate(flat)}


def _layout(spaces: Spaces) -> dict[str, _Leaf]:
    """What is kept of every step."""
    plain = {"reward": _Leaf("float32", (), 0), "flags": _Leaf("uint8", (), 0)}
    return {**_spaced(spaces.obs, "obs"), **_spaced(spaces.obs, "next"), **_spaced(spaces.action, "action"), **plain}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class Recorder:
    """Writes one part. Use it as a context: leaving it moves the part in place, an exception leaves nothing behind."""

    def __init__(self, folder: Path, about: Mapping[str, Any], spaces: Spaces, count: int, steps: int):
        """`about`: JSON for the header; "family" and "split" must be those of the parts already there."""
        self.folder, self.about, self.count, self.steps = Path(folder), dict(about), count, steps
        self._layout, self._files, self._at = _layout(spaces), dict[str, np.memmap](), 0
        self._temporary = self.folder / f".tmp-part-{os.getpid()}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".tmp-part-*"):  # by processes that are no more
            if not _alive(int(left.name.rpartition("-")[2])):
                shutil.rmtree(left)
        for path in _parts(self.folder)[:1]:
            header = _header(path)
            for name in ("family", "split"):
                if header.get(name) != self.about.get(name):
                    raise HistoryError(
                        f"{self.folder} holds histories with {name} {header.get(name)!r}, and these have "
                        f"{self.about.get(name)!r}; record them to another folder."
                    )
        self._temporary.mkdir()
        return self

    def _file(self, name: str, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
        if name not in self._files:
            path = self._temporary / f"{name}.npy"
            self._files[name] = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (self.count, *shape))
        return self._files[name]

    def write(self, lives: Lifetime) -> None:
        """The next lives, leaves [B, K, T, 1, ...], as numpy or jax arrays; K · T must be `steps`."""
        rows = jax.tree.map(
            lambda x: np.asarray(x).reshape(x.shape[0], self.steps, *x.shape[4:]), lives.chunks._replace(dist=())
        )
        flags = rows.step.first * FIRST + rows.terminated * TERMINATED + rows.truncated * TRUNCATED + rows.mask * SOUND
        given = {"reward": rows.reward, "flags": flags, "action-0": rows.action}
        for name, tree in (("obs", rows.step.obs), ("next", rows.next_obs)):
            given |= {f"{name}-{i}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
        here = slice(self._at, self._at + len(flags))
        if here.stop > self.count:
            raise HistoryError(f"{here.stop} histories were given to a part of {self.count}.")
        for name, leaf in self._layout.items():
            self._file(name, leaf.dtype, (self.steps, *leaf.shape))[here] = given[name]
        for i, leaf in enumerate([lives.task.index, *jax.tree.leaves(lives.task.params)]):
            values = np.asarray(leaf)
            self._file(f"task-{i}", values.dtype, values.shape[1:])[here] = values
        self._at = here.stop

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._files.clear()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _finish(self) -> None:
        if self._at != self.count:
            raise HistoryError(f"{self._at} of {self.count} histories were recorded; the part is not kept.")
        leaves = {}
        for name, values in self._files.items():
            values.flush()
            path = self._temporary / f"{name}.npy"
            _sync(path)
            shape = list(values.shape[1:] if name.startswith("task-") else values.shape[2:])
            leaves[name] = {"dtype": str(values.dtype), "shape": shape, "sha256": _sha256(path)}
        header = {"schema": SCHEMA, **self.about, "count": self.count, "steps": self.steps, "leaves": leaves}
        path = self._temporary / "header.json"
        path.write_text(json.dumps(header, indent=1, allow_nan=False) + "\n")
        _sync(path)
        _sync(self._temporary)
        number = len(_parts(self.folder))
        while True:  # another recorder may take the number first
            try:
                os.rename(self._temporary, self.folder / f"part-{number:05d}")
                break
            except OSError:
                if not (self.folder / f"part-{number:05d}").exists():
                    raise
                number += 1
        _sync(self.folder)


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*")) if folder.is_dir() else []


def _header(part: Path) -> dict[str, Any]:
    """The content of a part's header.json, with the fields that every reader needs."""
    path = part / "header.json"
    try:
        header = json.loads(path.read_bytes())
        kinds = {"schema": int, "family": str, "split": str, "count": int, "steps": int, "leaves": dict}
        wrong = [name for name, kind in kinds.items() if not isinstance(header[name], kind)]
    except FileNotFoundError:
        raise HistoryError(f"{part} has no header.json: it was not made by `innerloop record`, or a file was lost.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HistoryError(f"{path} is not the header of histories ({type(error).__name__}: {error}).") from None
    if header["schema"] != SCHEMA:
        raise HistoryError(f"{path} has schema {header['schema']}; this version reads {SCHEMA}.")
    if wrong or min(header["count"], header["steps"]) < 1:
        raise HistoryError(f"{path}: {', '.join(wrong) or 'count and steps'} cannot be what a header holds.")
    return header


class _Part(NamedTuple):
    """An open part."""

    path: Path
    header: dict[str, Any]
    files: dict[str, np.ndarray]


class Histories:
    """All parts of a folder, opened for reading."""

    def __init__(self, folder: str | Path, spaces: Spaces, *, verify: bool = False):
        """Open and check sizes and types; with `verify` every byte too (by the SHA-256 in the headers).

        Raises:
            HistoryError: nothing there, damage, other spaces, or parts that do not belong together.
        """
        self.folder, self._layout = Path(folder), _layout(spaces)
        found = _parts(self.folder)
        if not found:
            raise HistoryError(
                f"{folder} holds no histories; make some with `innerloop record TEACHER --tasks … --out {folder}`."
            )
        self.parts = [self._open(path, verify) for path in found]
        about = {(p.header["family"], p.header["split"]) for p in self.parts}
        if len(about) > 1:
            raise HistoryError(f"the parts of {folder} are of different families or splits: {sorted(about)}.")
        self.family, self.split = about.pop()
        self._ends = np.cumsum([p.header["count"] for p in self.parts])
        sums = [leaf["sha256"] for p in self.parts for _, leaf in sorted(p.header["leaves"].items())]
        self.digest = hashlib.sha256("".join(sums).encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def steps(self) -> int:
        """Of the shortest history."""
        return min(p.header["steps"] for p in self.parts)

    def _open(self, path: Path, verify: bool) -> _Part:
        header, files = _header(path), {}
        count, steps, leaves = header["count"], header["steps"], header["leaves"]
        missing = sorted(set(self._layout) - set(leaves))
        if missing or "task-0" not in leaves:
            raise HistoryError(f"{path} has no {', '.join(missing) or 'task-0'}: it is of other spaces than these tasks'.")
        for name, leaf in leaves.items():
            file = path / f"{name}.npy"
            if "/" in name or name.startswith("."):
                raise HistoryError(f"{path / 'header.json'} names a file {name!r}, which is none of ours.")
            try:
                values = np.load(file, mmap_mode="r", allow_pickle=False)
                inner = tuple(leaf["shape"])
                said = (count, *inner) if name.startswith("task-") else (count, steps, *inner)
                wanted = (said, leaf["dtype"])
            except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
                raise HistoryError(f"{file} cannot be read ({error}); record the histories anew.") from None
            if (values.shape, str(values.dtype)) != wanted:
                raise HistoryError(
                    f"{file} holds {values.dtype}{list(values.shape)}, and its header says {wanted[1]}{list(said)}."
                )
            if name in self._layout and (inner, leaf["dtype"]) != (self._layout[name].shape, self._layout[name].dtype):
                expected = self._layout[name]
                raise HistoryError(
                    f"{file} holds {leaf['dtype']}{list(inner)} per step, and these tasks have {expected.dtype}"
                    f"{list(expected.shape)}: the histories are of another family or version."
                )
            if verify and _sha256(file) != leaf["sha256"]:
                raise HistoryError(f"{file} is not what was written (its SHA-256 differs); record the histories anew.")
            files[name] = values
        return _Part(path, header, files)

    def _at(self, history: int) -> tuple[_Part, int]:
        if not 0 <= history < len(self):
            raise HistoryError(f"history {history} was asked for; {self.folder} holds {len(self)}, from 0.")
        part = int(np.searchsorted(self._ends, history, side="right"))
        return self.parts[part], history - int(self._ends[part - 1] if part else 0)

    def flags(self, history: int) -> np.ndarray:
        """uint8 [steps]: FIRST, TERMINATED, TRUNCATED and SOUND of every step."""
        part, row = self._at(history)
        return np.asarray(part.files["flags"][row])

    def rows(self, history: int, steps: np.ndarray) -> dict[str, np.ndarray]:
        """What was recorded at `steps` of one history, by leaf; values outside a discrete space are damage."""
        part, row = self._at(history)
        if steps.size and not 0 <= steps.min() <= steps.max() < part.header["steps"]:
            raise HistoryError(
                f"steps {steps.min()} to {steps.max()} were asked for; histories in {part.path} have {part.header['steps']}."
            )
        out = {}
        for name, leaf in self._layout.items():
            out[name] = values = part.files[name][row][steps]
            if leaf.limit and values.size and values.max() >= leaf.limit:
                raise HistoryError(
                    f"{part.path / name}.npy holds {values.max()} in history {row}; accepted: 0 to {leaf.limit - 1}."
                )
        return out

    def task(self, history: int) -> list[np.ndarray]:
        """The task's index and the leaves of its parameters."""
        part, row = self._at(history)
        count = sum(name.startswith("task-") for name in part.files)
        return [np.asarray(part.files[f"task-{i}"][row]) for i in range(count)]
