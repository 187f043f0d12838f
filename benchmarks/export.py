"""Exported agents beside the originals, over whole trials in held-out tasks.

    python benchmarks/export.py [NAME ...] [--trials 1000] [--format onnx]     adds to benchmarks/results/export.json
    PATH-OF-A-TENSORFLOW-ENVIRONMENT/python benchmarks/export.py --format savedmodel --trials 100

Agents of the zoo, and some with other memories that are trained for a few updates here (`memory:KIND`): what matters is that
their numbers are not those of fresh parameters. See `innerloop.deploy.fidelity.compare` for what is compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from innerloop import api
from innerloop.run.folder import versions, write_json

RESULTS = Path(__file__).parent / "results" / "export.json"
MEMORIES = ("lstm", "mingru", "s5", "gdn", "transformer")
CASES: dict[str, dict[str, Any]] = {  # name: how it is exported, and the share of the trials that it can afford
    "zoo:maml-point-goal": {"agents": None, "streams": 40},
    "zoo:promp-point-goal": {"agents": None, "streams": 40},
    "zoo:maml-point-goal one stream": {"agents": 1, "streams": 1, "share": 0.05},
    "zoo:maml-half-cheetah-dir": {"agents": None, "streams": 20, "share": 0.05},
    "zoo:rl2-bandit-k5-n10": {"agents": None},
    "zoo:rl2-bandit-k10-n100": {"agents": None},
    "zoo:rl2-grid-navi": {"agents": None},
    "zoo:rl2-grid-navi one agent": {"agents": 1, "share": 0.1},
    **{f"memory:{kind}": {"agents": None} for kind in MEMORIES},
    "zoo:dpt-dark-room": {"agents": None, "share": 0.2},
    "zoo:pearl-semi-circle-pearl": {"agents": None},
    "zoo:varibad-grid-navi": {"agents": None},
    "zoo:metamodel-grid-navi": {"agents": None},
}
PACKAGES = ("jax2onnx", "onnx", "onnxruntime", "tensorflow-cpu")


def trained(kind: str, folder: Path) -> Path:
    """RL² with this memory after some updates on GridNavi."""
    settings = {"inner.memory": kind, "inner.layers": 2, "inner.width": 32, "outer.lr": 1e-3}
    api.train("rl2", tasks="grid-navi", steps=100_000, settings=settings, out=folder, quiet=True)
    return folder


def measured(name: str, case: dict[str, Any], format: str, trials: int) -> dict[str, Any]:
    """The row of one agent."""
    options = {key: x for key, x in case.items() if key != "share"}
    count = max(1, round(trials * case.get("share", 1.0)))
    with tempfile.TemporaryDirectory() as place:
        run: Any = name.partition(" ")[0]
        if run.startswith("memory:"):
            run = trained(run.removeprefix("memory:"), Path(place) / "run")
        begun = time.perf_counter()
        try:
            made = api.export(run, Path(place) / "out", format=format, verify=count, seed=1, **options)
        except ValueError as error:
            return {"refused": str(error).replace(str(run), name)}
    options = {"agents": options["agents"] or "any", "streams": options.get("streams", 1)}
    size = sum(bytes for file, bytes in made["files"].items() if file.startswith("saved_model/") or file.endswith(".onnx"))
    return {**options, "bytes": size, "seconds": round(time.perf_counter() - begun, 1), **made["verified"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--format", choices=("onnx", "savedmodel"), default="onnx")
    args = parser.parse_args()
    for name in args.names or CASES:
        row = measured(name, CASES[name], args.format, args.trials)
        found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        used = versions()
        for package in PACKAGES:
            with suppress(importlib.metadata.PackageNotFoundError):
                used[package] = importlib.metadata.version(package)
        found.setdefault(args.format, {})[name] = row
        write_json(RESULTS, found | {"versions": found.get("versions", {}) | {args.format: used}})
        print(name, json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
