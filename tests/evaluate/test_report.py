"""The report page: what it says of run folders, what it survives, and what it never loads."""

import base64
import hashlib
import json
import math
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from innerloop.evaluate.report import format_of, write_report

VOID = {"meta", "br", "link", "img", "input", "hr"}
PAYLOAD = "\"'><script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)>"


class Page(HTMLParser):
    """A strict reader: every element closed in order, ids unique, tags and text collected."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"repeated attribute in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def around(mean, half):
    return {"mean": mean, "lo": mean - half, "hi": mean + half}


def curve(means, half):
    return [{"experience": i, **around(m, half)} for i, m in enumerate(means)]


def save(folder: Path, **parts) -> Path:
    """A run folder of the given parts; `log` is a list of objects."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in parts.items():
        if name == "log":
            (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in value))
        else:
            (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def log(length, start, end, seed=0, every=10):
    draw = random.Random(seed)
    lines = []
    for i in range(length):
        done = 1 - math.exp(-4 * i / length)
        mean = start + (end - start) * done
        line = {
            "iteration": i,
            "env_steps": (i + 1) * 10_000,
            "seconds": 0.21 * (i + 1),
            "metrics": {
                "return": mean + draw.gauss(0, 0.03 * abs(end - start)),
                "policy loss": -0.02 * (1 - done) + draw.gauss(0, 0.004),
                "value loss": 0.5 * math.exp(-3 * done) + abs(draw.gauss(0, 0.01)),
                "entropy": 1.6 - 1.2 * done + draw.gauss(0, 0.02),
                "kl": abs(draw.gauss(0.01, 0.003)),
                "masked": 0.0,
            },
        }
        if i % every == 0 or i == length - 1:
            line["heldout"] = around(mean, 0.03 * abs(end - start))
        lines.append(line)
    return lines


def recipe(name, family):
    return {
        "name": name,
        "family": family,
        "inner": {"cell": "gru", "width": 128, "plan": {"chunks": 1, "steps": 100, "streams": 1}},
        "outer": {"name": "ppo", "lr": 3e-4, "clip": 0.2, "epochs": 8, "gamma": 0.99, "trace": 0.95, "normalise": True},
        "batch": 512,
        "iterations": 400,
    }


def about(command, seed=7, status="finished"):
    return {
        "innerloop": "0.1.0",
        "command": command,
        "seed": seed,
        "started": "2025-03-04T09:12:44Z",
        "status": status,
        "versions": {"jax": "0.10.2", "equinox": "0.13.8", "python": "3.11.9"},
    }


def rises(start, end, n, rate):
    return [end - (end - start) * math.exp(-rate * i) for i in range(n)]


def bandit(folder: Path, seed=7, shift=0.0) -> Path:
    """RL² on a five-armed bandit, 100 pulls: an evaluation per step, with a Gittins oracle."""
    draw = random.Random(seed)

    def noisy(means, scale=0.006):
        return [m + draw.gauss(0, scale) for m in means]

    runs = noisy(rises(0.5, 0.818 + shift, 100, 0.11))
    base = {
        "random": noisy([0.5] * 100),
        "no adaptation": noisy([0.507] * 100),
        "from scratch": noisy(rises(0.5, 0.6, 100, 0.02)),
        "Thompson sampling": noisy(rises(0.5, 0.79, 100, 0.05)),
        "UCB1": noisy(rises(0.5, 0.72, 100, 0.03)),
    }
    evaluation = {
        "run": folder.name,
        "recipe": "rl2",
        "family": "bandit-k5-n100",
        "split": "test",
        "tasks": 1000,
        "seed": 1,
        "unit": "step",
        "policy": "stochastic",
        "curve": curve(runs, 0.012),
        "total": around(sum(runs), 0.6),
        "gain": around(runs[-1] - runs[0], 0.03),
        "baselines": {k: {"curve": curve(v, 0.014), "total": around(sum(v), 0.7)} for k, v in base.items()},
        "oracle": {"name": "finite-horizon Gittins index", "total": 78.66},
        "per_task": [
            {
                "task": i,
                "params": "p = " + ", ".join(f"{draw.random():.2f}" for _ in range(5)),
                "returns": [float(draw.random() < m) for m in runs[::10]],
            }
            for i in range(40)
        ],
    }
    return save(
        folder,
        recipe=recipe("rl2", "bandit-k5-n100"),
        run=about(f"innerloop train rl2 --tasks bandit-k5-n100 --seed {seed} --out {folder.name}", seed),
        log=log(400, 50, 77.4, seed),
        evaluation=evaluation,
    )


def gradient(folder: Path) -> Path:
    """MAML on point-goal: gradient steps 0 to 4, negative returns, a baseline far below."""
    runs = [-41.8, -11.9, -4.6, -3.4, -3.1]
    evaluation = {
        "run": folder.name,
        "recipe": "maml",
        "family": "point-goal",
        "split": "test",
        "tasks": 400,
        "seed": 3,
        "unit": "gradient step",
        "policy": "stochastic",
        "curve": curve(runs, 0.5),
        "total": around(-3.1, 0.12),
        "gain": around(38.7, 1.2),
        "baselines": {
            "random": {"curve": curve([-44.0] * 5, 1.0), "total": around(-44.0, 1.0)},
            "no adaptation": {"curve": curve([-41.8] * 5, 0.9), "total": around(-41.8, 0.9)},
            "from scratch": {"curve": curve([-43, -42.5, -42.1, -41.6, -41.2], 1.1), "total": around(-41.2, 1.1)},
        },
        "oracle": {"name": "known goal", "total": -2.3},
        "per_task": [
            {"task": i, "params": f"goal ({i / 10 - 0.5:.1f}, {0.4 - i / 20:.2f})", "returns": [r * (1 + i / 40) for r in runs]}
            for i in range(10)
        ],
    }
    return save(
        folder,
        recipe=recipe("maml", "point-goal"),
        run=about("innerloop train maml --tasks point-goal --seed 0", 0),
        log=log(200, -40, -3.3),
        evaluation=evaluation,
    )


def episodes(folder: Path, tiny=True) -> Path:
    """RL² on GridNavi: four episodes, all 21 tasks in every split."""
    runs = [4.9, 9.4, 9.7, 9.8]
    evaluation = {
        "run": folder.name,
        "recipe": "rl2",
        "family": "grid-navi",
        "split": "test",
        "tasks": 21,
        "seed": 0,
        "unit": "episode",
        "policy": "deterministic",
        "tiny": tiny,
        "note": "GridNavi has 21 goals.",
        "curve": curve(runs, 0.2),
        "total": around(33.8, 0.4),
        "baselines": {
            "no adaptation": {"curve": curve([4.8, 4.9, 4.9, 4.8], 0.3), "total": around(19.4, 0.8)},
            "task-id oracle": {"curve": curve([11.1, 11.1, 11.1, 11.1], 0.1), "total": around(44.4, 0.3)},
        },
        "oracle": {"name": "Bayes-optimal value", "total": 37.2143},
    }
    return save(
        folder,
        recipe=recipe("rl2", "grid-navi"),
        run=about("innerloop train rl2 --tasks grid-navi"),
        log=log(120, 5, 33.8),
        evaluation=evaluation,
    )


def seeds(folder: Path, together=True) -> Path:
    """Three seeds of the bandit, and (or not) their evaluation together."""
    for seed, shift in enumerate((0.0, -0.02, 0.01)):
        bandit(folder / f"seed-{seed}", seed, shift)
    if together:
        found = json.loads((folder / "seed-0" / "evaluation.json").read_text())
        save(folder, evaluation={**found, "run": folder.name, "seeds": [0, 1, 2]})
    return folder


def page(runs, tmp_path) -> tuple[str, Page]:
    out = write_report(runs if isinstance(runs, list) else [runs], tmp_path / "out.html")
    source = out.read_text("utf-8")
    return source, Page(source)


def check_self_contained(source: str, read: Page) -> None:
    names = {name for name, _ in read.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "image", "use"}
    for name, attributes in read.tags:
        assert not {"href", "srcset", "style", "xlink:href", "action"} & set(attributes), name
        assert "src" not in attributes or (name == "img" and (attributes["src"] or "").startswith("data:image/"))
        assert not any(key.startswith("on") for key in attributes), name
    style = source[source.index("<style>") + 7 : source.index("</style>")]
    assert "url(" not in style and "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [a["content"] for n, a in read.tags if n == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and f"style-src 'sha256-{digest}'" in policy
    assert ("img-src data:;" in policy) == ("img" in names) and "'unsafe" not in policy


@pytest.mark.parametrize("make", [bandit, gradient, episodes, seeds])
def test_page_is_well_formed_self_contained_and_small(make, tmp_path):
    source, read = page(make(tmp_path / "run"), tmp_path)
    check_self_contained(source, read)
    assert "http://" not in source and "https://" not in source
    assert len(source.encode()) < 600_000
    for heading in (
        "Adaptation curve",
        "Against the baselines",
        "Learning curves",
        "Task by task",
        "Recipe",
        "How to reproduce it",
    ):
        assert heading in read.text


def test_headline_says_from_where_to_where_on_what(tmp_path):
    _, read = page(bandit(tmp_path / "b"), tmp_path)
    assert re.search(
        r"Return rises from 0\.4\d+ in the first pull to 0\.8\d+ in the last \(95\s% interval .*?on 1,000 held-out", read.text
    )
    assert "oracle (finite-horizon Gittins index): 78.66" in read.text
    _, read = page(gradient(tmp_path / "g"), tmp_path)
    assert "from \u221241.80 before adaptation to \u22123.10 after 4 gradient steps" in read.text


def test_regret_is_nought_at_the_oracle_and_one_at_random(tmp_path):
    _, read = page(gradient(tmp_path / "g"), tmp_path)
    assert "1.9 % (1.6 to 2.2)" in read.text  # (3.1 - 2.3) / (44 - 2.3), ± 0.12 / 41.7
    assert re.search(r"random \u221244\.0 \u221245\.0 to \u221243\.0 100 %", read.text)


def test_no_clear_change_is_not_called_a_rise(tmp_path):
    run = gradient(tmp_path / "g")
    found = json.loads((run / "evaluation.json").read_text())
    save(run, evaluation={**found, "gain": around(0.4, 1.0)})
    assert "No clear change: return is" in page(run, tmp_path)[1].text
    save(run, evaluation={**found, "gain": around(-4.0, 1.0)})
    assert "Return falls from" in page(run, tmp_path)[1].text


def test_page_warns_of_tasks_seen_in_training_and_of_impossible_results(tmp_path):
    run = episodes(tmp_path / "e")
    assert "all of them stand in every split" in page(run, tmp_path)[1].text
    found = json.loads((run / "evaluation.json").read_text())
    save(run, evaluation={**found, "tiny": False, "split": "train", "total": around(38.0, 0.5)})
    text = page(run, tmp_path)[1].text
    assert "These are training tasks" in text and "lies above its oracle" in text
    assert "on 21 training tasks" in text and "held-out tasks" not in text
    save(run, evaluation={**found, "total": around(19.6, 0.5)})
    assert "cannot be told from “no adaptation”" in page(run, tmp_path)[1].text


def test_hostile_names_stay_text(tmp_path):
    run = bandit(tmp_path / "run")
    found = json.loads((run / "evaluation.json").read_text())
    hostile = {PAYLOAD: found["baselines"]["random"], "a\x00b\u202ec": found["baselines"]["UCB1"]}
    found = {**found, "baselines": hostile, "oracle": {"name": PAYLOAD, "total": 78}, "note": PAYLOAD, "family": PAYLOAD}
    found |= {"unit": PAYLOAD, "policy": PAYLOAD, "split": PAYLOAD, "seed": PAYLOAD}
    found["per_task"] = [{"task": PAYLOAD, "params": PAYLOAD, "returns": [0, 1]}]
    folder = tmp_path / "<script>alert(3)<" / "script>"
    save(
        folder,
        evaluation=found,
        recipe={"name": PAYLOAD, "family": PAYLOAD, PAYLOAD: {PAYLOAD: PAYLOAD}, "$body": "${style}"},
        run={k: PAYLOAD for k in ("command", "seed", "status", "started", "innerloop")} | {"versions": {PAYLOAD: PAYLOAD}},
        log=[{"iteration": i, "env_steps": i, "metrics": {PAYLOAD: i}, "heldout": {"mean": i}} for i in range(3)],
    )
    for runs in ([folder], [folder, run]):
        source, read = page(runs, tmp_path)
        check_self_contained(source, read)
        assert "<script" not in source and "<img" not in source
        assert "\x00" not in source and "\u202e" not in source
        assert "alert(1)" in read.text and "${style}" in read.text


@pytest.mark.parametrize("name", ["recipe.json", "run.json", "log.jsonl", "evaluation.json"])
def test_a_missing_or_broken_part_is_named_and_the_rest_shown(name, tmp_path):
    run = bandit(tmp_path / "run")
    (run / name).write_text("{\n[1, 2")
    source, read = page(run, tmp_path)
    check_self_contained(source, read)
    assert f"{name}" in read.text and "could not be read" in read.text
    (run / name).unlink()
    source, read = page(run, tmp_path)
    check_self_contained(source, read)
    if name == "evaluation.json":
        assert "has not been evaluated yet" in read.text and f"innerloop evaluate {run}" in read.text
    else:
        assert f"{name} is missing" in read.text and "Return rises from" in read.text


def test_an_entry_of_the_zoo_misses_nothing(tmp_path):
    run = bandit(tmp_path / "run")
    (run / "log.jsonl").unlink()
    (run / "weights").mkdir()
    assert "is missing" not in page(run, tmp_path)[1].text


def test_a_log_cut_short_and_resumed_counts_each_iteration_once(tmp_path):
    lines = [{"iteration": i, "env_steps": 10 * i, "metrics": {"loss": 1.0 if i < 4 else math.nan}} for i in range(6)]
    run = save(tmp_path / "run", log=[*lines, *lines[3:]])
    with (run / "log.jsonl").open("a") as log:
        log.write('{"iteration": 7, "env_')
    _, read = page(run, tmp_path)
    assert "1 line could not be read" in read.text
    assert "5 updates, 50 environment steps" in read.text
    assert "2 values not finite, left out" in read.text


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"curve": []},
        {"curve": [{"experience": 0, "mean": 1.0}]},
        {"curve": [{"experience": 0, "mean": math.nan}, {"experience": 1, "mean": 2, "lo": 1, "hi": 3}], "unit": "episode"},
        {"curve": [{"experience": i, "mean": 0.0, "lo": 0.0, "hi": 0.0} for i in range(3)], "oracle": None, "baselines": None},
        {"curve": [{"mean": 1e308}, {"mean": -1e308}, {"mean": 10**400}, {"mean": "3"}, 4, None]},
        {"curve": [{"mean": 1e-90}, {"mean": 1e90}], "baselines": {"a": 3, "b": [], "c": {"curve": 1}}},
        {"curve": [{"experience": 0, "mean": 1e15}, {"experience": 1, "mean": 1e15 + 0.125}], "oracle": {"total": 1e15}},
        {"curve": "no", "baselines": [1], "oracle": 3, "per_task": {"a": 1}, "seeds": 3},
    ],
)  # fmt: skip
def test_odd_evaluations_make_a_page(found, tmp_path):
    source, read = page(save(tmp_path / "run", evaluation={**found, "tasks": 5}), tmp_path)
    check_self_contained(source, read)
    assert not re.search(r"\b(nan|inf|infinity)\b", source, re.IGNORECASE)


