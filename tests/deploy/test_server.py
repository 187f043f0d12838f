"""What the server answers: actions, or what is wrong, never that it does not know."""

import http.client
import json
import threading
import time
from contextlib import contextmanager

import jax
import pytest
from in_use import small

from innerloop.cli import main
from innerloop.deploy.agent import Agent
from innerloop.deploy.sessions import Sessions

pytest.importorskip("fastapi", reason="the extra innerloop[serve] is not installed")
import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from innerloop.deploy.server import Service, read_token, serve

CARD = {"digest": "d" * 64, "recipe": {"name": "rl2", "family": "point-goal"}}


@pytest.fixture(scope="module")
def agent():
    inner, _ = small("rl2", "point-goal")
    return Agent(inner, inner.init(jax.random.key(0)), card=CARD)


class Client:
    """One connection."""

    def __init__(self, port, headers=None):
        self.port, self.headers = port, headers or {}
        self.wire = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, method, path, body=None, headers=None):
        content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        self.wire.request(method, path, content, {"Content-Type": "application/json", **self.headers, **(headers or {})})
        answer = self.wire.getresponse()
        text = answer.read()
        self.wire.close()
        kind = answer.getheader("content-type", "")
        return answer.status, json.loads(text) if kind.startswith("application/json") else text.decode()

    def ask(self, message):
        with connect(f"ws://127.0.0.1:{self.port}/v1/socket", additional_headers=self.headers, proxy=None) as socket:
            socket.send(message if isinstance(message, str) else json.dumps(message))
            return json.loads(socket.recv(timeout=60))


@contextmanager
def running(agent, folder, **options):
    sessions = Sessions(agent, folder, slots=4, width=2, clock=time.monotonic)
    server = uvicorn.Server(uvicorn.Config(Service(sessions, **options).app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(agent, tmp_path_factory):
    with running(agent, tmp_path_factory.mktemp("served") / "here") as port:
        yield Client(port)


@pytest.fixture
def name(client):
    status, answer = client("POST", "/v1/sessions", {"seed": 1})
    assert status == 201
    yield answer["session"]
    client("DELETE", f"/v1/sessions/{answer['session']}")


def test_a_session_from_beginning_to_end(client):
    status, begun = client("POST", "/v1/sessions")
    assert status == 201 and begun["steps"] == 0
    path = f"/v1/sessions/{begun['session']}"
    status, answer = client("POST", path + "/act", {"obs": [0.0, 0.0]})
    assert status == 200 and len(answer["action"]) == 2
    status, answer = client("POST", path + "/reward", {"reward": -1.0, "terminated": False, "obs": [0.1, 0.0]})
    assert (status, answer["steps"]) == (200, 1)
    assert client("GET", path)[1]["steps"] == 1
    assert client("POST", path + "/snapshot")[0] == 200
    assert client("DELETE", path)[0] == 200
    status, answer = client("GET", path)
    assert (status, answer["error"]["type"]) == (410, "gone")


def test_the_socket_answers_as_http_does(client, name):
    assert "action" in client.ask({"op": "act", "session": name, "obs": [0.0, 0.0]})
    assert client.ask({"op": "look", "session": name})["steps"] == 0
    for message, kind in {
        "no json": "bad-request",
        "[1]": "bad-request",
        '{"op": "fly"}': "bad-request",
        '{"op": "begin", "seed": -1}': "bad-input",
        '{"op": "act", "session": 3}': "unknown-session",
        "[" * 2000: "bad-request",
        "x" * 4200: "too-large",
    }.items():
        assert client.ask(message)["error"]["type"] == kind


BAD = [
    ("POST", "act", {"obs": 0}, 422, "expected (2,)"),
    ("POST", "act", {"obs": "zero"}, 422, "expected (2,)"),
    ("POST", "act", {"obs": [[0, 1], [2]]}, 422, "ragged"),
    ("POST", "act", {"obs": [0.0, 1e400]}, 422, "finite"),
    ("POST", "act", {"obs": {"a": 1}}, 422, "expected (2,)"),
    ("POST", "act", {}, 422, "obs"),
    ("POST", "act", {"obs": [0.0, 0.0], "more": 1}, 422, "more"),
    ("POST", "act", b'{"obs": [0.0', 422, "JSON"),
    ("POST", "act", b"[" * 2000, 400, ""),
    ("POST", "act", b"\xff\xfe", 422, ""),
    ("POST", "act", b"0" * 5000, 413, "4160"),
    ("POST", "reward", {"reward": 1.0}, 409, "act first"),
    ("POST", "reward", {"reward": "1"}, 422, "reward"),
    ("POST", "reward", {"reward": 1.0, "terminated": "yes"}, 422, "terminated"),
    ("GET", "act", None, 405, ""),
    ("POST", "fly", None, 404, ""),
]


@pytest.mark.parametrize(("method", "verb", "body", "status", "word"), BAD)
def test_what_is_wrong_is_said(client, name, method, verb, body, status, word):
    found, answer = client(method, f"/v1/sessions/{name}/{verb}", body)
    assert found == status
    assert word in answer["error"]["message"]


def test_there_are_only_so_many_places(client):
    begun = [client("POST", "/v1/sessions") for _ in range(5)]
    assert [status for status, _ in begun] == [201] * 4 + [429]
    assert begun[-1][1]["error"]["type"] == "no-slot"
    for _, answer in begun[:4]:
        client("DELETE", f"/v1/sessions/{answer['session']}")


def test_pages_of_other_sites_are_turned_away(client):
    assert client("GET", "/v1/about", headers={"Origin": "http://elsewhere.example"})[0] == 403
    assert client("GET", "/v1/about", headers={"Host": "elsewhere.example"})[0] == 403
    assert client("GET", "/v1/about", headers={"Origin": f"http://127.0.0.1:{client.port}"})[0] == 200


def test_metrics_count_what_was_asked(client, name):
    client("POST", f"/v1/sessions/{name}/act", {"obs": 0})
    status, text = client("GET", "/metrics")
    assert status == 200 and 'innerloop_requests_total{answer="bad-input",what="act"}' in text


def test_a_token_is_asked_for(agent, tmp_path):
    with running(agent, tmp_path / "served", token="a long enough secret") as port:
        assert Client(port)("GET", "/v1/about")[0] == 401
        assert Client(port)("GET", "/metrics")[0] == 401
        assert Client(port)("GET", "/healthz")[0] == 200
        assert Client(port, {"Authorization": "Bearer wrong"})("POST", "/v1/sessions")[0] == 401
        known = Client(port, {"Authorization": "Bearer a long enough secret"})
        assert known("GET", "/v1/about", headers={"Host": "agents.example"})[0] == 200
        assert "session" in known.ask({"op": "begin"})
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{port}/v1/socket", proxy=None)


def test_others_are_served_only_with_a_token(agent, tmp_path):
    sessions = Sessions(agent, tmp_path / "served", clock=time.monotonic)
    with pytest.raises(ValueError, match="set a token"):
        serve(sessions, "0.0.0.0", 0, None)
    with pytest.raises(ValueError, match="fewer than 16"):
        serve(sessions, "0.0.0.0", 0, "short")
    with pytest.raises(ValueError, match="could not be read"):
        read_token(tmp_path / "none")


def test_the_command_refuses_before_it_listens(tmp_path, capsys):
    assert main(["serve", str(tmp_path / "no-run")]) == 2
    assert main(["serve", "zoo:rl2-bandit-k5-n10", "--host", "0.0.0.0", "--state", str(tmp_path / "served")]) == 2
    assert "set a token" in capsys.readouterr().err
