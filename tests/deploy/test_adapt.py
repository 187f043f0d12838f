"""`innerloop adapt` as a user meets it: what it says, what it keeps, what it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from innerloop.cli import main
from innerloop.core import Box, Cells, Discrete, Spaces
from innerloop.deploy.fit import misfits
from innerloop.deploy.table import ROWS, blocks
from innerloop.loading import zoo
from innerloop.run import sealed

EXAMPLES = Path(__file__).parents[2] / "examples"
ROOM = ["zoo:rl2-grid-navi", "--env", "06_adapt:Room"]
OWN = """
import gymnasium
import numpy as np

class Plane(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, goal=0.1, steps=4, bad=0, places=2, bound=1.0):
        self.goal, self.steps, self.bad, self.places, self.episode = np.float32(goal), steps, bad, places, -1
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (places,), np.float32)
        self.action_space = gymnasium.spaces.Box(-bound, bound, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.time, self.episode = np.zeros(self.places, np.float32), 0, self.episode + 1
        return self.at, {}

    def step(self, action):
        self.at, self.time = self.at + np.float32(np.clip(action, -1, 1).mean() / 10), self.time + 1
        if self.bad and self.episode == self.bad:
            raise OSError("the motor is off")
        return self.at, -float(np.abs(self.at - self.goal).sum()), False, bool(self.steps) and self.time >= self.steps, {}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    shutil.copy(EXAMPLES / "06_adapt.py", tmp_path)
    (tmp_path / "own_plane.py").write_text(OWN)
    for name in ("own_plane", "06_adapt"):
        sys.modules.pop(name, None)
    from innerloop.tasks import own

    own._facts.cache_clear()
    own._told.cache_clear()


def said(capsys, *words, expect=0):
    """What the command printed: one JSON object, or what it refused with."""
    assert main(["adapt", *map(str, words), *(["--json"] if not expect else [])]) == expect
    shown = capsys.readouterr()
    return json.loads(shown.out) if not expect else shown.err


def test_an_agent_of_the_zoo_adapts_to_a_newcomers_room_and_goes_on(capsys):
    """It improves by the third episode; stopped and taken up it lives what it would have lived, bit for bit; it is filmed."""
    PIL = pytest.importorskip("PIL.Image", reason="videos are the extra `video`")
    whole = said(capsys, *ROOM, "--episodes", 4, "--out", "whole", "--video")
    assert whole["returns"][2] > whole["returns"][0] + 5 and whole["unadapted"][2] == whole["unadapted"][0]
    assert whole["after"]["adapted"] == whole["returns"][-1] and whole["lengths"] == [15] * 4
    for name in ("before", "after"):
        with PIL.open(whole["video"][name]) as film:
            assert film.n_frames > 4 and film.size == (120, 120)  # frames that are alike are one
    first = said(capsys, *ROOM, "--episodes", 2, "--out", "parts")
    then = said(capsys, "--from", "parts", "--episodes", 2)
    assert first["returns"] + then["returns"] == whole["returns"] and then["behind"] == 2
    assert then["unadapted"] == whole["unadapted"][2:]
    states = [sealed.read_manifest(Path(run) / "agent")["leaves"] for run in ("whole", "parts")]
    assert states[0] == states[1] and states[0]  # every leaf's SHA-256
    assert json.loads(Path("parts/adaptation.json").read_text()) == then
    assert main(["adapt", "--from", "parts", "--episodes", "1"]) == 0
    shown = capsys.readouterr().out
    assert "no adaptation" in shown and "next: innerloop adapt --from parts" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_gradient_steps_are_taken_between_whole_episodes(capsys):
    """MAML's forty streams become forty episodes, one after the other, before each step."""
    found = said(capsys, "zoo:maml-point-goal", "--env", "own_plane:Plane", "--episodes", 82, "--out", "here")
    assert found["learned"] == [0] * 40 + [1] * 40 + [2] * 2 and found["after"]["episodes"] == 2


def test_without_an_environment_a_held_out_task_is_lived(capsys):
    found = said(capsys, "zoo:rl2-grid-navi", "--seed", 3, "--episodes", 2, "--out", "own")
    assert found["environment"] == "grid-navi" and found["task"] and len(found["returns"]) == 2


def resealed(path, **fields):
    """A manifest that says something else, and is sealed as if it had been written so."""
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["seal"]
    (path / "manifest.json").write_text(json.dumps(sealed.seal(manifest | fields)))


def test_damage_and_other_schemas_are_named(capsys, tmp_path):
    for name in ("newer", "torn", "cut"):
        shutil.copytree(zoo() / "rl2-grid-navi", tmp_path / name)
    resealed(tmp_path / "newer" / "weights", schema=2)
    state = tmp_path / "torn" / "weights" / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-5] ^= 1
    state.write_bytes(content)
    (tmp_path / "cut" / "recipe.json").write_text('{"inner": ')
    reasons = {"newer": "its schema is 2, and this version reads 1", "torn": "SHA-256", "cut": "not valid JSON"}
    for name, reason in reasons.items():
        assert reason in said(capsys, tmp_path / name, "--env", "06_adapt:Room", expect=2)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give a run to adapt"),
        (["nowhere"], "Give a folder made by `innerloop train`"),
        (["zoo:nothing"], "The zoo holds"),
        ([*ROOM, "--on", "grid-navi"], "give one of them"),
        ([*ROOM, "--from", "x"], "give a run to adapt"),
        (["--from", "nowhere"], "holds no saved agent"),
        (["--from", "x", "--env", "06_adapt:Room"], "begin with the run"),
        (["--from", "x", "--seed", "3"], "begin with the run"),
        ([*ROOM, "--seed", "-1"], "a whole number from 0"),
        (["zoo:rl2-grid-navi", "--vary", "x=1:2"], "give --env MODULE:MAKE too"),
        (["zoo:rl2-grid-navi", "--env", "06_adapt:Hall"], "cannot be imported"),
        (["zoo:rl2-grid-navi", "--env", "own_plane:Plane"], "does not fit a run on grid-navi: its observations"),
        (["zoo:maml-point-goal", "--env", "own_plane:Plane", "--vary", "places=3"], "shapes must be the same"),
        (["zoo:maml-point-goal", "--env", "own_plane:Plane", "--vary", "bound=2.0"], "RescaleAction(env, -1.0, 1.0)"),
        (["zoo:maml-point-goal", "--env", "own_plane:Plane", "--vary", "steps=0"], "--max-steps"),
        (["zoo:maml-point-goal", "--env", "own_plane:Plane", "--video"], "give make() an argument render_mode"),
        (["zoo:rl2-grid-navi", "--video"], "draws no pictures"),
        (["zoo:rl2-grid-navi", "--on", "point-goal"], "does not fit a run on grid-navi"),
        ([*ROOM, "--out", "full"], "full is not empty"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(capsys, words, reason):
    Path("full").mkdir()
    (Path("full") / "x").touch()
    error = said(capsys, *words, expect=2)
    assert reason in error and error.startswith("innerloop adapt: ") and not Path("adapted").exists()


def test_an_environment_that_fails_costs_an_episode(capsys):
    """The agent as it was before is kept, and goes on."""
    words = ["zoo:maml-point-goal", "--env", "own_plane:Plane", "--vary", "bad=7", "--episodes", 9, "--out", "here"]
    error = said(capsys, *words, expect=1)
    assert "the motor is off" in error and "innerloop adapt --from here" in error
    kept = json.loads(Path("here/adaptation.json").read_text())
    assert len(kept["returns"]) == 7
    assert said(capsys, "--from", "here", "--episodes", 1)["behind"] == 7


def test_an_interrupted_adaptation_is_kept(capsys, monkeypatch):
    from innerloop.deploy import adaptation

    lived = adaptation.episode

    def interrupted(agent, place, seed, **options):
        if agent.counts.episodes == 2:
            raise KeyboardInterrupt
        return lived(agent, place, seed, **options)

    monkeypatch.setattr(adaptation, "episode", interrupted)
    assert "innerloop adapt --from DIR" in said(capsys, *ROOM, "--out", "here", expect=130)
    monkeypatch.setattr(adaptation, "episode", lived)
    assert said(capsys, "--from", "here", "--episodes", 1)["behind"] == 2


def test_what_fits():
    cell, plane = Spaces(Discrete(81), Discrete(5)), Spaces({"a": Box((2,)), "b": Box((1,), 0.0, 4.0)}, Box((2,), -1.0, 1.0))
    assert not misfits(Spaces(Cells(81), Discrete(5)), cell)
    assert not misfits(plane, plane._replace(obs={"a": Box((2,), -3.0, 3.0), "b": Box((1,), 0.0, 2.0)}))
    assert "RescaleObservation" in misfits(plane, plane._replace(obs=plane.obs | {"b": Box((1,), 0.0, 5.0)}))[0]
    assert "parts" in misfits(plane, plane._replace(obs={"a": Box((2,))}))[0]
    assert "as many" in misfits(cell, cell._replace(action=Discrete(4)))[0]
    assert len(misfits(cell, plane)) == 2


def test_rows_share_what_was_learned():
    assert blocks([0, 0, 1, 1, 1], True) == [(0, 2), (2, 5)]
    assert blocks([0, 0, 0], False) == [(0, 1), (1, 2), (2, 3)]
    many = blocks([0] * 91, False)
    assert len(many) <= ROWS and many[0][0] == 0 and many[-1][1] == 91
    assert all(a[1] == b[0] for a, b in zip(many, many[1:], strict=False))


@pytest.mark.slow
def test_another_process_goes_on_bit_for_bit(tmp_path):
    """Two processes, the second of which only has the folder, leave what one would have left."""
    lived = "import sys; from innerloop.cli import main; sys.exit(main(sys.argv[1:]))"
    run = ["adapt", "zoo:rl2-grid-navi"]
    calls = [[*run, "--episodes", "4", "--out", "whole"], [*run, "--episodes", "2", "--out", "parts"]]
    for words in (*calls, ["adapt", "--from", "parts", "--episodes", "2"]):
        subprocess.run([sys.executable, "-c", lived, *words], cwd=tmp_path, check=True, capture_output=True)
    states = [sealed.read_manifest(tmp_path / name / "agent")["digest"] for name in ("whole", "parts")]
    assert states[0] == states[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.parent.name for path in zoo().glob("*/recipe.json")))
def test_every_agent_of_the_zoo_can_be_used(name, tmp_path):
    """Loaded, lived for a while, saved and restored; both go on alike."""
    import innerloop
    from innerloop.core.spaces import zeros

    agent = innerloop.load(f"zoo:{name}").begin(1)
    obs = jax.tree.map(np.asarray, zeros(agent.spaces.obs))
    for t in range(25):
        agent.act(obs)
        agent.reward(0.1 * (t % 3), False, t % 10 == 9, obs=obs)
    agent.save(tmp_path / "agent")
    again = innerloop.Agent.restore(tmp_path / "agent")
    for _ in range(5):
        assert np.array_equal(agent.act(obs), again.act(obs))
        for one in (agent, again):
            one.reward(1.0, False, False, obs=obs)
    assert np.array_equal(agent.predict(obs)[0], again.predict(obs)[0])
