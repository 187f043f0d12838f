"""Exported agents do what the originals do: the folder, its runner, and (where the extra is installed) ONNX itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import api, registry
from innerloop.cli import main, parser
from innerloop.core import Plan, adapt
from innerloop.deploy import export as exporting, run_agent
from innerloop.deploy.fidelity import compare, said
from innerloop.deploy.portable import batched, portable
from innerloop.deploy.primitives import Inexportable
from innerloop.inner.gradient import Gradient
from innerloop.inner.posterior_sampling import PosteriorSampling
from innerloop.inner.recurrent import Recurrent
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

KEY = jax.random.key(0)
MAML = "maml", "point-goal", Plan(3, 100, 2, True)


def agent(name: str, family: str, plan: Plan, **settings):
    """(inner, meta, family) of a method in small; its meta-parameters are fresh but for a push away from symmetry."""
    tasks = find(family)
    small = {
        "maml": lambda: Gradient(plan, tasks.spaces, hidden=(8,), activation="tanh"),  # ReLU's gradient jumps with rounding
        "gru": lambda: Recurrent(plan, tasks.spaces, width=8),
        "transformer": lambda: Recurrent(plan, tasks.spaces, memory="transformer", width=8, heads=2),
        "gdn": lambda: Recurrent(plan, tasks.spaces, memory="gdn", width=8, heads=2),
        "pearl": lambda: PosteriorSampling(plan, tasks.spaces, latent=3, hidden=(8,), embed=(8,)),
        "varibad": lambda: registry.maker("varibad")(tasks, None).inner.with_plan(plan),
        "metamodel": lambda: registry.maker("metamodel")(tasks, None).inner.with_plan(plan),
    }
    inner = small[name]()
    meta = inner.init(KEY)
    push = lambda i, x: x + 0.1 * jax.random.normal(jax.random.fold_in(KEY, i), x.shape)  # noqa: E731
    leaves, tree = jax.tree.flatten(meta)
    if name in ("gru", "transformer", "gdn"):
        meta = jax.tree.unflatten(tree, [push(i, x) for i, x in enumerate(leaves)])
    return inner, meta, tasks


SHORT = Plan(1, 20, 1)


def close(found, case):
    """Memories to 1e-5 all along; gradient steps to 1e-5 each, and what they add up to in a trial."""
    assert max(found["step"], 0.1 * found["relative"] if case is MAML else found["relative"]) < 1e-5
    assert case is MAML and found["action"] < 1e-4 or found["different"] == 0


CASES = [
    MAML, ("gru", "grid-navi", SHORT), ("transformer", "grid-navi", SHORT), ("gdn", "grid-navi", SHORT),
    ("pearl", "semi-circle-pearl", Plan(1, 60, 1)), ("varibad", "grid-navi", SHORT), ("metamodel", "grid-navi", SHORT),
]  # fmt: skip


@pytest.fixture
def by_jax(monkeypatch: pytest.MonkeyPatch):
    """Exports whose graphs are run by JAX: all of the folder and its runner but the format."""
    held = {}

    class Writer:
        @staticmethod
        def needs():
            pass

        @staticmethod
        def write(made, out: Path, agents):
            held["made"] = made
            for name in made.graphs:
                (out / f"{name}.onnx").write_bytes(name.encode())
            return {name: f"{name}.onnx" for name in made.graphs}

    def opened(self, threads):
        def call(name):
            graph = held["made"].graphs[name]
            f = jax.jit(batched(graph)) if graph.inputs else None
            names = [p.name for p in graph.outputs]

            def run(given):
                if f is None:
                    count = int(given["agents"][0]) if given else 1
                    out = [jnp.broadcast_to(x, (count, *x.shape)) for x in graph.call()]
                else:
                    out = f(*(given[p.name] for p in graph.inputs))
                return {k: np.asarray(x) for k, x in zip(names, out, strict=True)}

            return run

        return {name: call(name) for name in self.graphs}

    monkeypatch.setattr(exporting, "_writer", lambda format: Writer)
    monkeypatch.setattr(run_agent.Graphs, "_onnx", opened)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_what_is_exported_is_the_original(case, tmp_path: Path, by_jax):
    inner, meta, tasks = agent(*case)
    folder = exporting.export(inner, meta, tmp_path / "out", agents=None)
    made = portable(inner, meta)
    found = compare(folder, made, meta, tasks, DeviceWorld(tasks), trials=3, batch=3, beside=1)
    close(found, case)
    assert found["decisions"] == 3 * made.inner.plan.interactions and f"{found['different']:,} greedy" in said(found)


@pytest.mark.parametrize("case", [MAML, ("gru", "grid-navi", SHORT)], ids=lambda c: c[0])
def test_the_runner_lives_the_original_life(case, tmp_path: Path, by_jax):
    """Told what the original met while it acted greedily, the runner chooses the same actions and ends in the same state."""
    inner, meta, tasks = agent(*case)
    mine = run_agent.Agent(exporting.export(inner, meta, tmp_path / "out")).begin()
    inner = portable(inner, meta).inner
    life = jax.tree.map(
        lambda x: x[0],
        jax.jit(lambda: DeviceWorld(tasks).live(inner, meta, tasks.sample(KEY, 1), KEY, stochastic=False)[0])(),
    )
    rows = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[3:]), life.chunks)
    for t in range(len(rows.reward)):
        action = mine.act(rows.step.obs[t], deterministic=True)
        want = rows.action[t] if rows.action.dtype == np.int32 else np.clip(rows.action[t], -1, 1)
        np.testing.assert_allclose(action, want, atol=1e-4)
        mine.reward(float(rows.reward[t]), bool(rows.terminated[t]), bool(rows.truncated[t]), obs=rows.next_obs[t])
    assert mine.trial_over and mine.learned == (3 if case is MAML else 0)
    after = jax.tree.leaves(adapt(inner, meta, life))
    for leaf, want in zip(portable(inner, meta).recorded, after, strict=True):
        np.testing.assert_allclose(mine.state[leaf][0], want, atol=2e-4)


def test_the_runner_says_what_is_out_of_turn(tmp_path: Path, by_jax):
    inner, meta, _ = agent("gru", "grid-navi", Plan(1, 4, 1))
    mine = run_agent.Agent(exporting.export(inner, meta, tmp_path / "out"), at_end="restart")
    with pytest.raises(RuntimeError, match="begin"):
        mine.act(np.zeros(2))
    mine.begin(seed=3)
    with pytest.raises(RuntimeError, match="turn"):
        mine.reward(0.0, False, False)
    with pytest.raises(ValueError, match="obs"):
        mine.act(np.zeros(3))
    first = mine.act(np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        mine.reward(float("nan"), False, False)
    mine.reward(1.0, False, False)
    for _ in range(3):  # to the end of the trial, where another begins
        mine.act(np.ones(2))
        mine.reward(0.0, False, False, obs=np.ones(2))
    mine.act(np.zeros(2))
    assert first in range(5) and mine.chunk == 0 and mine.steps == 4


def test_a_folder_is_checked(tmp_path: Path, by_jax):
    inner, meta, _ = agent("gru", "grid-navi", Plan(1, 4, 1))
    folder = exporting.export(inner, meta, tmp_path / "out")
    with pytest.raises(FileExistsError, match="not empty"):
        exporting.export(inner, meta, folder)
    (folder / "decide.onnx").write_bytes(b"else")
    with pytest.raises(ValueError, match="not what was exported"):
        run_agent.Graphs(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        run_agent.Graphs(folder)


def test_state_that_nothing_depends_on_is_left_out():
    inner, meta, _ = agent("pearl", "semi-circle-pearl", Plan(1, 60, 1))
    made = portable(inner, meta)
    assert made.left_out == ("drawn", "key")
    assert [(p.of, p.shape) for p in made.graphs["observe"].inputs if p.role == "noise"] == [("normal", (1, 3))]
    assert "learn" not in made.graphs and not made.graphs["begin"].inputs


def test_what_cannot_be_exported_is_refused(tmp_path: Path, by_jax):
    tasks = find("grid-navi")
    half = Recurrent(Plan(1, 4, 1), tasks.spaces, width=8, dtype="bfloat16")
    with pytest.raises(Inexportable, match="bfloat16"):
        exporting.export(half, half.init(KEY), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    inner, meta, _ = agent(*MAML)
    with pytest.raises(Inexportable, match="divisor"):
        exporting.export(inner, meta, tmp_path / "out", streams=3)
    with pytest.raises(Inexportable, match="accepted: onnx"):
        exporting.export(inner, meta, tmp_path / "out", format="tflite")


def test_the_command_line(tmp_path: Path, capsys):
    args = parser().parse_args(["export", "zoo:rl2-grid-navi", "--out", "x", "--agents", "any"])
    assert args.agents is None and args.streams == 1 and args.format == "onnx"
    assert main(["export", "zoo:nothing", "--out", str(tmp_path / "out")]) == 2
    (tmp_path / "file").write_text("x")
    assert main(["export", "zoo:rl2-bandit-k5-n10", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_the_runner_needs_no_jax_to_be_imported():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import run_agent; print({'jax', 'innerloop'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(run_agent.__file__).parent)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.fixture
def converter():
    for package in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the extra `export` is not installed: 300 MB, and pins an older orbax")


@pytest.mark.filterwarnings("ignore")  # of the converter's own dependencies
@pytest.mark.parametrize("case", [MAML, CASES[2], CASES[4]], ids=lambda c: c[0])
def test_onnx_is_the_original(case, tmp_path: Path, converter):
    inner, meta, tasks = agent(*case)
    folder = exporting.export(inner, meta, tmp_path / "out", agents=None)
    found = compare(folder, portable(inner, meta), meta, tasks, DeviceWorld(tasks), trials=3, batch=3, beside=0)
    close(found, case)


@pytest.mark.filterwarnings("ignore")
def test_an_exported_run_acts_without_jax(tmp_path: Path, converter):
    made = api.export("zoo:rl2-bandit-k5-n10", tmp_path / "out", verify=2)
    assert made["verified"]["different"] == 0 and (tmp_path / "out" / "verified.json").is_file()
    code = (
        "import sys; from run_agent import Agent; agent = Agent('.').begin(seed=1)\n"
        "for _ in range(10): agent.act([0.0]); agent.reward(1.0, False, False, obs=[0.0])\n"
        "print(agent.trial_over, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.slow
@pytest.mark.skipif(
    "INNERLOOP_TF_PYTHON" not in os.environ, reason="INNERLOOP_TF_PYTHON: the interpreter of an environment with tf"
)
@pytest.mark.parametrize("agents", ["1", "any"])
@pytest.mark.parametrize("run", ["zoo:rl2-grid-navi", "zoo:pearl-semi-circle-pearl", "zoo:maml-point-goal"])
def test_a_saved_model_is_the_original(run: str, agents: str, tmp_path: Path):
    words = [
        "export",
        run,
        "--format",
        "savedmodel",
        "--agents",
        agents,
        "--out",
        str(tmp_path / "out"),
        "--verify",
        "2",
        "--json",
    ]
    words += ["--streams", "40"] if "maml" in run else []
    command = [os.environ["INNERLOOP_TF_PYTHON"], "-m", "innerloop", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])["verified"]
    assert max(found["relative"] if "maml" not in run else found["step"], 0) < 1e-5
