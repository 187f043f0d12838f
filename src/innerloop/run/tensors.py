"""The leaves of a tree as named tensors: in one safetensors file, each with its SHA-256, verified when read.

Not a checkpoint (`checkpoint.py` makes it atomic and keeps several). Leaves are jax or numpy arrays of the types in DTYPES,
or typed random keys, which are stored as their key data and the name of their generator.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip
BLOCK = 1 << 20  # bytes written or hashed at a time


class NonFinite(ValueError):
    """A tree with a NaN or an infinity in it was to be saved; `paths` names the leaves."""

    def __init__(self, paths: list[str]):
        self.paths = paths
        more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
        super().__init__(
            f"Not saved: NaN or infinity in {', '.join(paths[:4])}{more}. Only finite states are saved; go back to the last "
            "checkpoint, or mask what made it."
        )


class Damaged(Exception):
    """A stored state is not what was written, or not what is asked for; the message says how."""


class Leaf(NamedTuple):
    """One leaf on the host: its path, its array, and the generator's name if it is a random key."""

    path: str
    array: np.ndarray
    key: str | None


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _paths(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    found, structure = jax.tree_util.tree_flatten_with_path(tree)
    named = [(jax.tree_util.keystr(path) or "root", x) for path, x in found]
    if len({path for path, _ in named}) < len(named):
        raise TypeError("Two leaves of this tree have the same path; register its nodes with keys.")
    return named, structure


def leaves(tree: Any, *, copy: bool = True) -> list[Leaf]:
    """The leaves of a tree on the host, in tree order. `copy=False` may share memory with the tree.

    Raises:
        TypeError: a leaf is no array, or of a type that cannot be stored.
    """
    named, _ = _paths(tree)
    host = []
    for path, x in named:
        if not isinstance(x, (jax.Array, np.ndarray, np.generic)):
            raise TypeError(f"{path} is {type(x).__name__}; only arrays are stored. Make it an array, or a static field.")
        key = str(jax.random.key_impl(x)) if _is_key(x) else None
        array = np.asarray(jax.random.key_data(x) if key else x, order="C")
        if array.dtype.name not in DTYPES:
            raise TypeError(f"{path} has type {array.dtype}; stored are {', '.join(DTYPES)} and random keys.")
        host.append(Leaf(path, array.copy() if copy else array, key))
    return host


def strong(tree: Any) -> Any:
    """The same tree without weak types (`jnp.array(0.0)` has one), which a file cannot hold.

    A trainer calls it once before its first update: then a restored state has the very types of one that never stopped.
    """
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype) if getattr(x, "weak_type", False) else x, tree)


def refuse_non_finite(host: Sequence[Leaf]) -> None:
    """Raise NonFinite if a float leaf holds a NaN or an infinity."""
    with np.errstate(all="ignore"):
        bad = [x.path for x in host if _inexact(x.array) and not (np.isfinite(x.array.sum()) or np.isfinite(x.array).all())]
    if bad:
        raise NonFinite(bad)


def _inexact(array: np.ndarray) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))


def describe(host: Sequence[Leaf]) -> list[dict[str, Any]]:
    """What a manifest says of each leaf: path, dtype, shape, key (generator or null), SHA-256 of its bytes."""
    sums = [hashlib.sha256(_bytes(x.array)).hexdigest() for x in host]
    return [
        {"path": path, "dtype": x.dtype.name, "shape": list(x.shape), "key": key, "sha256": sha256}
        for (path, x, key), sha256 in zip(host, sums, strict=True)
    ]


def total(entries: Sequence[dict[str, Any]]) -> str:
    """One SHA-256 over all leaves: path, dtype, shape, generator and bytes (by their SHA-256), in order."""
    rows = [[e["path"], e["dtype"], e["shape"], e["key"], e["sha256"]] for e in entries]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def digest(tree: Any) -> str:
    """One SHA-256 over all that a tree holds: every leaf's path, type, shape and bytes. Equal digests: equal bits."""
    return total(describe(leaves(tree, copy=False)))


def _size(entry: dict[str, Any]) -> int:
    return math.prod(entry["shape"]) * jnp.dtype(entry["dtype"]).itemsize


