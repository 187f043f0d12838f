"""A sweep: what it refuses, that a killed one ends like one that was not, and that its best is never called a result."""

import json
import sys

import pytest
from command import TINY, UPDATE

from innerloop import api
from innerloop.cli import main
from innerloop.run.ending import Diverged
from innerloop.run.folder import RunFolder

TRIAL = ["--trial", "outer.lr=1e-4:1e-2:log", "--trial", "inner.width=4:16:log"]
SEARCHED = [*TINY[:-4], *TINY[-2:]]  # without its inner.width


@pytest.fixture
def sweep():
    pytest.importorskip("optuna", reason="an extra, tested where it is installed")
    from innerloop import sweep

    return sweep


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "innerloop.sweep", raising=False)
    monkeypatch.delattr("innerloop.sweep", raising=False)
    assert main(["sweep", *SEARCHED, *TRIAL, "--out", str(tmp_path / "x")]) == 2
    assert "pip install 'innerloop[sweep]'" in capsys.readouterr().err and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep", *SEARCHED, *TRIAL], "give --out DIR"),
        (["sweep", "--resume", "x", "--steps", "10"], "only --trials may be given"),
    ],
)
def test_what_is_missing_is_said(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*SEARCHED], "nothing is searched"),
        ([*SEARCHED, "--trial", "outer.lr"], "--trial takes NAME=VALUES"),
        ([*SEARCHED, "--trial", "outer.lrr=1:2"], "Did you mean outer.lr?"),
        ([*SEARCHED, "--trial", "outer.lr=1:2:cube"], "--trial outer.lr=1:2:cube"),
        ([*SEARCHED, "--trial", "outer.lr=slow,fast"], "it takes a number"),
        ([*SEARCHED, "--trial", "inner.width=0:8"], "at least 1"),
        ([*SEARCHED, "--trial", "meta_batch=32,64"], "searched and set as well"),
        ([*SEARCHED, "--set", "evaluations=0", *TRIAL], "set 1 or more"),
        (["--resume", "nowhere"], "holds no sweep"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_trained(sweep, words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *words, *([] if "--resume" in words else ["--out", "x"])]) == 2
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


class Pretended:
    """In place of training: a run folder whose held-out returns follow from its settings."""

    def __init__(self, monkeypatch, evaluations=8):
        self.trained, self.evaluations, self.kill_at = [], evaluations, None
        monkeypatch.setattr(api, "train", self.train)
        monkeypatch.setattr(api, "resume", self.resume)

    def train(self, name, *, out, settings, watch, **request):
        run = RunFolder.create(out, {"request": {"settings": settings}}, command=[], seed=request["seed"])
        self.live(run, settings, watch)

    def resume(self, out, *, quiet, watch):
        if RunFolder(out).status != "finished":
            run = RunFolder.resume(out)
            self.live(run, run.recipe["request"]["settings"], watch)

    def live(self, run, settings, watch):
        self.trained.append(run.path.name)
        if settings["inner.width"] == 7:
            with run:
                raise Diverged("not finite, again and again")
        with run:
            done = len(run.log.read_text().splitlines()) if run.log.exists() else 0
            for i in range(done, self.evaluations):
                mean = (i + 1) * settings["outer.lr"]
                row = {"iteration": i, "heldout": {"mean": mean, "lo": mean - 1, "hi": mean + 1}}
                with open(run.log, "a") as file:
                    file.write(json.dumps(row) + "\n")
                if self.kill_at == (run.path.name, i):
                    self.kill_at = None
                    raise KeyboardInterrupt
                watch(i, row["heldout"])


def searched(sweep, out, **options):
    given = {"settings": {"meta_batch": 32, "outer.minibatches": 2}, "steps": 3200, "trials": 14, "seed": 3}
    trial = {"outer.lr": "1e-4:1e-2:log", "inner.width": "4,7,8"}
    return sweep.sweep("rl2", tasks="bandit-k2-n5", trial=trial, out=out, **(given | options))


def outcome(told):
    return [(row["state"], row["settings"], row["validation"]) for row in told["trials"]]


def test_a_killed_sweep_ends_like_one_that_was_not(sweep, tmp_path, monkeypatch):
    lives = Pretended(monkeypatch)
    whole = searched(sweep, tmp_path / "whole")
    states = [state for state, *_ in outcome(whole)]
    assert len(states) == 14 and {"finished", "stopped", "failed"} == set(states)
    killed = next(i for i in range(6, 14) if states[i] == "finished")
    lives.trained, lives.kill_at = [], (f"trial-{killed:03d}", 3)
    with pytest.raises(KeyboardInterrupt):
        searched(sweep, tmp_path / "killed")
    seen = []
    again = sweep.resume(tmp_path / "killed", each=seen.append)
    assert outcome(again) == outcome(whole)
    assert [row["trial"] for row in seen] == list(range(killed, 14))
    assert lives.trained.count(f"trial-{killed:03d}") == 2  # its run went on where it was
    assert sweep.resume(tmp_path / "killed") == again
    assert len(sweep.resume(tmp_path / "killed", trials=15)["trials"]) == 15


def test_the_best_is_trained_anew_from_other_seeds(sweep, tmp_path, monkeypatch):
    Pretended(monkeypatch)
    told = searched(sweep, tmp_path / "s")
    best = max((row for row in told["trials"] if row["state"] == "finished"), key=lambda row: row["validation"]["mean"])
    assert told["best"] == best and json.loads((tmp_path / "s" / "best.json").read_text()) == told
    words = told["next"][0]
    assert words[words.index("--seed") + 1] == "4:9"  # the sweep's own, 3, is not among them
    assert f"outer.lr={best['settings']['outer.lr']}" in words and "meta_batch=32" in words
    said = sweep.said(told)
    assert "which is no result" in said and "innerloop evaluate" in said
    assert "not finite" in next(sweep.line(row) for row in told["trials"] if row["state"] == "failed")


def test_whole_numbers_stay_whole(sweep, tmp_path, monkeypatch):
    Pretended(monkeypatch)
    told = sweep.sweep(
        "rl2", tasks="bandit-k2-n5", trial={"inner.width": "8:64:log", "outer.lr": "1:2"}, trials=3, out=tmp_path / "s"
    )
    assert all(type(row["settings"]["inner.width"]) is int for row in told["trials"])
    assert all(row["settings"]["inner.width"] in range(8, 65) for row in told["trials"])


@pytest.mark.slow
def test_three_trials_of_real_training(sweep, tmp_path, capsys):
    out = tmp_path / "sweep"
    words = ["sweep", *SEARCHED, *TRIAL, "--steps", str(20 * UPDATE), "--trials", "3", "--out", str(out), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in told["trials"]] == ["finished"] * 3
    for row in told["trials"]:
        rows = [json.loads(line) for line in (out / f"trial-{row['trial']:03d}" / "log.jsonl").read_text().splitlines()]
        assert rows[-1]["heldout"] == row["validation"]
