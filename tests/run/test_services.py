"""The services themselves, in their packages' offline or local stores: what they are told, and that a run goes on in them."""

import json
import time
from pathlib import Path

import pytest

from innerloop.run.folder import RunFolder
from innerloop.run.services.follower import Follower
from innerloop.run.services.sink import About, opened

WHY = "an extra, tested where it is installed"
RECIPE = {"name": "rl2", "family": "bandit-k5-n10", "steps": 1000, "outer": {"lr": 3e-4}, "request": {}}


@pytest.fixture
def run(tmp_path):
    run = RunFolder.create(tmp_path / "seeds" / "seed-0", RECIPE, command=["innerloop", "train", "rl2"], seed=0)
    with open(run.log, "w") as file:
        for i in (1, 2, 3):
            row = {"iteration": i, "env_steps": 100 * i, "seconds": 0.5 * i, "metrics": {"return": i / 2, "lost": None}}
            row |= {"heldout": {"mean": 2.0, "lo": 1.0, "hi": 3.0}} if i == 3 else {}
            file.write(json.dumps(row) + "\n")
    yield run
    run.close("finished")


def follower(run, service):
    return Follower(service, opened(service), About("rl2 on bandits", run.path, run.recipe, run.record))


def more(run):
    with open(run.log, "a") as file:
        file.write(json.dumps({"iteration": 4, "env_steps": 400, "seconds": 2.0, "metrics": {"return": 2.0}}) + "\n")


def kept(run, service):
    return json.loads((run.path / "remote.json").read_text())[service]


@pytest.mark.filterwarnings("ignore")  # theirs
def test_mlflow_has_every_row_in_one_run(run, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason=WHY)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    import mlflow

    assert follower(run, "mlflow").catch_up("interrupted") == 3
    more(run)
    run.write_recipe(RECIPE | {"steps": 2000})  # trained further
    (tmp_path / "seeds" / "seed-0" / "remote.json").write_text(
        json.dumps({"mlflow": {"key": kept(run, "mlflow")["key"], "sent": 3}})
    )
    assert follower(run, "mlflow").catch_up("finished") == 4  # found again by its key
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("innerloop")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == "seeds-seed-0"
    assert found.info.run_id == kept(run, "mlflow")["run"]
    assert found.data.params["outer.lr"] == "0.0003" and found.data.params["seed"] == "0"
    assert (found.data.params["steps"], found.data.tags["steps"]) == ("1000", "2000")
    history = client.get_metric_history(found.info.run_id, "return")
    assert [(m.step, m.value) for m in history] == [(100, 0.5), (200, 1.0), (300, 1.5), (400, 2.0)]
    assert found.data.metrics["heldout/mean"] == 2.0 and "lost" not in found.data.metrics


@pytest.mark.filterwarnings("ignore")  # theirs
def test_wandb_records_offline_and_under_one_id(run, monkeypatch):
    pytest.importorskip("wandb", reason=WHY)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert follower(run, "wandb").catch_up("interrupted") == 3
    more(run)
    assert follower(run, "wandb").catch_up("finished") == 4
    assert kept(run, "wandb")["run"] == kept(run, "wandb")["key"] and kept(run, "wandb")["project"] == "innerloop"
    first, second = sorted((run.path / "wandb").glob("offline-run-*"))
    assert first.name.split("-")[-1] == second.name.split("-")[-1] == kept(run, "wandb")["key"]
    told = [recorded(folder) for folder in (first, second)]
    assert [row["env_steps"] for rows, _ in told for row in rows] == [100, 200, 300, 400]
    assert told[0][0][-1]["heldout/mean"] == 2.0 and told[0][0][0]["return"] == 0.5 and "lost" not in told[0][0][0]
    assert told[0][1]["outer.lr"] == 3e-4 and told[0][1]["command"] == "innerloop train rl2"


def records(path: Path):
    """The records of a .wandb file, a log as LevelDB writes it: blocks of 32 KB, of parts (checksum, length, type, bytes)."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no room for a part's head: zeros
            at += 32768 - at % 32768
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole, at = whole + data[at + 7 : at + 7 + size], at + 7 + size
        if kind in (1, 4):  # all of it, or its last part
            yield whole
            whole = b""


def recorded(folder: Path):
    """(rows, config) of an offline run, once its own process has written all of it."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows, config, end = [], {}, time.monotonic() + 60
    while not (found := [Record.FromString(data) for data in records(next(folder.glob("*.wandb")))])[-1].HasField("exit"):
        assert time.monotonic() < end, "wandb did not finish its file"
        time.sleep(0.05)
    for record in found:
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items})
        if record.HasField("run"):
            config |= {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.run.config.update}
    return rows, config
