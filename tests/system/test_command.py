"""The command line as a newcomer meets it: help, names, a tiny run, its evaluation, its report."""

import json
import math
import subprocess
import sys

import pytest
from command import TINY, UPDATE

from innerloop import __version__

HEAVY = ("jax", "numpy", "equinox", "gymnasium", "mujoco", "rich", "scipy")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"], ["train", "--seed", "5:3"]])
def test_arguments_are_parsed_before_anything_heavy_is_imported(innerloop, words):
    code = (
        "import sys\nfrom innerloop.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    call = [sys.executable, "-c", code, *words]
    done = subprocess.run(call, env=innerloop.environment, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_version_and_list(innerloop):
    assert innerloop("--version").stdout == f"innerloop {__version__}\n"
    listed = innerloop("list").stdout
    for name in ("rl2", "maml", "bandit-k{K}-n{N}", "grid-navi", "half-cheetah-dir", "zoo"):
        assert name in listed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "rl2", "--tasks", "bandit-k2-n5", "--set", "outer.lrr=1"], "Did you mean outer.lr?"),
        (["check", "rl2", "--tasks", "bandits-k2-n5"], "Did you mean 'bandit-k5-n10'?"),
        (["check", "rl3", "--tasks", "bandit-k2-n5"], "Did you mean rl2?"),
        (["check", "rl2", "--tasks", "bandit-k2-n5", "--set", "outer.lr=fast"], "it takes a number"),
        (["check", "rl2", "--tasks", "bandit-k2-n5", "--set", "meta_batch=33"], "multiple of outer.minibatches"),
        (["check", "rl2", "--tasks", "bandit-k2-n5", "--set", "held_out=1"], "at least 2"),
        (["check", "maml", "--tasks", "point-goal", "--set", "inner.estimator=lcv"], "vpg, lvc, dice. Did you mean 'lvc'?"),
        (["check", "cavia", "--tasks", "point-goal", "--set", "inner.context=0"], "a context is adapted where there is one"),
        (["check", "promp", "--tasks", "point-goal", "--set", "outer.normalise=all"], "std, variance, none"),
        (["check", "maml", "--tasks", "point-goal", "--set", "outer.normalise=all"], "std, variance, none"),
        (
            ["check", "reptile", "--tasks", "point-goal", "--set", 'inner.adapts="context"', "--set", "inner.context=2"],
            "Reptile",
        ),
        (["check", "nowhere.to:be_found", "--tasks", "bandit-k2-n5"], "nowhere"),
        (["check", "rl2"], "give a recipe and --tasks"),
        (["check", "rl2", "--tasks", "bandit-k2-n5", "--config", "absent.toml"], "absent.toml"),
        (["evaluate", "nothing-here"], "Give a folder made by `innerloop train`"),
        (["evaluate", "zoo:nothing"], "The zoo holds"),
        (["digest", "nothing-here"], "Give a folder made by `innerloop train`"),
        (["report", "nothing-here"], "nothing-here"),
        (["train", "--resume", "nothing-here"], "Give a folder made by `innerloop train`"),
        (["train", "rl2", "--resume", "x"], "it takes --steps alone"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(capsys, words, said, monkeypatch, tmp_path):
    from innerloop.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.startswith(f"innerloop {words[0]}: ") and not shown.out
    assert list(tmp_path.iterdir()) == []


def test_check_says_what_would_be_trained(capsys):
    from innerloop.cli import main

    assert main(["check", "rl2", "--tasks", "bandit-k2-n5", "--steps", "1e5", "--set", "meta_batch=32"]) == 0
    assert "625 updates of 160 environment steps" in capsys.readouterr().out


def test_an_unknown_name_is_refused_before_anything_compiles(innerloop, tmp_path):
    out = tmp_path / "some" / "where"
    done = innerloop("train", *TINY, "--set", "outer.epocs=2", "--seed", "0:3", "--out", out, expect=2, JAX_LOG_COMPILES="1")
    assert "Did you mean outer.epochs?" in done.stderr and "ompil" not in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_several_seeds_are_one_folder(innerloop, finished):
    seeds = [finished / "seed-0", finished / "seed-1"]
    alone = [innerloop.digest(folder) for folder in seeds]
    assert alone[0] != alone[1] and innerloop.digest(finished) not in alone
    done = innerloop("train", "--resume", finished)  # both are finished
    assert [line.split("digest ")[1] for line in done.stdout.splitlines()[:2]] == alone
    for folder in seeds:
        record = json.loads((folder / "run.json").read_text())
        assert record["status"] == "finished" and record["cpu_seconds"] > 0 and record["versions"]["jax"]
        rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert [row["iteration"] for row in rows] == [5, 10, 15, 20] and "heldout" in rows[-1]
        assert rows[-1]["metrics"]["masked"] == 0.0 and rows[-1]["env_steps"] == 20 * UPDATE
        assert list((folder / "tensorboard").iterdir())


def test_evaluate_prints_one_object(innerloop, finished):
    done = innerloop("evaluate", finished, "--tasks", 40, "--seed", 3, "--json")
    result = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    keys = {"run", "recipe", "family", "split", "tasks", "seed", "unit", "policy", "curve", "total", "baselines", "oracle"}
    assert keys <= set(result)
    told = [result[k] for k in ("run", "recipe", "family", "split", "tasks", "seed", "unit", "policy")]
    assert told == [str(finished), "rl2", "bandit-k2-n5", "test", 40, 3, "step", "stochastic"]
    curves = [(result["curve"], result["total"])]
    curves += [(b["curve"], b["total"]) for name, b in result["baselines"].items() if name in ("random", "no adaptation")]
    assert len(curves) == 3
    for curve, total in curves:
        assert [point["experience"] for point in curve] == list(range(5))
        for point in [*curve, total]:
            assert (
                all(map(math.isfinite, (point["mean"], point["lo"], point["hi"])))
                and point["lo"] <= point["mean"] <= point["hi"]
            )
        assert math.isclose(sum(point["mean"] for point in curve), total["mean"], rel_tol=1e-5)
    assert result["oracle"] is None or result["oracle"]["total"] > result["total"]["mean"] - 1.0
    assert result["seeds"] == [0, 1] and result["interval"] == "seeds"
    again = json.loads(innerloop("evaluate", finished, "--tasks", 40, "--seed", 3, "--json").stdout)
    assert again == result  # the same tasks, the same actions; the baselines from the cache


def test_the_table_fits_80_columns_and_the_report_is_one_page(innerloop, finished):
    shown = innerloop("evaluate", finished / "seed-0", "--tasks", 40, "--deterministic").stdout
    assert max(map(len, shown.splitlines())) <= 80 and "deterministic" in shown and "no adaptation" in shown
    page = innerloop("report", finished).stdout.strip()
    assert page == str(finished / "report.html")
    content = (finished / "report.html").read_text()
    assert content.startswith("<!doctype html>") and "bandit-k2-n5" in content and "://" not in content.split("<body")[0]
    assert innerloop("report", finished / "seed-0", "--out", finished / "one.html").stdout.strip().endswith("one.html")


def test_settings_come_from_toml_and_from_set(innerloop, tmp_path):
    (tmp_path / "mine.toml").write_text("meta_batch = 32\nheld_out = 50\n[outer]\nminibatches = 4\nlr = 2e-3\n")
    where = tmp_path / "run"
    process = innerloop.start(
        "train", "rl2", "--tasks", "bandit-k2-n5", "--config", tmp_path / "mine.toml", "--set", "outer.lr=1e-4", "--out", where,
        code=KILL_AFTER_RECIPE,
    )  # fmt: skip
    process.communicate()
    recipe = json.loads((where / "recipe.json").read_text())
    assert (recipe["meta_batch"], recipe["outer"]["minibatches"], recipe["outer"]["lr"]) == (32, 4, 1e-4)
    command = json.loads((where / "run.json").read_text())["command"]
    assert command[:5] == ["innerloop", "train", "rl2", "--tasks", "bandit-k2-n5"]
    assert command.index("outer.minibatches=4") < command.index("outer.lr=0.0001")


KILL_AFTER_RECIPE = """
import os, signal
from innerloop.run.folder import RunFolder
write = RunFolder.write_recipe
def killing(self, recipe):
    write(self, recipe)
    if "inner" in recipe:
        os.kill(os.getpid(), signal.SIGKILL)
RunFolder.write_recipe = killing
"""

OWN = """
from dataclasses import replace
from innerloop.recipes import rl2

def make(family, steps=None):
    return replace(rl2.make(family, steps), name="mine", meta_batch=32, held_out=50)
"""


def test_a_recipe_of_ones_own(innerloop, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    small = [word for word in TINY[3:] if not word.startswith("meta_batch")]
    small = ["--set", "outer.minibatches=2", "--set", "outer.epochs=1", "--set", "inner.width=8", "--set", "evaluations=2"]
    innerloop("train", "--recipe", "own:make", "--tasks", "bandit-k2-n5", *small, "--steps", 3 * UPDATE, "--out", "mine")
    assert json.loads((tmp_path / "mine" / "recipe.json").read_text())["name"] == "mine"
    result = json.loads(innerloop("evaluate", "mine", "--tasks", 10, "--no-baselines", "--json").stdout)
    assert result["recipe"] == "mine"


def test_the_same_from_python(innerloop, finished, tmp_path):
    code = """
import innerloop, sys
settings = dict(word.split("=") for word in sys.argv[3:])
settings = {name: int(value) for name, value in settings.items()}
steps, out = int(sys.argv[2]), sys.argv[1]
run = innerloop.train("rl2", tasks="bandit-k2-n5", seed=1, steps=steps, out=out, settings=settings, quiet=True)
assert innerloop.digest(run.path) == run.digest
print(run.digest)
"""
    settings = [word for word in TINY if "=" in word]
    call = [sys.executable, "-c", code, str(tmp_path / "run"), str(20 * UPDATE), *settings]
    done = subprocess.run(call, env=innerloop.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == innerloop.digest(finished / "seed-1")  # a seed's run does not depend on its company
