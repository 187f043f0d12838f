"""What passing a log on promises: every row in its order, on one remote run, and training that never waits for a service."""

import io
import json
import logging
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from innerloop.run.folder import FolderError, RunFolder
from innerloop.run.log import RunLog, read_rows
from innerloop.run.services.follower import PATIENCE, Follower, following, send
from innerloop.run.services.sink import About, checked, opened
from innerloop.run.settings import ConfigError

RECORD = {"seed": 0, "command": ["innerloop", "train"], "versions": {"jax": "0"}}


class Service:
    """A tracking service on the other side: it has runs by their keys, and may be out of reach."""

    def __init__(self):
        self.runs: dict[str, list] = {}
        self.ended: list[str] = []
        self.down, self.settles = False, 0.0
        self.gate = threading.Event()
        self.gate.set()

    def sink(self):
        return Remote(self)


class Remote:
    def __init__(self, service):
        self.service = service

    def begin(self, about, kept):
        self.answer()
        self.run = kept.get("run", f"remote-{kept['key']}")
        self.service.runs.setdefault(self.run, [])
        return {"run": self.run, "title": about.title, "settles": self.service.settles}

    def send(self, rows):
        self.answer()
        self.service.runs[self.run] += [(row["iteration"], row["metrics"]["return"]) for row in rows]

    def end(self, status):
        self.answer()
        self.service.ended.append(status)

    def answer(self):
        self.service.gate.wait()
        if self.service.down:
            raise ConnectionError("no route to host")


def begin(folder, service, **options):
    about = About("rl2 on bandits, seed 0", Path(folder), {"name": "rl2", "inner": {"width": 8}}, RECORD)
    follower = Follower("fake", service.sink(), about, pace=0.001)
    screen = options.pop("screen", io.StringIO())
    console = Console(file=screen, width=300, highlight=False)
    return RunLog(folder, 1000, console=console, followers=[follower], **options), follower


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)


def write(log, *iterations, plus=0.0):
    for i in iterations:
        log.write(i, 100 * i, {"return": i + plus})


def test_every_row_is_passed_on_once_and_in_order(tmp_path):
    service = Service()
    log, _ = begin(tmp_path, service)
    with log:
        write(log, *range(1, 40))
    (rows,) = service.runs.values()
    assert rows == [(i, float(i)) for i in range(1, 40)] and service.ended == ["finished"]
    kept = json.loads((tmp_path / "remote.json").read_text())["fake"]
    assert kept["sent"] == 39 and kept["title"] == "rl2 on bandits, seed 0"


def test_a_resumed_run_goes_on_with_the_same_remote_run(tmp_path):
    """Rows that are lived again, bit for bit, are not sent again."""
    service = Service()
    log, _ = begin(tmp_path, service)
    with pytest.raises(KeyboardInterrupt), log:
        write(log, 1, 2, 3)
        raise KeyboardInterrupt
    log, _ = begin(tmp_path, service, iteration=2, env_steps=200)
    with log:
        write(log, 3, 4)
    (rows,) = service.runs.values()
    assert [i for i, _ in rows] == [1, 2, 3, 4] and service.ended == ["interrupted", "finished"]


def test_a_service_out_of_reach_costs_one_warning_and_no_row(tmp_path):
    service, screen = Service(), io.StringIO()
    service.down = True
    log, follower = begin(tmp_path, service, screen=screen)
    with log:
        write(log, 1)
        until(lambda: follower._problem is not None)
        write(log, 2, 3)
        service.down = False
        until(lambda: follower._sent == 3)
    assert [i for rows in service.runs.values() for i, _ in rows] == [1, 2, 3]
    assert screen.getvalue().count("fake does not take the log (ConnectionError: no route to host)") == 1
    assert screen.getvalue().count("warning") == 1


def test_what_a_service_never_took_is_sent_later(tmp_path, monkeypatch):
    service, screen = Service(), io.StringIO()
    service.down = True
    run = RunFolder.create(tmp_path / "run", {"name": "rl2", "family": "bandits"}, command=[], seed=0, log=["module:sink"])
    log, _ = begin(run.path, service, screen=screen)
    with run, log:
        write(log, 1, 2)
    assert "fake has not taken 2 of the log's rows" in screen.getvalue() and "innerloop send" in screen.getvalue()
    monkeypatch.setattr("innerloop.run.services.follower.opened", lambda name: service.sink())
    with pytest.raises(OSError, match="module:sink did not take the log"):
        send(run, [])
    service.down = False
    assert send(run, []) == {"module:sink": 2} == send(run, [])
    assert [i for rows in service.runs.values() for i, _ in rows] == [1, 2] and service.ended == ["finished"] * 2


