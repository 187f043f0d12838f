"""Kill a run with SIGKILL, again and again, and see that it ends with the very bits of the run that was left alone.

Not a test of the suite (`tests/system/test_resume.py` is its quick form). For each method one run is trained without
disturbance; another is killed 20 times, resuming each time from what is on the disk. Half of the kills fall inside a save, at
a stage of it drawn at random; the others at a random moment after the start of the process, whatever it is doing then:
importing, compiling, restoring, training, evaluating or saving. After each kill a copy of the folder is resumed to the
end, and its digest compared. Run from the repository's root:

    python benchmarks/kills.py                 # both methods; writes benchmarks/results/kills.json
    python benchmarks/kills.py rl2 --kills 5
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = ("begin", "writing", "written", "synced", "sealed", "renamed", "pruning", "pruned")
RUNS = {  # runs of about a minute of one core, with many saves and evaluations
    "rl2": [
        "rl2", "--tasks", "bandit-k5-n10", "--steps", "6000000", "--set", "meta_batch=256", "--set", "held_out=2000",
        "--set", "evaluations=40", "--set", "save_every=1.0",
    ],
    "maml": [
        "maml", "--tasks", "point-goal", "--steps", "3200000", "--set", "meta_batch=8", "--set", "held_out=20",
        "--set", "evaluations=20", "--set", "save_every=1.0",
    ],
}  # fmt: skip


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "innerloop.cli", *map(str, words)]


def environment(cache: Path, **more: str) -> dict[str, str]:
    """Compiled once, so that what is killed is mostly training. Without a value, PYTHONPATH leads to these sources."""
    paths = os.environ.get("PYTHONPATH") or str(ROOT / "src")
    settings = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return {**os.environ, **settings, "PYTHONPATH": paths, **more}


def run(words: list[str], env: dict[str, str], expect: int = 0) -> tuple[str, float]:
    """(stdout, seconds) of a process that must end with this status."""
    start = time.monotonic()
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    if done.returncode != expect:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}, not {expect}:\n{done.stderr[-2000:]}")
    return done.stdout, time.monotonic() - start


def reached(folder: Path) -> int:
    """The update of the newest checkpoint; -1 if there is none."""
    found = [int(p.name.removeprefix("step-")) for p in (folder / "checkpoints").glob("step-*")]
    return max(found, default=-1)


def killed(words: list[str], cache: Path, rng: random.Random, in_save: bool, warm: float, patience: float) -> dict[str, object]:
    """Run until killed; what killed it, and when. `warm`: seconds until training usually begins, `patience`: after that."""
    stage = rng.choice(STAGES) if in_save else None
    number = rng.randint(1, 3)
    env = environment(cache, **({"INNERLOOP_KILL_IN_SAVE": f"{stage}:{number}"} if stage else {}))
    start = time.monotonic()
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        process.wait(None if stage else rng.uniform(0.0, warm) + rng.uniform(0.0, patience))
    except subprocess.TimeoutExpired:
        process.kill()
    _, error = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}:\n{error[-2000:]}")
    where = f"in save {number} or later, at {stage}" if stage else "at a random moment"
    seconds = round(time.monotonic() - start, 2)
    return {"killed": process.returncode != 0, "where": where, "in_save": in_save, "stage": stage, "seconds": seconds}


def trial(name: str, kills: int, seed: int, home: Path) -> dict[str, object]:
    """One method: the run left alone, and the one that is killed."""
    rng, cache, words = random.Random(f"{name} {seed}"), home / "compiled", RUNS[name]
    whole, folder = home / f"{name}-whole", home / f"{name}-killed"
    train = command("train", *words, "--quiet", "--out")
    run([*train, str(home / f"{name}-first")], environment(cache))  # compiles
    _, seconds = run([*train, str(whole)], environment(cache))
    expected = run(command("digest", whole), environment(cache))[0].strip()
    rows = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    updates, training = rows[-1]["iteration"], rows[-1]["seconds"]
    warm, patience = seconds - training, 1.5 * training / kills
    in_save = [True] * (kills // 2) + [False] * (kills - kills // 2)
    rng.shuffle(in_save)
    print(f"{name}: {updates} updates, {seconds:.0f} s, digest {expected[:16]}", flush=True)
    found: list[dict[str, object]] = []
    for number in range(kills):
        resume = command("train", "--resume", folder, "--quiet")
        again = resume if (folder / "run.json").is_file() else [*train, str(folder)]
        kill = killed(again, cache, rng, in_save[number], warm, patience)
        if not kill.pop("killed"):
            raise SystemExit(f"the run ended before kill {number + 1}; give it more --steps, or fewer --kills")
        at = reached(folder)
        copy = home / f"{name}-copy"
        if (folder / "run.json").is_file():
            shutil.copytree(folder, copy)
            run(command("train", "--resume", copy, "--quiet"), environment(cache))
        else:  # killed before there was anything to resume: the same command begins it
            run([*train, str(copy)], environment(cache))
        digest = run(command("digest", copy), environment(cache))[0].strip()
        shutil.rmtree(copy)
        found.append({"kill": number + 1, **kill, "newest_checkpoint": at, "of": updates, "digest": digest})
        same = "same" if digest == expected else "DIFFERENT"
        print(f"  {number + 1:2d} {kill['where']}, checkpoint {at}: {same}", flush=True)
    run(command("train", "--resume", folder, "--quiet"), environment(cache))
    last = run(command("digest", folder), environment(cache))[0].strip()
    return {
        "command": "innerloop train " + " ".join(words),
        "seconds": round(seconds, 1),
        "updates": updates,
        "digest": expected,
        "kills": found,
        "in_a_save": sum(in_save),
        "identical": sum(kill["digest"] == expected for kill in found),
        "of": kills,
        "after_all_kills": last,
        "after_all_kills_identical": last == expected,
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("methods", nargs="*", default=list(RUNS), help=f"of {', '.join(RUNS)} (default: all)")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0, help="of the kills' moments")
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "kills.json")
    args = options.parse_args()
    found = {"command": "python benchmarks/kills.py " + " ".join(sys.argv[1:]), "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as home:
        for name in args.methods:
            found[name] = trial(name, args.kills, args.seed, Path(home))
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{name}: {found[name]['identical']} of {args.kills} identical", flush=True)
    ended = [found[name] for name in args.methods]
    return 0 if all(r["identical"] == r["of"] and r["after_all_kills_identical"] for r in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