def told(**changes):
    episode = {"number": 0, "steps": 2, "path": [[0, 0], [1, 0], [1, 1]], "possible": [1, 0], "believed": [0.2, 0.9]}
    belief = {"step": [0, 1], "mean": [[0.0, 1.0], [0.5, 1.5]], "std": [[1.0, 1.0], [0.5, 0.5]]}
    task = {"index": 3, "goal": [1, 1], "episodes": [episode | changes], "belief": belief}
    return {"places": [[1, 1], [1, 0]], "side": 1.0, "tasks": [task]}


def test_trials_are_drawn_with_what_was_believed(tmp_path):
    found = {"curve": curve([1, 2], 0.1), "unit": "episode", "trials": told()}
    _, read = page(save(tmp_path / "run", evaluation=found), tmp_path)
    assert "Trials step by step" in read.text and "episode 1, 2 steps" in read.text and "Outlined" in read.text
    places = [a["class"] for _, a in read.tags if (a.get("class") or "").startswith("place")]
    assert places == ["place b0 still", "place b10"]


@pytest.mark.parametrize(
    "trials",
    [
        None, [], {"tasks": 3}, {"tasks": [None, {}, {"episodes": {}}]}, told(path=None), told(path=[[0, "x"]]),
        told(possible=[1]), told(believed=["nan", 1]), told(path=[[1e400, 0]]), told() | {"places": PAYLOAD},
        told() | {"side": PAYLOAD}, told(number=PAYLOAD, steps={}), told() | {"tasks": [{"belief": {"step": ["a"]}}]},
        told() | {"tasks": [{"belief": {"step": [0, 1], "mean": [[1.0], [1.0, 2.0]], "std": [[1.0], [1.0, 2.0]]}}]},
    ],
)  # fmt: skip
def test_malformed_trials_are_left_out(trials, tmp_path):
    found = {"curve": curve([1, 2], 0.1), "unit": "episode", "trials": trials}
    check_self_contained(*page(save(tmp_path / "run", evaluation=found), tmp_path))


