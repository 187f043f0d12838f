"""Checkpoints: all that training carries, written atomically, verified when read, the last few kept.

Not the folder that one of them is (`sealed.py`): `checkpoints/step-000000012` of the run folder, with `state.safetensors` and
`manifest.json`, which appears by one rename once both are on the disk. A damaged one is passed over for the one before it,
saying so.

    save(folder, step, tree, extra={"iteration": 12, "env_steps": 4800, "recipe": recipe_digest(recipe)})
    tree, manifest = restore(folder, like, recipe=recipe_digest(recipe))
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from innerloop.run import sealed
from innerloop.run.facts import differences, facts
from innerloop.run.sealed import STAGES, Folder, Hook, NoCheckpoint, load_meta, read_card, save_meta
from innerloop.run.tensors import Damaged, Leaf, NonFinite, digest, strong

__all__ = [
    "STAGES", "NoCheckpoint", "NonFinite", "Saver", "clean", "digest", "load_meta", "read_card", "restore", "save", "save_meta",
    "steps", "strong", "verify",
]  # fmt: skip
T = TypeVar("T")

_log = logging.getLogger(__name__)
_STEP = re.compile(r"step-([0-9]{9,18})")


def _home(folder: Folder) -> Path:
    return Path(folder) / "checkpoints"


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _found(folder: Folder) -> dict[int, Path]:
    """Every checkpoint's folder by step, ascending. One set aside by a save killed while replacing it still counts."""
    home, found = _home(folder), {}
    for path in sorted(home.iterdir()) if home.is_dir() else ():  # ".aside-…" sorts before "step-…"
        match = _STEP.fullmatch(path.name.removeprefix(".aside-"))
        if match and path.is_dir():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def steps(folder: Folder) -> list[int]:
    """The steps of which the run folder has a checkpoint, good or damaged, ascending."""
    return list(_found(folder))


def clean(folder: Folder) -> None:
    """Remove what killed saves left behind. Only for the process that holds the run's lock, and not during a save."""
    home, good = _home(folder), _found(folder).values()
    for path in list(home.iterdir()) if home.is_dir() else ():
        if path.name.startswith((".tmp-", ".aside-")) and path not in good:
            shutil.rmtree(path, ignore_errors=True)


def _prune(folder: Folder, step: int, keep: int, pinned: int | None, hook: Hook | None) -> None:
    """After `step` was saved: drop all but `pinned` and the last `keep` up to it, and later ones, from which the run went
    back."""
    found = _found(folder)
    kept = [s for s in found if s <= step][-max(1, keep) :] + [pinned]
    for old in [s for s in found if s not in kept]:
        dropped = found[old].with_name(f".tmp-dropped-{old}-{os.getpid()}")
        found[old].rename(dropped)
        if hook:
            hook("pruning")
        shutil.rmtree(dropped, ignore_errors=True)


def _store(
    folder: Folder, host: list[Leaf], manifest: dict[str, Any], keep: int, hook: Hook | None, pinned: int | None = None
) -> None:
    hook, step = hook or sealed.environment_hook(), manifest["step"]
    parent = max((s for s in _found(folder) if s < step), default=None)
    sealed.write(_home(folder) / _name(step), host, {**manifest, "parent": parent}, hook)
    _prune(folder, step, keep, pinned, hook)
    if hook:
        hook("pruned")


def save(folder: Folder, step: int, tree: Any, *, extra: dict[str, Any], keep: int = 3, hook: Hook | None = None) -> None:
    """Save `tree` as checkpoint `step` of the run folder, and return once it is on the disk.

    Args:
        step: the iteration, say; later checkpoints (from which the run went back) and all but the last `keep` are dropped.
        extra: JSON, handed back in manifest["extra"]: "iteration", "env_steps", "recipe" (its digest), and what you like.
        hook: called with each of STAGES as it is passed; for tests.

    Raises:
        NonFinite: a leaf holds a NaN or an infinity. TypeError: a leaf is no array. OSError: the disk is full, say; what was
        saved before is as it was.
    """
    manifest, host = sealed.prepare(step, tree, extra)
    _store(folder, host, manifest, keep, hook)


