"""The weights of a published update rule, read from a user's file and verified: the .npz of DiscoRL (Oh et al. 2025, Nature,
"Discovering state-of-the-art reinforcement learning algorithms"), as github.com/google-deepmind/disco_rl publishes Disco103.

Not the rule, which is in `nets/disco.py`. No weights come with this library; a file is never downloaded, and nothing in it
can execute.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from innerloop.nets.disco import CHANNELS, EMBED, INPUTS, PER_ACTION

DISCO103 = "dac840a15b81e8805326363458c33979626172618f620d9e6e170315388530aa"  # SHA-256 of the published file
LARGEST = 64 * 2**20  # bytes of a file, and of what it unpacks to
BOUND = 1e3  # of a weight; Disco103's largest is 2.6

_STATE, _READ = "lstm/~/meta_lstm/~unroll", "lstm"


def _mlp(where: str, inputs: int | str, outputs: int) -> dict[str, tuple[int | str, ...]]:
    first, second = f"{where}/~/linear_0", f"{where}/~/linear_1"
    return {
        f"{first}/w": (inputs, EMBED),
        f"{first}/b": (EMBED,),
        f"{second}/w": (EMBED, outputs),
        f"{second}/b": (outputs,),
    }


def _readers(where: str) -> dict[str, tuple[int | str, ...]]:
    """What embeds y, z and the actions; once for the trajectory, once for the lifetime."""
    channels = {
        f"{where}/sequential/conv1_d/w": (1, 2 * PER_ACTION, EMBED),
        f"{where}/sequential/conv1_d/b": (EMBED,),
        f"{where}/sequential/conv1_d_1/w": (1, 2 * EMBED, CHANNELS),
        f"{where}/sequential/conv1_d_1/b": (CHANNELS,),
    }
    return _mlp(f"{where}/mlp", "P", 1) | _mlp(f"{where}/mlp_1", "P", 1) | channels


# Of every array, by its name: P predictions, H units along a trajectory (backwards), M units along a lifetime.
SHAPES: dict[str, tuple[int | str, ...]] = {
    **_readers(_READ),
    **_readers(_STATE),
    f"{_READ}/lstm/linear/w": (f"H+{INPUTS}", "4H"),
    f"{_READ}/lstm/linear/b": ("4H",),
    f"{_READ}/linear/w": ("M", "H"),
    f"{_READ}/linear/b": ("H",),
    f"{_READ}/linear_1/w": ("H", 1),
    f"{_READ}/linear_1/b": (1,),
    f"{_READ}/linear_2/w": ("H", "P"),
    f"{_READ}/linear_2/b": ("P",),
    f"{_READ}/linear_3/w": ("H", "P"),
    f"{_READ}/linear_3/b": ("P",),
    f"{_READ}/sequential_1/conv1_d/w": (1, "2(H+2)", EMBED),
    f"{_READ}/sequential_1/conv1_d/b": (EMBED,),
    f"{_READ}/linear_4/w": (EMBED, 1),
    f"{_READ}/linear_4/b": (1,),
    f"{_STATE}/mlp_2/~/linear_0/w": (INPUTS + 2, EMBED),
    f"{_STATE}/mlp_2/~/linear_0/b": (EMBED,),
    f"{_STATE}/lstm/linear/w": (f"M+{EMBED}", "4M"),
    f"{_STATE}/lstm/linear/b": ("4M",),
}


class Sizes(NamedTuple):
    """What may differ between rules of this format."""

    predictions: int  # P, of y and of z; Disco103: 600
    trajectory: int  # H; 256
    lifetime: int  # M; 128


class PublishedRule(NamedTuple):
    """A verified file."""

    weights: dict[str, np.ndarray]
    sizes: Sizes
    sha256: str  # of the file

    @property
    def name(self) -> str:
        """What is known of its origin."""
        return "Disco103" if self.sha256 == DISCO103 else f"unknown ({self.sha256[:12]})"


def shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a rule of these sizes."""
    p, h, m = sizes
    known = {"P": p, "H": h, "M": m, "4H": 4 * h, "4M": 4 * m, "2(H+2)": 2 * (h + CHANNELS)}
    known |= {f"H+{INPUTS}": h + INPUTS, f"M+{EMBED}": m + EMBED}
    return {name: tuple(known[d] if isinstance(d, str) else d for d in shape) for name, shape in SHAPES.items()}


def read_rule(path: str | Path, sha256: str | None = None) -> PublishedRule:
    """The rule in the file; ValueError, saying what is wrong with it, unless every array is as it should be. `sha256`: refuse
    any other file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file; a rule is an .npz such as disco_103.npz.")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {LARGEST} are read.")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{path} has the SHA-256 {digest}, not {sha256}.")
    weights = _arrays(path, data)
    missing, other = sorted(SHAPES.keys() - weights.keys()), sorted(weights.keys() - SHAPES.keys())
    if missing or other:
        raise ValueError(
            f"{path} is no rule of this format: it lacks {missing or 'nothing'}, and {other or 'nothing'} is foreign."
        )
    sizes = _sizes(weights)
    for name, shape in shapes(sizes).items():
        _verify(f"{name} of {path}", weights[name], shape)
    return PublishedRule(weights, sizes, digest)


def _arrays(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > LARGEST:
            raise ValueError(f"it unpacks to {unpacked} bytes; at most {LARGEST} are read")
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            weights = {name: found[name] for name in found.files}
        raw = [name for name, x in weights.items() if not isinstance(x, np.ndarray)]
        if raw:
            raise ValueError(f"{raw[0]} is no array")
        return weights
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an .npz of plain arrays: {error}.") from None


def _sizes(weights: dict[str, np.ndarray]) -> Sizes:
    p, h, m = (weights[f"{_READ}/linear_2/b"], weights[f"{_READ}/linear/b"], weights[f"{_STATE}/lstm/linear/b"])
    return Sizes(p.size, h.size, m.size // 4)


def _verify(name: str, x: np.ndarray, shape: tuple[int, ...]) -> None:
    if x.dtype != np.float32:
        raise ValueError(f"{name} is {x.dtype}; it must be float32.")
    if x.shape != shape:
        raise ValueError(f"{name} has the shape {x.shape}; it must be {shape}.")
    if not np.isfinite(x).all() or np.abs(x).max(initial=0.0) > BOUND:
        raise ValueError(f"{name} has entries that are not finite, or beyond ±{BOUND:g}.")
