"""A moving picture of an episode, as one animated GIF: it plays in every browser, report and README.

Not a recorder of environments: frames come from their own `render`. The only place that imports Pillow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDEST = 480  # pixels
SHORTEST = 3.0  # seconds
LONGEST = 600  # frames; of longer episodes every so-manieth is kept


class NoPillow(ImportError):
    """The extra is not installed."""


def require() -> None:
    """NoPillow, naming the extra, where a film could not be written."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise NoPillow("videos need Pillow: pip install 'innerloop[video]'.") from None


def write(path: Path, frames: Sequence[np.ndarray], fps: float | None = None) -> Path:
    """Write frames uint8 [H, W, 3] to a GIF that loops; ValueError for none, or of another kind. `fps`: None: 30 a second,
    fewer where the film would be over in less than SHORTEST."""
    require()
    from PIL import Image

    if not len(frames):
        raise ValueError("there are no frames to write.")
    every = -(-len(frames) // LONGEST)
    pictures = []
    for frame in frames[::every]:
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"render() gave {frame.dtype} {frame.shape}; accepted: uint8 [height, width, 3].")
        picture = Image.fromarray(frame)
        if picture.width > WIDEST:
            picture = picture.resize((WIDEST, max(1, round(picture.height * WIDEST / picture.width))))
        pictures.append(picture)
    fps = fps or min(30.0, max(2.0, len(frames) / SHORTEST))
    shown = max(20, round(1000 * every / max(fps, 1.0)))  # milliseconds; browsers slow down what is quicker
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=shown, loop=0)
    return path
