"""The lock of a run folder: one writing process at a time, known by its pid and its start time.

Not a lock between threads. A lock whose process is dead, is a zombie, or has another start time (the pid was given to
somebody else) is stale and never blocks. Imports the standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None

_held: set[Path] = set()  # by this process


class FolderError(Exception):
    """A run folder cannot be used as asked; the message says what is there and what to do."""


class Locked(FolderError):
    """A living process writes to this run folder."""


def started(pid: int) -> str | None:
    """When process `pid` was started, in a form that no later process shares; None if it does not live."""
    if sys.platform.startswith("linux"):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (OSError, ValueError):
            return None
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    try:
        answer = subprocess.run(["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return None
    state, _, start = answer.stdout.strip().partition(" ")
    return None if answer.returncode or not start or state.startswith("Z") else start.strip()


class Lock:
    """The file `path`; empty, or absent, when free.

    The content decides. While the lock is held the file is also locked in the kernel (where the file system can), which
    makes taking it over safe against a race, and ends with the process, however it ends.
    """

    def __init__(self, path: Path):
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def owner(self) -> int | None:
        """The pid of the living process that holds the lock, or None."""
        if self.held or self.path.resolve() in _held:
            return os.getpid()
        try:
            return _owner(self.path.read_bytes())
        except OSError:
            return None

    def take(self) -> None:
        """Take the lock, whether it is free or stale; Locked if a living process holds it."""
        if self.held:
            return
        if self.path.resolve() in _held:  # opening and closing the file here would lose the kernel's lock
            self._refuse(os.getpid())
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            free, owner = _kernel_lock(handle), _owner(os.read(handle, 4096))
            if not free or owner is not None:
                self._refuse(owner)
            mark = json.dumps({"pid": os.getpid(), "started": started(os.getpid())}).encode()
            os.ftruncate(handle, 0)
            os.pwrite(handle, mark, 0)
            os.fsync(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        _held.add(self.path.resolve())

    def release(self) -> None:
        """Free the lock, if this object holds it. The empty file stays: removing it would open a race."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        _held.discard(self.path.resolve())
        try:
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def _refuse(self, owner: int | None) -> None:
        who = "another process" if owner is None else "this process" if owner == os.getpid() else f"process {owner}"
        raise Locked(
            f"{self.path.parent} is in use: {who} is training there. Wait for it, stop it, or choose another folder with --out."
        )


def _owner(content: bytes) -> int | None:
    """The living process named by a lock's content; a torn or empty content names none."""
    try:
        mark = json.loads(content)
        pid, start = int(mark["pid"]), str(mark["started"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return pid if pid > 0 and started(pid) == start else None


def _kernel_lock(handle: int) -> bool:
    """Lock the file in the kernel; False if another process has it, True also where there are no such locks."""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True
