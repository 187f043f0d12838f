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
from pathlib import Path

import pytest

from innerloop.evaluate.report import write_report

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
