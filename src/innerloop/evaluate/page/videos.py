"""Pictures and films that lie in a run's `videos` folder, inlined in the page.

Not who films (`deploy/video.py`). Files are known by their first bytes, never by their names, and large ones are named instead.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from innerloop.evaluate.page.markup import Markup, join, tag
from innerloop.evaluate.page.numerals import shorten
from innerloop.evaluate.page.record import Record

SUFFIXES = (".gif", ".png", ".webp")
LARGEST = 1_500_000  # bytes of a film that is inlined
TOGETHER = 6_000_000  # bytes inlined of one run


class Film(NamedTuple):
    """A file, its kind where it is one that browsers play, and its bytes where it is small enough."""

    name: str
    size: int
    kind: str | None
    data: bytes | None


def films(record: Record) -> list[Film]:
    """What lies in the run's `videos` folder, and in its seeds', by name."""
    found, room = [], TOGETHER
    for folder in (record.path, *(seed.path for seed in record.seeds)):
        for path in _files(folder / "videos"):
            name = path.name if folder == record.path else f"{folder.name}/{path.name}"
            try:
                size = path.stat().st_size
                data = path.read_bytes() if size <= min(LARGEST, room) else None
            except OSError:
                continue
            kind = _kind(data) if data else None
            room -= size if kind else 0
            found.append(Film(name, size, kind, data))
    return found


def videos(found: Sequence[Film]) -> Markup | None:
    """Each film under its name, which folds it away."""
    if not found:
        return None
    shown, passed = [], []
    for film in found:
        if film.kind and film.data:
            source = f"data:image/{film.kind};base64,{base64.b64encode(film.data).decode()}"
            picture = tag("img", src=source, alt=f"Video {film.name}", loading="lazy")
            shown.append(tag("details", tag("summary", shorten(film.name, 60)), picture, open=""))
        else:
            what = f"{film.size / 1e6:.1f} MB; up to {LARGEST / 1e6:.1f} MB are inlined, {TOGETHER / 1e6:.0f} MB of a run"
            passed.append(f"{film.name} ({'no GIF, PNG or WebP' if film.data is not None else what})")
    note = tag("p", f"Not shown: {'; '.join(passed)}.", class_="note") if passed else None
    return join([tag("div", *shown, class_="films") if shown else None, note])


def _files(folder: Path) -> list[Path]:
    try:
        inside = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        return [p for p in inside if p.is_file() and not p.is_symlink()]
    except OSError:
        return []


def _kind(data: bytes) -> str | None:
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