def header(entries: Sequence[dict[str, Any]]) -> bytes:
    """The beginning of the safetensors file of these leaves, in this order and without holes."""
    fields, at = {}, 0
    for e in entries:
        end = at + _size(e)
        fields[e["path"]] = {"dtype": DTYPES[e["dtype"]], "shape": e["shape"], "data_offsets": [at, end]}
        at = end
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(
    path: Path, host: Sequence[Leaf], entries: Sequence[dict[str, Any]], hook: Callable[[str], None] | None = None
) -> None:
    """Write the file and flush it to the disk; `hook` hears "writing" half way, "written" and "synced"."""
    with open(path, "wb") as file:
        file.write(header(entries))
        for i, leaf in enumerate(host):
            if hook and i == len(host) // 2:
                file.flush()
                hook("writing")
            data = _bytes(leaf.array)
            for at in range(0, len(data), BLOCK):
                file.write(data[at : at + BLOCK])
        file.flush()
        if hook:
            hook("written")
        os.fsync(file.fileno())
    if hook:
        hook("synced")


def read(path: Path, entries: Sequence[dict[str, Any]]) -> Iterator[np.ndarray]:
    """The arrays of the file, one by one, each verified; Damaged as soon as anything differs from `entries`.

    Nothing is allocated before the file's size has been found right.
    """
    expected = header(entries)
    size = len(expected) + sum(_size(e) for e in entries)
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            raise Damaged(f"{path.name} has {os.fstat(file.fileno()).st_size} bytes instead of {size}")
        if file.read(len(expected)) != expected:
            raise Damaged(f"the header of {path.name} is not what was written")
        for e in entries:
            array = np.empty(e["shape"], jnp.dtype(e["dtype"]))
            data = _bytes(array)
            done = 0
            while done < len(data):
                count = file.readinto(data[done : done + BLOCK])
                if not count:
                    raise Damaged(f"{path.name} ends too early")
                done += count
            if hashlib.sha256(data).hexdigest() != e["sha256"]:
                raise Damaged(f"{e['path']} is not what was written (its SHA-256 differs)")
            yield array


def check_entries(entries: Any) -> list[dict[str, Any]]:
    """`entries` if they describe leaves that can be stored; Damaged otherwise."""
    if not isinstance(entries, list):
        raise Damaged("the manifest lists no leaves")
    for e in entries:
        ok = isinstance(e, dict) and isinstance(e.get("path"), str) and e.get("dtype") in DTYPES and "key" in e
        ok = ok and isinstance(e.get("sha256"), str) and isinstance(e.get("shape"), list)
        if not ok or not all(type(n) is int and n >= 0 for n in e["shape"]):
            raise Damaged("the manifest describes a leaf that cannot be")
    return entries


def _expected(x: Any) -> tuple[str, list[int]]:
    if _is_key(x):
        x = jax.eval_shape(jax.random.key_data, x)
    return jnp.dtype(x.dtype).name, list(x.shape)


_OTHER = "the family's spaces, or the recipe's settings, are not those it was trained with"


def check_like(entries: Sequence[dict[str, Any]], like: Any) -> None:
    """Damaged unless the leaves described are those of `like` (arrays or ShapeDtypeStructs): paths, types and shapes."""
    named, _ = _paths(like)
    stored, asked = [e["path"] for e in entries], [path for path, _ in named]
    if stored != asked:
        odd = sorted(set(stored) ^ set(asked))
        raise Damaged(f"its leaves are not those asked for: {', '.join(odd[:4]) or 'another order'}: {_OTHER}")
    for e, (path, x) in zip(entries, named, strict=True):
        dtype, shape = _expected(x)
        if (e["dtype"], e["shape"], e["key"] is not None) != (dtype, shape, _is_key(x)):
            raise Damaged(f"{path} is {e['dtype']}{e['shape']} there, and {dtype}{shape} is asked for: {_OTHER}")


def rebuild(arrays: Sequence[np.ndarray], entries: Sequence[dict[str, Any]], like: Any) -> Any:
    """The tree of `like` with these arrays as leaves: numpy where `like` has numpy, else on jax's default device."""
    named, structure = _paths(like)
    values: list[Any] = []
    for array, e, (path, x) in zip(arrays, entries, named, strict=True):
        if isinstance(x, (np.ndarray, np.generic)):
            values.append(array if isinstance(x, np.ndarray) else array[()])
            continue
        if array.dtype.name in ("int64", "uint64", "float64") and not jax.config.jax_enable_x64:
            raise Damaged(f"{path} is {array.dtype}, which this process cannot hold; set JAX_ENABLE_X64=1")
        value = jnp.array(array)
        if e["key"] is not None:
            value = jax.random.wrap_key_data(value, impl=e["key"])
            if value.dtype != x.dtype:
                raise Damaged(f"{path} is a key of {e['key']}, and {x.dtype} is asked for")
        values.append(value)
    return jax.tree.unflatten(structure, values)
