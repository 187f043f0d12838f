"""What decides the bits of a run: versions, and the settings of XLA. Recorded in every checkpoint, compared on resume.

Not the environment: only the variables named here are ever read. (Measured on CPU: the number of threads, one or more
than one, changes a meta-gradient's last bits; so do the instruction set, fast maths, 64 bits and the threefry setting.)
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import jax

from innerloop.run.folder import versions


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def affinity() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def facts() -> dict[str, Any]:
    """Versions and settings of this process, as JSON."""
    nproc = os.environ.get("NPROC", "")
    return {
        "versions": versions(),
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "affinity": affinity(),
        "NPROC": nproc,
        "threads": int(nproc) if nproc.isdigit() and int(nproc) > 0 else affinity(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "x64": bool(jax.config.jax_enable_x64),
        "threefry_partitionable": bool(jax.config.jax_threefry_partitionable),
        "matmul_precision": str(jax.config.jax_default_matmul_precision),
        "disable_jit": bool(jax.config.jax_disable_jit),
    }


_DECIDE = ("platform", "device", "processor", "threads", "XLA_FLAGS", "x64", "threefry_partitionable", "matmul_precision")


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What may change the bits between two records of `facts`, in words; empty if nothing does."""
    old, new = then.get("versions") or {}, now["versions"]
    found = [f"{name} {old.get(name)} then, {new[name]} now" for name in new if old.get(name) != new[name]]
    return found + [f"{name} {then.get(name)!r} then, {now[name]!r} now" for name in _DECIDE if then.get(name) != now[name]]
