"""A run that was killed, interrupted or damaged ends with the digest of the one that was not."""

import json
import os
import shutil
import signal
import time

import pytest
from command import TINY, UPDATE

SAVES = ["--set", "save_every=0.2", "--set", "evaluations=10"]
STEPS = 600 * UPDATE

# Kills its process at the Nth evaluation of the session, between the lives and what is made of them.
IN_EVALUATION = """
import os, signal
from innerloop.evaluate.adaptation import Evaluator
call, count = Evaluator.__call__, [0]
def killing(self, *args):
    out = call(self, *args)
    count[0] += 1
    if count[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return out
Evaluator.__call__ = killing
"""

# Kills its process after N updates of the session, a moment that no save and no evaluation is near.
AFTER_UPDATES = """
import os, signal
from innerloop.run.trainer import Trainer
iterate, count = Trainer.iterate, [0]
def signalling(self, *args):
    count[0] += 1
    if count[0] == {updates}:
        os.kill(os.getpid(), {signal})
    return iterate(self, *args)
Trainer.iterate = signalling
"""

KILL_BEFORE_JAX = """
import importlib.abc, os, signal, sys
class Killing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("jax", "numpy", "equinox"):
            os.kill(os.getpid(), signal.SIGKILL)
sys.meta_path.insert(0, Killing())
"""


@pytest.fixture(scope="module")
def whole(innerloop, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    innerloop("train", *TINY, *SAVES, "--steps", STEPS, "--out", folder, "--quiet")
    return folder


def good_steps(folder):
    return sorted(int(p.name.removeprefix("step-")) for p in (folder / "checkpoints").iterdir() if p.name.startswith("step-"))


def test_killed_three_times_a_run_ends_the_same(innerloop, whole, tmp_path):
    run = tmp_path / "run"
    innerloop.killed("train", *TINY, *SAVES, "--steps", STEPS, "--out", run, code=IN_EVALUATION)
    innerloop.killed("train", "--resume", run, INNERLOOP_KILL_IN_SAVE="synced:2")
    reached = good_steps(run)[-1]
    assert 0 < reached < 600
    innerloop.killed("train", "--resume", run, code=AFTER_UPDATES.format(updates=70, signal=9))
    innerloop("train", "--resume", run)
    assert innerloop.digest(run) == innerloop.digest(whole)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and len(record["resumed"]) == 3
    rows, expected = ([json.loads(x) for x in (f / "log.jsonl").read_text().splitlines()] for f in (run, whole))
    assert [r["iteration"] for r in rows] == [r["iteration"] for r in expected]
    assert [r.get("heldout") for r in rows] == [r.get("heldout") for r in expected]


def test_the_folder_is_there_before_anything_heavy(innerloop, finished, tmp_path):
    run = tmp_path / "run"
    innerloop.killed("train", *TINY, "--steps", 20 * UPDATE, "--out", run, code=KILL_BEFORE_JAX)
    assert json.loads((run / "recipe.json").read_text())["request"]["tasks"] == "bandit-k2-n5"
    assert json.loads((run / "run.json").read_text())["status"] == "running" and not (run / "checkpoints").exists()
    done = innerloop("train", "--resume", run)  # the lock is stale; it starts anew
    assert done.stdout.split("digest ")[1].split()[0] == innerloop.digest(finished / "seed-0")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_saves_and_goes_on(innerloop, finished, tmp_path, number, status):
    run = tmp_path / "run"
    code = AFTER_UPDATES.format(updates=7, signal=int(number))
    done = innerloop("train", *TINY, "--steps", 20 * UPDATE, "--out", run, code=code, expect=status)
    assert "Traceback" not in done.stderr
    assert good_steps(run)[-1] == 7 and json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert (run / "lock").read_bytes() == b""
    innerloop("train", "--resume", run)
    assert innerloop.digest(run) == innerloop.digest(finished / "seed-0")


def test_seeds_that_were_not_begun_are_resumed_too(innerloop, finished, tmp_path):
    run = tmp_path / "both"
    code = AFTER_UPDATES.format(updates=3, signal=9)
    innerloop.killed("train", *TINY, "--steps", 20 * UPDATE, "--seed", "0:2", "--out", run, code=code)
    innerloop("train", "--resume", run)
    assert innerloop.digest(run) == innerloop.digest(finished)


def test_a_living_process_keeps_others_out(innerloop, tmp_path):
    run = tmp_path / "run"
    process = innerloop.start("train", *TINY, "--steps", 10**9, "--out", run, "--quiet")
    try:
        while not (run / "checkpoints").is_dir():  # it writes one before its first update
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        for words in (["train", "--resume", run], ["train", *TINY, "--out", run]):
            done = innerloop(*words, expect=2)
            assert "in use" in done.stderr or "already holds a run (running)" in done.stderr
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("way", ["flip", "cut", "delete"])
def test_a_damaged_checkpoint_is_passed_over(innerloop, whole, tmp_path, way):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "running"}))
    last = run / "checkpoints" / f"step-{good_steps(run)[-1]:09d}"
    file = last / "state.safetensors"
    content = bytearray(file.read_bytes())
    if way == "delete":
        file.unlink()
    elif way == "cut":
        os.truncate(file, len(content) - 1)
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    done = innerloop("train", "--resume", run)
    before = good_steps(whole)[-2]
    assert f"Checkpoint {last.name}" in done.stderr and f"The checkpoint of step {before} is used instead" in done.stderr
    assert last.name in (run / "messages.log").read_text()
    assert innerloop.digest(run) == innerloop.digest(whole)
