"""Checkpoints: all that training carries, written atomically, verified when read, the last few kept.

Not the file format of the leaves (`tensors.py`). A checkpoint is a folder `checkpoints/step-000000012` of the run folder with
`state.safetensors` and `manifest.json`; it appears by one rename once both are on the disk. The manifest is sealed by its
own SHA-256 and holds one for every leaf, so that no damage goes unseen; a damaged checkpoint is passed over for the one
before it, saying so. Nothing here executes what it reads.

    save(folder, step, tree, extra={"iteration": 12, "env_steps": 4800, "recipe": recipe_digest(recipe)})
    tree, manifest = restore(folder, like, recipe=recipe_digest(recipe))
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from innerloop.run import tensors
from innerloop.run.facts import differences, facts
from innerloop.run.folder import canonical, sync, write_atomically
from innerloop.run.tensors import Damaged, Leaf, NonFinite, digest, strong

__all__ = [
    "STAGES", "NoCheckpoint", "NonFinite", "Saver", "clean", "digest", "load_meta", "read_card", "restore", "save", "save_meta",
    "steps", "strong", "verify",
]  # fmt: skip
SCHEMA = 1
# "aside" is passed only where a checkpoint is replaced, "pruning" only where one is dropped.
STAGES = ("begin", "writing", "written", "synced", "sealed", "aside", "renamed", "pruning", "pruned")
Folder = str | os.PathLike[str]
Hook = Callable[[str], None]
T = TypeVar("T")
Load = Callable[[Path], tuple[T, dict[str, Any]]]

_log = logging.getLogger(__name__)
_STEP = re.compile(r"step-([0-9]{9,18})")
_MANIFEST_CAP = 1 << 26
_READING = (Damaged, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


class NoCheckpoint(Exception):
    """No good checkpoint; `damaged` maps each step that is there to what is wrong with it (empty: there is none at all)."""

    def __init__(self, folder: Path, damaged: dict[int, str]):
        self.damaged = damaged
        why = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
        super().__init__(f"No good checkpoint in {folder}" + (f" ({why})." if why else ": none has been saved yet."))


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


def _environment_hook() -> Hook | None:
    """For tests of whole programs: INNERLOOP_KILL_IN_SAVE=STAGE:N kills this process when it passes STAGE in its Nth save or later."""
    stage, _, count = os.environ.get("INNERLOOP_KILL_IN_SAVE", "").partition(":")
    if not stage:
        return None
    if stage not in STAGES:
        raise ValueError(f"INNERLOOP_KILL_IN_SAVE={stage!r} names none of the stages {', '.join(STAGES)}.")

    def hook(now: str) -> None:
        global _saves
        _saves += now == "begin"
        if now == stage and _saves >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


_saves = 0  # begun by this process while the environment asked for a kill


def _sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "seal": hashlib.sha256(canonical(manifest)).hexdigest()}


def _write(target: Path, host: list[Leaf], manifest: dict[str, Any], hook: Hook | None) -> None:
    """Write a folder of leaves and manifest beside `target`, then put it in its place."""
    home = target.parent
    home.mkdir(parents=True, exist_ok=True)
    temporary, aside = home / f".tmp-{target.name}-{os.getpid()}", home / f".aside-{target.name}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        if hook:
            hook("begin")
        entries = tensors.describe(host)
        tensors.write(temporary / "state.safetensors", host, entries, hook)
        sealed = _sealed({**manifest, "digest": tensors.total(entries), "leaves": entries})
        write_atomically(temporary / "manifest.json", json.dumps(sealed, indent=1, allow_nan=False).encode())
        sync(temporary)
        if hook:
            hook("sealed")
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
            target.rename(aside)
            if hook:
                hook("aside")
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(home)
    shutil.rmtree(aside, ignore_errors=True)
    if hook:
        hook("renamed")


def _prune(folder: Folder, step: int, keep: int, hook: Hook | None) -> None:
    """After `step` was saved: drop all but the last `keep` up to it, and later ones, from which the run went back."""
    found = _found(folder)
    kept = {step, *[s for s in found if s <= step][-keep:]}
    for old in [s for s in found if s not in kept]:
        dropped = found[old].with_name(f".tmp-dropped-{old}-{os.getpid()}")
        found[old].rename(dropped)
        if hook:
            hook("pruning")
        shutil.rmtree(dropped, ignore_errors=True)


def _store(folder: Folder, host: list[Leaf], manifest: dict[str, Any], keep: int, hook: Hook | None) -> None:
    hook, step = hook or _environment_hook(), manifest["step"]
    parent = max((s for s in _found(folder) if s < step), default=None)
    _write(_home(folder) / _name(step), host, {**manifest, "parent": parent}, hook)
    _prune(folder, step, keep, hook)
    if hook:
        hook("pruned")


def _begin(step: int, extra: dict[str, Any], keep: int = 1) -> dict[str, Any]:
    """A manifest without its leaves."""
    if type(step) is not int or step < 0 or type(keep) is not int or keep < 1:
        raise ValueError(f"step {step!r} must be an int of at least 0, and keep {keep!r} of at least 1.")
    return {"schema": SCHEMA, "step": step, "extra": json.loads(canonical(extra)), "facts": facts()}


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
    manifest = _begin(step, extra, keep)
    host = tensors.leaves(tree, copy=False)
    tensors.refuse_non_finite(host)
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

    def save(self, step: int, tree: Any, *, extra: dict[str, Any]) -> None:
        """Like `checkpoint.save`; waits first for the save before, so that at most one is under way.

        Raises:
            NonFinite, TypeError, ValueError: at once, before anything is written.
        """
        manifest = _begin(step, extra, self.keep)
        self.wait()
        host = tensors.leaves(tree)
        tensors.refuse_non_finite(host)
        self._step = step
        self._thread = threading.Thread(target=self._run, args=(host, manifest), name="checkpoint", daemon=False)
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

    def _run(self, host: list[Leaf], manifest: dict[str, Any]) -> None:
        self._problem = None
        try:
            _store(self.folder, host, manifest, self.keep, self.hook)
            self.last = manifest["step"]
        except Exception as problem:  # whatever it is, training goes on
            self._problem = problem


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest in a checkpoint's folder, its seal verified and its leaves' descriptions checked."""
    with open(path / "manifest.json", "rb") as file:
        content = file.read(_MANIFEST_CAP + 1)
    if len(content) > _MANIFEST_CAP:
        raise Damaged("manifest.json is too large to be one")
    manifest = json.loads(content)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("extra"), dict):
        raise Damaged("manifest.json is no manifest")
    seal = manifest.pop("seal", None)
    if _sealed(manifest)["seal"] != seal:
        raise Damaged("manifest.json is not what was written (its SHA-256 differs)")
    if manifest.get("schema") != SCHEMA:
        raise Damaged(f"its schema is {manifest.get('schema')}, and this version reads {SCHEMA}")
    entries = tensors.check_entries(manifest.get("leaves"))
    if tensors.total(entries) != manifest.get("digest"):
        raise Damaged("the digests of manifest.json disagree")
    return manifest