def test_seeds_are_shown_together(tmp_path):
    _, read = page(seeds(tmp_path / "together"), tmp_path)
    assert "over 3 seeds" in read.text and "intervals over 3 seeds" in read.text and "mean of 3 seeds" in read.text
    _, read = page(seeds(tmp_path / "apart", together=False), tmp_path)
    assert "Mean of 3 seeds, without an interval." in read.text and f"innerloop evaluate {tmp_path / 'apart'}" in read.text
    save(tmp_path / "apart" / "seed-1", run=about("innerloop train rl2", 1, "running"))
    (tmp_path / "apart" / "seed-2" / "log.jsonl").unlink()
    _, read = page(tmp_path / "apart", tmp_path)
    assert "seed-2: log.jsonl is missing" in read.text and "mean of 2 seeds" in read.text
    assert "status: finished (2), running (1)" in read.text and "may be of an earlier checkpoint" in read.text


def test_several_runs_stand_side_by_side_and_alike_ones_in_one_chart(tmp_path):
    runs = [bandit(tmp_path / "one"), bandit(tmp_path / "two", 8, -0.1), gradient(tmp_path / "three")]
    source, read = page(runs, tmp_path)
    check_self_contained(source, read)
    assert len(source.encode()) < 1_500_000
    assert sum(name == "article" for name, _ in read.tags) == 3
    assert "On bandit-k5-n100" in read.text and "rl2 (one)" in read.text and "On point-goal" not in read.text