def test_training_does_not_wait_for_a_service(tmp_path, monkeypatch):
    """Not while it writes, and at its end no longer than it is patient."""
    service = Service()
    service.gate.clear()  # it takes the connection, and says nothing
    log, follower = begin(tmp_path, service)
    monkeypatch.setitem(PATIENCE, "finished", 0.01)
    with log:
        write(log, *range(1, 100))
    assert not service.runs and follower._thread.is_alive() and len(read_rows(tmp_path / "log.jsonl")) == 99
    service.gate.set()  # so that its thread ends
    follower._thread.join(20)


def test_after_a_roll_back_what_is_lived_anew_is_sent(tmp_path):
    service = Service()
    log, follower = begin(tmp_path, service)
    with log:
        write(log, 1, 2, 3)
        until(lambda: follower._sent == 3)
        log.rewind(1, 100)
        write(log, 2, 3, 4, plus=0.5)
    (rows,) = service.runs.values()
    assert rows == [(1, 1.0), (2, 2.0), (3, 3.0), (2, 2.5), (3, 3.5), (4, 4.5)]


def test_what_a_kill_could_take_from_a_service_is_sent_again(tmp_path):
    """wandb's own process writes some seconds later; a run that ends tells it, and waits."""
    service = Service()
    service.settles = 1000.0
    log, follower = begin(tmp_path, service)
    write(log, 1, 2, 3)
    until(lambda: follower._sent == 3)
    kept = (tmp_path / "remote.json").read_text()  # as it lies there if the process is killed now
    assert json.loads(kept)["fake"]["sent"] == -1
    log.close()
    assert json.loads((tmp_path / "remote.json").read_text())["fake"]["sent"] == 3
    (tmp_path / "remote.json").write_text(kept)
    log, _ = begin(tmp_path, service, iteration=3, env_steps=300)
    with log:
        write(log, 4)
    (rows,) = service.runs.values()
    assert [i for i, _ in rows] == [1, 2, 3, 1, 2, 3, 4]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path):
    service = Service()
    log, follower = begin(tmp_path, service)
    with log:
        write(log, 1)
        until(lambda: follower._sent == 1)
        with open(tmp_path / "log.jsonl", "ab", buffering=0) as file:
            file.write(b'{"iteration": 2, "env_steps": 200, ')
            assert follower._next()[0] == []
            file.write(b'"seconds": 1.0, "metrics": {"return": 2.0}}\n')
        log.write(3, 300, {"return": 3})
    assert [i for rows in service.runs.values() for i, _ in rows] == [1, 2, 3]


def test_about_a_run():
    about = About("rl2", Path("runs/many/seed-3"), {"outer": {"lr": 0.1}, "request": {"x": 1}, "steps": 10}, RECORD)
    assert (about.name, about.group) == ("many-seed-3", "many")
    assert about.settings() == {
        "outer.lr": 0.1, "steps": 10, "seed": 0, "command": "innerloop train", "versions.jax": "0",
    }  # fmt: skip


OWN = """
class Sink:
    def begin(self, about, kept):
        return {}
    def send(self, rows):
        for row in rows:
            print(row["iteration"], file=open("told", "a"))
    def end(self, status):
        print(status, file=open("told", "a"))

nothing = 3
"""


def test_names_are_checked_before_anything_is_trained(tmp_path, monkeypatch):
    (tmp_path / "mysink.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert checked(["none"]) == [] and checked(["mysink:Sink"] * 2) == ["mysink:Sink"]
    assert type(opened("mysink:Sink")).__name__ == "Sink"
    for names, said in (
        (["wandbb"], "Did you mean wandb?"),
        (["wandb"], r"innerloop\[wandb\]"),
        (["mlflow"], r"innerloop\[mlflow\]"),
        (["none", "mysink:Sink"], "stands for no service"),
        (["mysink:absent"], "cannot be imported"),
        (["mysink:nothing"], "is int"),
    ):
        with pytest.raises(ConfigError, match=said):
            checked(names)


def test_a_run_that_was_passed_on_to_none_says_so(tmp_path):
    run = RunFolder.create(tmp_path / "run", {"name": "rl2"}, command=[], seed=0)
    assert following(run, "rl2") == []
    with pytest.raises(FolderError, match="being trained just now"):
        send(run, ["wandb"])
    run.close("finished")
    with pytest.raises(FolderError, match="--log wandb or --log mlflow"):
        send(run, [])
    with pytest.raises(FolderError, match="no log yet"):
        send(run, ["wandb"])


def test_loggers_are_left_as_they_were(tmp_path):
    before = list(logging.getLogger("innerloop").handlers)
    log, _ = begin(tmp_path, Service())
    log.close()
    assert logging.getLogger("innerloop").handlers == before
