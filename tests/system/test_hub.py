"""Runs on the Hub, by the real client against a hub of our own: there and back; what is damaged or would run stays away."""

import base64
import hashlib
import json
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from innerloop.cli import main
from innerloop.loading import zoo

ENTRY = "rl2-bandit-k5-n10"


class Hub:
    """Repositories in memory, and what was asked of them."""

    def __init__(self):
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.asked: list[str] = []
        self.down, self.address = False, ""

    def answer(self, method, path, body):
        """(status, JSON or bytes, headers)"""
        if self.down:
            return 503, {"error": "maintenance"}, {}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.repos[name] = {".gitattributes": b""}
            self.private |= {name} if asked.get("private") or asked.get("visibility") == "private" else set()
            return 200, {"url": f"{self.address}/{name}", "name": name}, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        repo = "/".join(parts[2:4] if parts[:2] == ["api", "models"] else parts[:2])
        if repo not in self.repos:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        files = self.repos[repo]
        if "resolve" in parts:
            data = files["/".join(parts[4:])]
            return 200, data, {"X-Repo-Commit": commit(files), "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        what = parts[4] if len(parts) > 4 else "revision"
        if what == "preupload":
            named = [file["path"] for file in json.loads(body)["files"]]
            return 200, {"files": [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in named]}, {}
        if what == "commit":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del files[line["value"]["path"]]
            return 200, {"commitUrl": f"{self.address}/{repo}/commit/{commit(files)}", "commitOid": commit(files)}, {}
        if what == "tree":
            entries = [
                {"type": "file", "path": f, "size": len(d), "oid": hashlib.sha1(d).hexdigest()} for f, d in files.items()
            ]
            return 200, entries, {}
        siblings = [{"rfilename": f, "size": len(d), "blobId": hashlib.sha1(d).hexdigest()} for f, d in files.items()]
        return 200, {"id": repo, "modelId": repo, "sha": commit(files), "siblings": siblings, "private": False}, {}


def commit(files):
    return hashlib.sha1(json.dumps({f: d.hex() for f, d in sorted(files.items())}).encode()).hexdigest()


@pytest.fixture
def hub(monkeypatch):
    pytest.importorskip("huggingface_hub", reason="an extra, tested where it is installed")
    from huggingface_hub import constants

    service = Hub()

    class Handler(BaseHTTPRequestHandler):
        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            service.asked.append(f"{self.command} {path}")
            status, answer, headers = service.answer(self.command, path, body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = serve

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    service.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", service.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", service.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_the_package_the_extra_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules, "innerloop.hub", raising=False)
    monkeypatch.delattr("innerloop.hub", raising=False)
    assert main(["hub", "pull", "lab/x", "--out", str(tmp_path / "x")]) == 2
    assert "pip install 'innerloop[hub]'" in capsys.readouterr().err


def test_there_and_back(hub, tmp_path, capsys):
    assert main(["hub", "push", f"zoo:{ENTRY}", "lab/RL2-Bandit", "--private", "--licence", "apache-2.0"]) == 0
    assert "/lab/RL2-Bandit/commit/" in capsys.readouterr().out and hub.private == {"lab/RL2-Bandit"}
    files = hub.repos["lab/RL2-Bandit"]
    sent = zoo() / ENTRY
    names = {str(p.relative_to(sent)) for p in sent.rglob("*") if p.is_file()}
    assert set(files) == names | {"README.md", ".gitattributes"}
    files["extra.py"] = files["pytorch_model.bin"] = b"import os"
    hub.asked.clear()
    assert main(["hub", "pull", "lab/RL2-Bandit", "--out", str(tmp_path / "here")]) == 0
    out = tmp_path / "here"
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == names | {"README.md", "source.json"}
    assert not [line for line in hub.asked if "extra.py" in line or "pytorch_model" in line]  # nothing but what was asked for
    for name in names:
        assert (out / name).read_bytes() == (sent / name).read_bytes()
    assert json.loads((out / "source.json").read_text())["commit"] == commit(files)
    assert main(["evaluate", str(out), "--tasks", "4", "--no-baselines", "--json"]) == 0
    assert main(["hub", "push", str(out), "lab/again"]) == 0
    assert hub.repos["lab/again"]["weights/state.safetensors"] == files["weights/state.safetensors"]
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_the_card_is_read_by_the_hub(hub):
    from huggingface_hub import ModelCard

    assert main(["hub", "push", f"zoo:{ENTRY}", "lab/card", "--licence", "apache-2.0"]) == 0
    text = hub.repos["lab/card"]["README.md"].decode()
    told = json.loads((zoo() / ENTRY / "card.json").read_text())
    data = ModelCard(text).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("innerloop", "reinforcement-learning", "apache-2.0")
    assert {"rl2", "bandit-k5-n10"} <= set(data.tags)
    (result,) = data.eval_results
    assert result.metric_value == round(told["result"]["total"]["mean"], 4) and result.dataset_type == told["family"]
    assert "innerloop hub pull lab/card" in text and told["training_digest"] in text and "no adaptation" in text


def test_another_s_repository_is_left_alone(hub, capsys):
    hub.repos["lab/theirs"] = {"config.json": b"{}", "README.md": b"a model of something"}
    assert main(["hub", "push", f"zoo:{ENTRY}", "lab/theirs"]) == 2
    assert "holds something else" in capsys.readouterr().err and hub.repos["lab/theirs"]["README.md"] == b"a model of something"


def test_a_newer_push_replaces_the_older(hub, tmp_path):
    assert main(["hub", "push", f"zoo:{ENTRY}", "lab/x"]) == 0
    bare = shutil.copytree(zoo() / ENTRY, tmp_path / "bare", ignore=shutil.ignore_patterns("baselines.json"))
    assert main(["hub", "push", str(bare), "lab/x"]) == 0
    assert "baselines.json" not in hub.repos["lab/x"] and "card.json" in hub.repos["lab/x"]


def changed(change):
    """`change` of the JSON object in bytes, as bytes."""

    def apply(data):
        found = json.loads(data)
        change(found)
        return json.dumps(found).encode()

    return apply


def names_a_module(recipe):
    recipe["request"]["recipe"] = "antigravity:fly"


def names_an_environment(recipe):
    recipe["family"] = recipe["request"]["tasks"] = "shown:env:os:abort?x=1,2"


def names_a_net(recipe):
    recipe["inner"]["keras"] = "os:abort"


def asks_for_a_net(recipe):
    recipe["request"]["settings"] = {"inner.keras": "os:abort"}


@pytest.mark.parametrize(
    ("file", "change", "status", "said"),
    [
        ("weights/state.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]), 2, "the weights are damaged"),
        ("weights/manifest.json", lambda data: data.replace(b'"step": 0', b'"step": 1'), 2, "is not what was written"),
        ("card.json", changed(lambda card: card.update(training_digest="0" * 64)), 2, "tells of other weights"),
        ("card.json", changed(lambda card: card.update(recipe="maml")), 2, "tells of maml"),
        ("card.json", lambda data: b"[]", 2, "should hold a JSON object"),
        ("card.json", None, 2, "card.json is missing"),
        ("recipe.json", changed(lambda recipe: recipe["inner"].update(width=65)), 2, "weights"),
        ("recipe.json", changed(lambda recipe: recipe.pop("inner")), 2, "no full recipe"),
        ("recipe.json", changed(names_a_module), 2, "--trust antigravity:fly"),
        ("recipe.json", changed(names_an_environment), 2, "--trust os:abort"),
        ("recipe.json", changed(names_a_net), 2, "--trust os:abort"),
        ("recipe.json", changed(asks_for_a_net), 2, "--trust os:abort"),
    ],
)  # fmt: skip
def test_what_is_damaged_or_would_run_is_not_kept(hub, tmp_path, capsys, file, change, status, said):
    assert main(["hub", "push", f"zoo:{ENTRY}", "lab/x"]) == 0
    files = hub.repos["lab/x"]
    if change is None:
        del files[file]
    else:
        files[file] = change(files[file])
    assert main(["hub", "pull", "lab/x", "--out", str(tmp_path / "here")]) == status
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [] and "antigravity" not in sys.modules


def test_a_module_that_is_trusted_by_name_is_used(hub, tmp_path, monkeypatch):
    assert main(["hub", "push", f"zoo:{ENTRY}", "lab/x"]) == 0
    files = hub.repos["lab/x"]
    files["recipe.json"] = changed(lambda recipe: recipe["request"].update(recipe="mine_for_hub:make"))(files["recipe.json"])
    (tmp_path / "mine_for_hub.py").write_text("from innerloop.recipes.rl2 import make\n")
    monkeypatch.chdir(tmp_path)
    assert main(["hub", "pull", "lab/x", "--out", "a", "--trust", "other:make"]) == 2
    assert main(["hub", "pull", "lab/x", "--out", "a", "--trust", "mine_for_hub:make"]) == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["pull", "lab/absent", "--out", "new"], 2, "there is no lab/absent on the Hub"),
        (["pull", "absent", "--out", "new"], 2, "Accepted: ORG/NAME"),
        (["pull", "a/../b", "--out", "new"], 2, "Accepted: ORG/NAME"),
        (["pull", "lab/x", "--out", "full"], 2, "is not empty"),
        (["push", "zoo:absent", "lab/x"], 2, "there is no zoo:absent"),
        (["push", "full", "lab/x"], 2, "no evaluation.json"),
    ],
)
def test_what_cannot_be_done_is_said(hub, tmp_path, monkeypatch, capsys, words, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "run.json").write_text("{}")
    assert main(["hub", *words]) == status
    assert said in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == ["full"]


def test_a_hub_that_does_not_answer(hub, tmp_path, capsys):
    hub.down = True
    assert main(["hub", "pull", "lab/x", "--out", str(tmp_path / "here")]) == 1
    assert "the Hub refused" in capsys.readouterr().err
