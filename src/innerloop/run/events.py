"""The TensorBoard event file of a run: scalars, one record for each row of the log.

Not tensorboardX's own writer: that one queues to a thread, which dies on a full disk, and then training waits for ever.
Here a write is done, or raises OSError, before it returns.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """An event file in `folder`. `purge_step`: what earlier files say from this step on is hidden (after a resume)."""

    def __init__(self, folder: Path, *, purge_step: int | None = None):
        from tensorboardX.crc32c import crc32c
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        self._crc, self._event, self._summary = crc32c, Event, Summary
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        name = f"events.out.tfevents.{now // 10**9:010d}.{os.getpid()}.{now % 10**9:09d}"
        self._file = open(folder / name, "wb", buffering=0)
        self._write(file_version="brain.Event:2")
        if purge_step is not None:
            self._write(step=purge_step, session_log=SessionLog(status=SessionLog.SessionStatus.START))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add scalars by name at `step`; what is not finite is left out."""
        values = [self._summary.Value(tag=k, simple_value=v) for k, v in scalars.items() if math.isfinite(v)]
        if values:
            self._write(step=step, summary=self._summary(value=values))

    def sync(self) -> None:
        """Flush to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        data = self._event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        record = memoryview(length + self._mask(length) + data + self._mask(data))
        start = self._file.tell()
        try:
            while record:
                record = record[self._file.write(record) :]
        except OSError:
            self._file.truncate(start)  # a torn record would hide all that follow
            self._file.seek(start)
            raise

    def _mask(self, data: bytes) -> bytes:
        crc = self._crc(data)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
