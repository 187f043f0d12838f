"""One sealed folder: the leaves of a tree and a manifest, written atomically and verified when read.

Not the steps of a run (`checkpoint.py`), nor the format of the leaves (`tensors.py`). The manifest holds a SHA-256 of every
leaf and is sealed by its own, so that no damage goes unseen. Nothing here executes what it reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from innerloop.run import tensors
from innerloop.run.facts import facts
from innerloop.run.folder import FolderError, canonical, sync, write_atomically
from innerloop.run.tensors import Damaged, Leaf

SCHEMA = 1
# "aside" is passed only where a folder is replaced, "pruning" only where a checkpoint is dropped.
STAGES = ("begin", "writing", "written", "synced", "sealed", "aside", "renamed", "pruning", "pruned")
READING = (
    Damaged,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)  # what damage raises
Folder = str | os.PathLike[str]
Hook = Callable[[str], None]
T = TypeVar("T")

_MANIFEST_CAP = 1 << 26


class NoCheckpoint(FolderError):
    """Nothing good to restore; `damaged` maps each name that is there to what is wrong with it (empty: nothing is there)."""

    def __init__(self, folder: Path, damaged: dict[str, str]):
        self.damaged = damaged
        why = "; ".join(f"{name}: {reason}" for name, reason in damaged.items())
        super().__init__(
            f"No good checkpoint in {folder}" + (f" ({why})." if why else ": none has been saved yet; resume the run.")
        )


def environment_hook() -> Hook | None:
    """INNERLOOP_KILL_IN_SAVE=STAGE:N kills this process as it passes STAGE in its Nth save or later; for tests."""
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


def seal(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its own SHA-256."""
    return {**manifest, "seal": hashlib.sha256(canonical(manifest)).hexdigest()}


def write(target: Path, host: list[Leaf], manifest: dict[str, Any], hook: Hook | None) -> None:
    """Write a folder of leaves and manifest beside `target`, then put it in its place; `hook` hears the STAGES."""
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
        sealed = seal({**manifest, "digest": tensors.total(entries), "leaves": entries})
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


def prepare(step: int, tree: Any, extra: dict[str, Any], *, copy: bool = False) -> tuple[dict[str, Any], list[Leaf]]:
    """The beginning of a manifest, and the leaves on the host; NonFinite, TypeError or ValueError if they cannot be saved."""
    if type(step) is not int or step < 0:
        raise ValueError(f"step {step!r} must be an int of at least 0.")
    manifest = {"schema": SCHEMA, "step": step, "extra": json.loads(canonical(extra)), "facts": facts()}
    host = tensors.leaves(tree, copy=copy)
    tensors.refuse_non_finite(host)
    return manifest, host


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest in a sealed folder, its seal verified and its leaves' descriptions checked."""
    with open(path / "manifest.json", "rb") as file:
        content = file.read(_MANIFEST_CAP + 1)
    if len(content) > _MANIFEST_CAP:
        raise Damaged("manifest.json is too large to be one")
    manifest = json.loads(content)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("extra"), dict):
        raise Damaged("manifest.json is no manifest")
    found = manifest.pop("seal", None)
    if seal(manifest)["seal"] != found:
        raise Damaged("manifest.json is not what was written (its SHA-256 differs)")
    if manifest.get("schema") != SCHEMA:
        raise Damaged(f"its schema is {manifest.get('schema')}, and this version reads {SCHEMA}")
    entries = tensors.check_entries(manifest.get("leaves"))
    if tensors.total(entries) != manifest.get("digest"):
        raise Damaged("the digests of manifest.json disagree")
    return manifest


def load(path: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """(tree, manifest), every byte verified, the tree being of the structure, types and shapes of `like`."""
    manifest = read_manifest(path)
    entries = manifest["leaves"]
    tensors.check_like(entries, like)
    return tensors.rebuild(list(tensors.read(path / "state.safetensors", entries)), entries, like), manifest


def verify(path: Path) -> tuple[None, dict[str, Any]]:
    """(None, manifest), every byte verified, without holding more than a leaf."""
    manifest = read_manifest(path)
    for _ in tensors.read(path / "state.safetensors", manifest["leaves"]):
        pass
    return None, manifest


def save_meta(path: Folder, meta: Any, card: dict[str, Any]) -> None:
    """Write meta-parameters alone, with a JSON card (recipe, family, figures), to the folder `path`: a zoo entry's weights.

    Raises:
        NonFinite, TypeError: as for a checkpoint. FileExistsError: the folder also holds something else.
    """
    path = Path(path)
    manifest, host = prepare(0, meta, card)
    other = sorted({p.name for p in path.iterdir()} - {"state.safetensors", "manifest.json"}) if path.is_dir() else []
    if other:
        raise FileExistsError(f"{path} also holds {other[0]}, which would be lost; give a folder of its own.")
    write(path, host, {**manifest, "parent": None}, None)


def read_card(path: Folder) -> dict[str, Any]:
    """The card of `save_meta`; from it comes the recipe, and from the recipe the `like` of `load_meta`."""
    return _reading(Path(path), read_manifest)["extra"]


def load_meta(path: Folder, like: Any) -> tuple[Any, dict[str, Any]]:
    """(meta, card) as `save_meta` wrote them, every byte verified; NoCheckpoint if anything is wrong."""
    meta, manifest = _reading(Path(path), lambda p: load(p, like))
    return meta, manifest["extra"]


def _reading(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except READING as problem:
        raise NoCheckpoint(path.parent, {path.name: reason(problem)}) from problem


def reason(problem: BaseException) -> str:
    """What is wrong with a folder, in words."""
    return str(problem) if isinstance(problem, Damaged) else f"{type(problem).__name__}: {problem}"