class Saver:
    """Saves beside the training: `save` copies the state to the host and returns; one thread writes it.

    A save that the disk refuses is reported as a warning at the next call, and training goes on with the checkpoint before.
    """

    def __init__(self, folder: Folder, *, keep: int = 3, hook: Hook | None = None):
        self.folder, self.keep, self.hook = folder, keep, hook
        self.last: int | None = None  # the last step that this saver has put on the disk
        self._thread: threading.Thread | None = None
        self._step, self._problem = -1, None
        clean(folder)

    def save(self, step: int, tree: Any, *, extra: dict[str, Any], pinned: int | None = None) -> None:
        """Like `checkpoint.save`; waits first for the save before, so that at most one is under way.

        Args:
            pinned: the step of a checkpoint that is kept beside the last few.

        Raises:
            NonFinite, TypeError, ValueError: at once, before anything is written.
        """
        self.wait()
        manifest, host = sealed.prepare(step, tree, extra, copy=True)
        self._step = step
        self._thread = threading.Thread(target=self._run, args=(host, manifest, pinned), name="checkpoint", daemon=False)
        self._thread.start()

    def wait(self) -> bool:
        """Wait for the save under way; whether the last one asked for is on the disk. Warns once if it is not."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self._problem is not None:
                have = f"the last one is of step {self.last}" if self.last is not None else "there is none of this session"
                _log.warning("The checkpoint of step %d could not be saved (%s); %s.", self._step, self._problem, have)
        return self._problem is None

    def _run(self, host: list[Leaf], manifest: dict[str, Any], pinned: int | None) -> None:
        self._problem = None
        try:
            _store(self.folder, host, manifest, self.keep, self.hook, pinned)
            self.last = manifest["step"]
        except Exception as problem:  # whatever it is, training goes on
            self._problem = problem


def _newest(
    folder: Folder, step: int | None, recipe: Collection[str] | None, load: Callable[[Path], tuple[T, dict[str, Any]]]
) -> tuple[T, dict[str, Any]]:
    """What `load` gives of the newest good checkpoint (or of `step` alone); each damaged one is reported."""
    found = _found(folder)
    damaged: dict[str, str] = {}
    for number, path in reversed(found.items()):
        if step not in (None, number):
            continue
        try:
            value, manifest = load(path)
            if manifest["step"] != number:
                raise Damaged(f"it is the checkpoint of step {manifest['step']}")
            if recipe is not None and manifest["extra"].get("recipe") not in recipe:
                raise Damaged("it belongs to another recipe")
        except sealed.READING as problem:
            damaged[path.name] = sealed.reason(problem)
            _log.warning("Checkpoint %s of %s is not used: %s.", path.name, folder, damaged[path.name])
            continue
        if damaged:
            _log.warning("The checkpoint of step %d is used instead.", number)
        return value, manifest
    if step is not None and not damaged:
        damaged[_name(step)] = f"not there (there are {', '.join(map(str, found)) or 'none'})"
    raise NoCheckpoint(_home(folder), damaged)


def _digests(recipe: str | Collection[str] | None) -> Collection[str] | None:
    return {recipe} if isinstance(recipe, str) else recipe


def restore(
    folder: Folder, like: Any, *, step: int | None = None, recipe: str | Collection[str] | None = None, resuming: bool = True
) -> tuple[Any, dict[str, Any]]:
    """The newest good checkpoint of the run folder, or that of `step`: (tree, manifest).

    Every byte is verified. Damage of any kind is reported as a warning and the checkpoint before is used; a warning "not
    bit-exact" names what differs between the process that saved and this one.

    Args:
        like: a tree of arrays or ShapeDtypeStructs that says which leaves are expected.
        recipe: the digest (or digests) that manifest["extra"]["recipe"] must be; None accepts any.
        resuming: training goes on from here, so that differing bits matter; False where the state is only read.

    Raises:
        NoCheckpoint: none is good. Its `damaged` is empty if there is none at all, and only then may a run start anew.
    """
    tree, manifest = _newest(folder, step, _digests(recipe), lambda path: sealed.load(path, like))
    changed = differences(manifest["facts"], facts()) if resuming else []
    if changed:
        _log.warning("Resuming is not bit-exact: %s.", "; ".join(changed))
    return tree, manifest


def verify(folder: Folder, *, step: int | None = None, recipe: str | Collection[str] | None = None) -> dict[str, Any]:
    """The manifest of what `restore` would use, all its bytes verified; its "digest" is that of the whole state."""
    return _newest(folder, step, _digests(recipe), sealed.verify)[1]