def test_long_logs_and_many_tasks_stay_small(tmp_path):
    run = bandit(tmp_path / "run")
    metrics = {f"metric {i}": 0.5 for i in range(60)}
    lines = [{"iteration": i, "env_steps": i, "metrics": metrics, "heldout": around(i, 1)} for i in range(1000)]
    found = json.loads((run / "evaluation.json").read_text())
    found["per_task"] = [{"task": i, "params": "p", "returns": [0.0, i]} for i in range(5000)]
    source, read = page(save(run, log=lines, evaluation=found), tmp_path)
    assert len(source.encode()) < 1_500_000
    assert "36 of 60 metrics are shown" in read.text and "100 of 5,000 are shown" in read.text


def test_same_folders_give_the_same_bytes(tmp_path):
    run = bandit(tmp_path / "run")
    assert page(run, tmp_path)[0] == page(run, tmp_path)[0]


def test_out_may_be_a_folder_or_lie_in_one_yet_to_be_made(tmp_path):
    run = episodes(tmp_path / "run")
    assert write_report([run], tmp_path) == tmp_path / "report.html"
    assert write_report([run], tmp_path / "new" / "page.html").is_file()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["page.html"]


def test_no_run_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="innerloop report"):
        write_report([], tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no run at '.*nowhere'.*recipe\.json"):
        write_report([tmp_path / "nowhere"], tmp_path)


def test_report_needs_nothing_heavy():
    code = "import sys, innerloop.evaluate.report; sys.exit(bool({'jax', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def scored(folder: Path, shift=0.0, trainings=3, drawn="same", tasks=30, **changes) -> Path:
    """A run of episodes whose evaluation lists the outcomes of each training, all in the same hidden difficulties."""
    run = episodes(folder, tiny=False)
    draw = random.Random(4)
    hard = [[draw.gauss(0, 4) for _ in range(tasks)] for _ in range(trainings)]
    outcomes = [[30 + shift + k + h for h in row] for k, row in enumerate(hard)]
    found = json.loads((run / "evaluation.json").read_text())
    found["baselines"]["random"] = {"curve": curve([0.0] * 4, 0.0), "total": around(0.0, 0.0)}
    found["scores"] = [{"seed": k, "drawn": f"{drawn} {k}", "outcomes": row} for k, row in enumerate(outcomes)]
    found["per_task"] = [
        {"task": i, "params": f"goal {i}", "returns": [1.0, 5.0 + shift, 9.0 + shift, 10.0 + h / 4]}
        for i, h in enumerate(hard[0])
    ]
    found["total"] = around(30 + shift, 1.0)
    return save(run, evaluation={**found, **changes})


def named(folder: Path, name: str) -> Path:
    """The run under another recipe's name."""
    return save(folder, recipe=recipe(name, json.loads((folder / "recipe.json").read_text())["family"]))


def test_runs_on_the_same_tasks_are_compared_by_scores(tmp_path):
    runs = [scored(tmp_path / "a"), named(scored(tmp_path / "b", 2.0), "varibad")]
    source, read = page(runs, tmp_path)
    check_self_contained(source, read)
    assert "varibad over rl2 3 × 30 100 % (100 % to 100 %)" in read.text
    for part in ("Scores over trainings and tasks", "Performance profile", "Learning curves", "The same held-out tasks"):
        assert part in read.text
    assert "a random policy has 0 (0) and the oracle (Bayes-optimal value) 1 (37.21)" in read.text
    assert "With fewer than 10 trainings (3 here) they are preliminary" in read.text
    assert "goal 11" in read.text and "not compared" not in read.text


def test_runs_measured_on_other_tasks_are_not_paired(tmp_path):
    runs = [scored(tmp_path / "a", per_task=[]), scored(tmp_path / "b", drawn="others", per_task=[])]
    _, read = page(runs, tmp_path)
    assert "not measured on the same tasks: evaluate both with the same --seed and --tasks" in read.text
    assert "The same held-out tasks" not in read.text and "rl2 (a)" in read.text


def test_an_evaluation_that_lists_one_training_says_what_its_interval_is(tmp_path):
    runs = [scored(tmp_path / "a", scores=None), scored(tmp_path / "b", scores=[{"outcomes": ["x"]}, 3])]
    for run in runs:  # nothing lies between random and such an oracle
        save(run, evaluation=json.loads((run / "evaluation.json").read_text()) | {"oracle": {"total": 1e-320}})
    _, read = page(runs, tmp_path)
    assert "1 × 30" in read.text and "it says nothing of another training" in read.text


def test_what_cannot_be_compared_is_named_and_scores_stand_across_families(tmp_path):
    runs = [scored(tmp_path / "a"), gradient(tmp_path / "g"), save(tmp_path / "new", recipe=recipe("pearl", "x"))]
    source, read = page(runs, tmp_path)
    check_self_contained(source, read)
    assert (
        "These are not compared with each other: rl2 on grid-navi (4 episodes); maml on point-goal (5 gradient steps)"
        in read.text
    )
    assert "pearl (new) has not been evaluated" in read.text
    assert "Across families" in read.text and "known goal" in read.text and "which method is better" in read.text
    found = json.loads((runs[1] / "evaluation.json").read_text())
    save(runs[1], evaluation={**found, "oracle": None})
    text = page(runs, tmp_path)[1].text
    assert "Not as scores either" in text and "point-goal (5 gradient steps)" in text and "Across families" not in text


def test_other_lengths_units_and_splits_are_not_compared(tmp_path):
    a = scored(tmp_path / "a")
    for i, changes in enumerate(({"curve": curve([1, 2], 0.1)}, {"unit": "step"}, {"split": "train"})):
        _, read = page([a, scored(tmp_path / f"b{i}", **changes)], tmp_path)
        assert "not compared with each other" in read.text and "Performance profile" not in read.text


def test_methods_over_several_settings_are_aggregated(tmp_path):
    runs = []
    for family, unit in (("grid-navi", "episode"), ("other", "episode")):
        for name, shift in (("rl2", 0.0), ("varibad", 3.0)):
            run = named(scored(tmp_path / f"{family}-{name}", shift, unit=unit, family=family), name)
            runs.append(save(run, recipe=recipe(name, family)))
    source, read = page(runs, tmp_path)
    check_self_contained(source, read)
    assert "Over 2 settings" in read.text and "optimality gap" in read.text and "stratified by setting" in read.text
    again = json.loads((runs[0] / "evaluation.json").read_text())
    save(runs[0], evaluation={**again, "scores": None})
    assert "No interval: the evaluations do not list single trainings" in page(runs, tmp_path)[1].text


def test_maps_and_transfer_matrices_show_for_several_runs(tmp_path):
    drawn = {"places": [[0, 0], [1, 2], [2, 1]], "params": [[0.0], [1.0], [2.0]], "transfer": {"returns": [[1, 0], [0, 1]]}}
    runs = [save(scored(tmp_path / name), map=drawn) for name in "ab"]
    _, read = page(runs, tmp_path)
    assert read.text.count("A map between tasks") == 2 and read.text.count("Row: adapted in; column: acts in") == 2


GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")  # a pixel


def test_videos_are_inlined_by_what_they_are_and_large_ones_named(tmp_path):
    run = seeds(tmp_path / "run")
    for folder in (run / "videos", run / "seed-1" / "videos"):
        folder.mkdir()
        (folder / "after.gif").write_bytes(GIF)
    (run / "videos" / "large.gif").write_bytes(GIF + bytes(2_000_000))
    (run / "videos" / "page.png").write_bytes(b"<svg onload=alert(1)>")
    (run / "videos" / f"{PAYLOAD.replace('/', '')}.gif").write_bytes(GIF)
    (run / "videos" / "link.gif").symlink_to(run / "evaluation.json")
    source, read = page(run, tmp_path)
    check_self_contained(source, read)
    images = [a for n, a in read.tags if n == "img"]
    assert len(images) == 3 and all((a["src"] or "").startswith("data:image/gif;base64,") and a["alt"] for a in images)
    assert "large.gif (2.0 MB; up to 1.5 MB are inlined" in read.text and "page.png (no GIF, PNG or WebP)" in read.text
    assert "seed-1/after.gif" in read.text and "link.gif" not in read.text


def test_single_tasks_of_one_run_are_drawn_small(tmp_path):
    source, read = page(scored(tmp_path / "a"), tmp_path)
    assert sum(name == "h4" for name, _ in read.tags) == 12 and "all to the same scale" in read.text


@pytest.mark.parametrize("runs", [1, 2])
def test_markdown_says_the_same_and_escapes_names(runs, tmp_path):
    found = json.loads((scored(tmp_path / "0") / "evaluation.json").read_text())
    found["baselines"] |= {"a|b <img src=x> [x](http://evil.test) `c`\n# d": {"total": around(1.0, 0.1)}}
    folders = [save(scored(tmp_path / str(i), i), evaluation=found) for i in range(runs)]
    folders = [named(folder, f"r{i}\n# x|y") for i, folder in enumerate(folders)]
    save(folders[0], run=about("innerloop train ``` rl2\n# no"))
    text = write_report(folders, tmp_path / "out.md").read_text("utf-8")
    assert "r0 \\# x\\|y on grid-navi" in text and "\n# d" not in text and "\n# x" not in text and "\n# no" not in text
    assert "\\<img src=x\\>" in text and "\\[x\\](http" in text and "\\`c\\`" in text
    assert ("probability of improvement" in text) == (runs > 1)
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("| ---"):
            columns = line.count("|")
            rows = [r for r in lines[i - 1 : i + 5] if r.startswith("|")]
            assert all(len(re.findall(r"(?<!\\)\|", r)) == columns for r in rows)


@pytest.mark.parametrize("kind", ["svg", "pdf"])
@pytest.mark.parametrize("runs", [1, 3])
def test_figures_are_the_same_bytes_and_hold_no_names_as_marks(kind, runs, tmp_path):
    pytest.importorskip("matplotlib", reason="figures need innerloop[figure]")
    folders = [scored(tmp_path / "$a$<b>"), named(scored(tmp_path / "b", 2.0), "$x_1$ <script>"), gradient(tmp_path / "g")]
    first = write_report(folders[:runs], tmp_path / f"one.{kind}").read_bytes()
    assert first == write_report(folders[:runs], tmp_path / "two", kind).read_bytes()
    if kind == "pdf":
        assert first.startswith(b"%PDF") and b"/Type3" not in first and len(first) < 200_000
    else:
        root = ElementTree.fromstring(first)
        assert root.tag.endswith("svg") and not [e for e in root.iter() if e.tag.endswith(("script", "image"))]
        words = " ".join(e.text or "" for e in root.iter() if e.tag.endswith("text"))
        assert "experience (episodes)" in words
        assert runs == 1 or "$x_1$ <script>" in words


def test_nothing_to_draw_and_a_wrong_format_are_refused(tmp_path):
    pytest.importorskip("matplotlib", reason="figures need innerloop[figure]")
    with pytest.raises(ValueError, match="none of the runs has been evaluated"):
        write_report([save(tmp_path / "run", recipe=recipe("rl2", "x"))], tmp_path / "out.svg")
    for given, message in (("png", "accepted: html, md, svg, pdf"), ("md", "disagree")):
        with pytest.raises(ValueError, match=message):
            format_of(Path("page.html"), given)
    assert [format_of(Path(name), None) for name in ("a.md", "b.HTM", "c", "d.txt", "e.pdf")] == [
        "md",
        "html",
        "html",
        "html",
        "pdf",
    ]


def test_colours_can_be_read_on_their_ground():
    """WCAG 2.2 AA: text and lines' names at 4.5 to 1, in light and dark."""
    style = files("innerloop.evaluate.page").joinpath("report.css").read_text("utf-8")
    schemes = re.findall(r":root \{([^}]*)\}", style)[:2]
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for name in ("ink", "soft", "oracle", *(f"c{i}" for i in range(8))):
            for ground in ("paper", "card"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground, scheme[:40])


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


def test_measures_of_several_runs_stand_beside_each_other(tmp_path):
    measured = {"time in range": {"unit": "%", "per": "step", "curve": curve([60, 70], 1), "trial": around(65.0, 1.0)}}
    runs = [scored(tmp_path / "a", measures=measured), named(scored(tmp_path / "b", measures=measured), "varibad")]
    source, read = page(runs, tmp_path)
    check_self_contained(source, read)
    assert read.text.count("Beside the return") == 3 and "time in range" in read.text
    assert write_report(runs, tmp_path / "m.md").read_text("utf-8").count("65.0 (64.0 to 66.0)") >= 4


def test_the_highest_oracle_counts_and_is_said(tmp_path):
    runs = [scored(tmp_path / "a", oracle={"name": "best of population", "total": 10.0}), scored(tmp_path / "b")]
    _, read = page(runs, tmp_path)
    assert "The runs name different oracles; scores are taken to the highest, Bayes-optimal value" in read.text


def test_figures_without_the_extra_name_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'innerloop\[figure\]'"):
        write_report([episodes(tmp_path / "run")], tmp_path / "out.pdf")
