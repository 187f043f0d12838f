"""What a run folder promises: it is there before anything heavy, it is never overwritten, and a stale lock never blocks."""

import json
import os
import signal
import subprocess
import sys

import pytest

from innerloop.run import folder as module
from innerloop.run.folder import (
    FolderError,
    Locked,
    NoRun,
    RunExists,
    RunFolder,
    check_name,
    members,
    recipe_digest,
    seed_folder,
)
from innerloop.run.lock import Lock, started

RECIPE = {"name": "rl2", "outer": {"lr": 3e-4}}


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def create(path, **more):
    return RunFolder.create(path, RECIPE, command=["innerloop", "train", "rl2"], seed=7, **more)


def test_importing_the_folder_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from innerloop.run.folder import RunFolder\n"
        "RunFolder.create(sys.argv[1], {'name': 'rl2'}, command=['x'], seed=0).close('finished')\n"
        "print([m for m in ('jax', 'jaxlib', 'numpy', 'equinox', 'optax', 'rich', 'tensorboardX') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert RunFolder(tmp_path / "run").record["versions"]["jax"][0].isdigit()


def test_a_run_is_recorded(tmp_path):
    run = create(tmp_path / "a b" / "läuft", family="bandit-k5-n10")
    assert run.recipe == RECIPE and run.status == "running"
    record = run.record
    assert record["command"] == ["innerloop", "train", "rl2"] and record["seed"] == 7 and record["family"] == "bandit-k5-n10"
    run.write_recipe({**RECIPE, "more": 1})
    run.close("finished", env_steps=100)
    again = RunFolder(run.path)
    assert again.status == "finished" and again.recipe["more"] == 1 and again.record["env_steps"] == 100
    assert not [p for p in run.path.iterdir() if p.name.startswith(".tmp")]


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "finished"), (KeyboardInterrupt(), "interrupted"), (SystemExit(1), "interrupted"), (OSError("x"), "failed")],
)
def test_leaving_a_run_sets_its_status(tmp_path, error, status):
    try:
        with create(tmp_path / "run"):
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    assert RunFolder(tmp_path / "run").status == status
    with RunFolder.resume(tmp_path / "run") as run:
        assert run.status == "running" and len(run.record["resumed"]) == 1


def test_a_run_is_never_overwritten(tmp_path):
    create(tmp_path / "run").close("finished")
    with pytest.raises(RunExists, match=r"already holds a run \(finished\).*--resume .*run.*--out"):
        create(tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(RunExists, match="thesis.tex"):
        create(tmp_path / "other")
    assert sorted(p.name for p in (tmp_path / "other").iterdir()) == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunExists, match="is a file"):
        create(tmp_path / "file")


def test_a_run_killed_before_its_record_was_written_begins_anew(tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    (tmp_path / "lock").write_text('{"pid": 1')
    (tmp_path / ".tmp-run.json-99").write_text("{")
    create(tmp_path).close("finished")
    assert RunFolder(tmp_path).recipe == RECIPE


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(NoRun, match="run.json is missing"):
        RunFolder.resume(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(FolderError, match="should hold a JSON object, not list"):
        RunFolder.resume(tmp_path)


def test_a_living_run_is_not_entered(tmp_path):
    run = create(tmp_path)
    with pytest.raises(Locked, match="this process is training there"):
        RunFolder.resume(tmp_path)
    code = "import sys; from innerloop.run.folder import RunFolder; RunFolder.resume(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment(), capture_output=True, text=True)
    assert done.returncode == 1 and f"process {os.getpid()} is training there" in done.stderr
    run.close("interrupted")
    RunFolder.resume(tmp_path).close("finished")


def test_the_lock_of_a_killed_run_never_blocks(tmp_path):
    code = (
        "import sys, time; from innerloop.run.folder import RunFolder\n"
        "run = RunFolder.create(sys.argv[1], {}, command=[], seed=0); print('up', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment(), stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None and child.stdout.readline() == "up\n"
        assert RunFolder(tmp_path).status == "running"
        with pytest.raises(Locked, match=f"process {child.pid} "):
            RunFolder.resume(tmp_path)
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but a zombie: nobody has fetched its status
        assert RunFolder(tmp_path).status == "interrupted"
        RunFolder.resume(tmp_path).close("finished")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"pid": 4194304000, "started": "x"}',
        b'{"pid": "x", "started": "x"}',
        b'{"pid": -1, "started": "x"}',
        b"\xff",
    ],
)
def test_a_stale_or_torn_lock_never_blocks(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    lock = Lock(tmp_path / "lock")
    assert lock.owner() is None
    lock.take()
    assert lock.held and json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()
    lock.release()
    assert (tmp_path / "lock").read_bytes() == b"" and lock.owner() is None


def test_a_pid_given_to_another_process_does_not_block(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / "lock").write_text(json.dumps({"pid": other.pid, "started": started(other.pid)}))
        with pytest.raises(Locked, match=f"process {other.pid} "):
            Lock(tmp_path / "lock").take()
        (tmp_path / "lock").write_text(json.dumps({"pid": other.pid, "started": "another time"}))
        lock = Lock(tmp_path / "lock")
        lock.take()
        lock.release()
        other.communicate(b"\n")


def test_seeds_are_members_in_order(tmp_path):
    for seed in (10, 2, 0):
        create(seed_folder(tmp_path / "runs", seed)).close("finished")
    (tmp_path / "runs" / "seed-x").mkdir()
    (tmp_path / "runs" / "seed-3").mkdir()
    assert [run.path.name for run in members(tmp_path / "runs")] == ["seed-0", "seed-2", "seed-10"]
    assert [run.path for run in members(tmp_path / "runs" / "seed-2")] == [tmp_path / "runs" / "seed-2"]
    with pytest.raises(NoRun, match="no run.json and no seed-N"):
        members(tmp_path)
    with pytest.raises(NoRun, match="is no folder"):
        members(tmp_path / "absent")


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    module.write_json(path, {"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            module.write_json(path, {"a": 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        module.write_json(path, {"a": float("nan")})
    assert module.read_json(path) == {"a": 1} and [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_an_unknown_status_is_refused(tmp_path):
    run = create(tmp_path)
    with pytest.raises(ValueError, match="'done' is none of running"):
        run.update(status="done")
    run.close("failed")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "A", "a b", "é", "a\0", "a\n", "-x", "x" * 65, "%2e%2e", "a\\b"])
def test_a_name_that_could_lead_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a run"):
        check_name(name)


def test_good_names_pass():
    assert [check_name(n) for n in ("rl2-bandit-k5-n10", "0", "a_b.c", "x" * 64)] == [
        "rl2-bandit-k5-n10",
        "0",
        "a_b.c",
        "x" * 64,
    ]


def test_recipe_digest_is_of_the_content():
    assert recipe_digest({"a": 1, "b": 2}) == recipe_digest({"b": 2, "a": 1}) != recipe_digest({"a": 1, "b": 3})
