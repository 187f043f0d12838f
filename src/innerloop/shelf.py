"""The zoo's shelf: meta-parameters, recipe and card of a finished run, small enough to ship.

Not a backup: optimiser and random keys stay behind, so a zoo entry can be evaluated and adapted but not resumed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from innerloop.loading import load, stages
from innerloop.run import checkpoint
from innerloop.run.folder import check_name, members, read_json, write_json

_RESULT = (
    "split", "tasks", "seed", "unit", "interaction", "policy", "curve", "total", "gain", "first_gain", "deterministic", "seeds",
    "interval", "oracle", "gap", "score", "agreement", "incomplete", "measures", "protocol",
)  # fmt: skip


def _anywhere(command: list[str], name: str, seeds: list[int]) -> list[str]:
    """A run's command for all of `seeds`, with a run folder that makes sense on any machine."""
    words = list(command)
    if "--out" in words[:-1]:
        words[words.index("--out") + 1] = f"runs/{name}"
    if len(seeds) > 1 and "--seed" in words[:-1]:
        words[words.index("--seed") + 1] = f"{min(seeds)}:{max(seeds) + 1}"
    return words


def put(run: Path, name: str, shelf: Path) -> Path:
    """Write SHELF/NAME from a run, or from the first seed of several (never the best); its path.

    The card has the command, seeds, steps, seconds, device and the evaluation that lies in the folder (evaluate first), and the
    stages of training before, where the run began with another's meta-parameters.
    """
    check_name(name)
    found = members(run)
    first = found[0].path
    if not (Path(run) / "evaluation.json").is_file():
        raise ValueError(f"{run} has no evaluation.json; run `innerloop evaluate {run}` first, so that the card has a result.")
    unfinished = [str(r.path) for r in found if r.status != "finished"]
    if unfinished:
        raise ValueError(f"not finished: {', '.join(unfinished)}. The zoo holds final checkpoints only; resume the run first.")
    recipe, _, meta, digest = load(first)
    target = Path(shelf) / name
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    evaluation = read_json(Path(run) / "evaluation.json") | {"run": f"zoo:{name}"}
    *before, last = stages(first)
    records = [r.record | {"command": _anywhere(r.record["command"], name, [r.record["seed"]])} for r in found]
    seeds = [r["seed"] for r in records]
    card = {
        "name": name,
        "recipe": recipe.name,
        "family": recipe.family,
        "command": _anywhere(records[0]["command"], name, seeds),
        "seeds": seeds,
        "env_steps": recipe.updates * recipe.interactions,
        "cpu_seconds": [r.get("cpu_seconds") for r in records],
        "device": last["device"],
        "before": before,
        "versions": records[0]["versions"],
        "training_digest": digest,
        "result": {name: evaluation[name] for name in _RESULT if name in evaluation},
    }
    checkpoint.save_meta(target / "weights", meta, {"name": name, "training_digest": digest})
    write_json(target / "recipe.json", read_json(first / "recipe.json"))
    write_json(target / "run.json", records[0])
    write_json(target / "card.json", card)
    write_json(target / "evaluation.json", evaluation)
    for elsewhere in sorted(Path(run).glob("evaluation-*.json")):  # of `--on`, in other families
        write_json(target / elsewhere.name, read_json(elsewhere) | {"run": f"zoo:{name}"})
    if (Path(run) / "baselines.json").is_file() or (first / "baselines.json").is_file():
        write_json(target / "baselines.json", read_json(first / "baselines.json"))
    return target