def _load(path: Path, like: Any, arrays: Callable[[Iterator[Any]], T]) -> tuple[T, dict[str, Any]]:
    manifest = _manifest(path)
    if like is not None:
        tensors.check_like(manifest["leaves"], like)
    return arrays(tensors.read(path / "state.safetensors", manifest["leaves"])), manifest


def _newest(folder: Folder, step: int | None, recipe: str | None, load: Load[T]) -> tuple[T, dict[str, Any]]:
    """What `load` gives of the newest good checkpoint (or of `step` alone); each damaged one is reported."""
    found = _found(folder)
    damaged: dict[int, str] = {}
    for number in [s for s in reversed(found) if step in (None, s)]:
        try:
            value, manifest = load(found[number])
            if manifest["step"] != number:
                raise Damaged(f"it is the checkpoint of step {manifest['step']}")
            if recipe is not None and manifest["extra"].get("recipe") != recipe:
                raise Damaged("it belongs to another recipe")
        except _READING as problem:
            damaged[number] = f"{problem}" if isinstance(problem, Damaged) else f"{type(problem).__name__}: {problem}"
            _log.warning("Checkpoint %s of %s is not used: %s.", found[number].name, folder, damaged[number])
            continue
        if damaged:
            _log.warning("The checkpoint of step %d is used instead.", number)
        return value, manifest
    raise NoCheckpoint(_home(folder), damaged)


def restore(folder: Folder, like: Any, *, step: int | None = None, recipe: str | None = None) -> tuple[Any, dict[str, Any]]:
    """The newest good checkpoint of the run folder, or that of `step`: (tree, manifest).

    Every byte is verified. Damage of any kind is reported as a warning and the checkpoint before is used; a warning "not
    bit-exact" names what differs between the process that saved and this one.

    Args:
        like: a tree of arrays or ShapeDtypeStructs that says which leaves are expected.
        recipe: the digest that manifest["extra"]["recipe"] must equal; None accepts any.

    Raises:
        NoCheckpoint: none is good. Its `damaged` is empty if there is none at all, and only then may a run start anew.
    """

    def load(path: Path) -> tuple[Any, dict[str, Any]]:
        arrays, manifest = _load(path, like, list)
        return tensors.rebuild(arrays, manifest["leaves"], like), manifest

    tree, manifest = _newest(folder, step, recipe, load)
    changed = differences(manifest["facts"], facts())
    if changed:
        _log.warning("Resuming is not bit-exact: %s.", "; ".join(changed))
    return tree, manifest


def verify(folder: Folder, *, step: int | None = None, recipe: str | None = None) -> dict[str, Any]:
    """The manifest of what `restore` would use, all its bytes verified; its "digest" is that of the whole state."""
    return _newest(folder, step, recipe, lambda path: _load(path, None, lambda arrays: sum(1 for _ in arrays)))[1]


def save_meta(path: Folder, meta: Any, card: dict[str, Any]) -> None:
    """Write meta-parameters alone, with a JSON card (recipe, family, figures), to the folder `path`: a zoo entry's weights."""
    host = tensors.leaves(meta, copy=False)
    tensors.refuse_non_finite(host)
    path = Path(path)
    other = sorted({p.name for p in path.iterdir()} - {"state.safetensors", "manifest.json"}) if path.is_dir() else []
    if other:
        raise FileExistsError(f"{path} also holds {other[0]}, which would be lost; give a folder of its own.")
    _write(path, host, {**_begin(0, card), "parent": None}, None)


def read_card(path: Folder) -> dict[str, Any]:
    """The card of `save_meta`; from it comes the recipe, and from the recipe the `like` of `load_meta`."""
    return _reading(Path(path), lambda p: _manifest(p)["extra"])


def load_meta(path: Folder, like: Any) -> tuple[Any, dict[str, Any]]:
    """(meta, card) as `save_meta` wrote them, every byte verified; NoCheckpoint if anything is wrong."""

    def load(path: Path) -> tuple[Any, dict[str, Any]]:
        arrays, manifest = _load(path, like, list)
        return tensors.rebuild(arrays, manifest["leaves"], like), manifest["extra"]

    return _reading(Path(path), load)


def _reading(path: Path, load: Callable[[Path], T]) -> T:
    try:
        return load(path)
    except _READING as problem:
        raise NoCheckpoint(path, {0: f"{problem}"}) from problem
