"""The folder of an exported agent: graphs, a manifest that says what each takes and when to call it, and how to run them.

Not the graphs (`portable.py`) nor their formats (`onnx_graphs.py`, `saved_model.py`).

    DIR/manifest.json     schema, method, spaces, plan of a life, every input and output; the SHA-256 of each file
    DIR/*.onnx            begin, decide, and observe and learn where the method has them; or DIR/saved_model/
    DIR/run_agent.py      the agent at work, without JAX
    DIR/README.md         what to call when, in words
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

from innerloop.core import Discrete, Inner
from innerloop.deploy import run_agent
from innerloop.deploy.portable import Port, Portable, portable
from innerloop.deploy.primitives import Inexportable
from innerloop.version import __version__

FORMATS = ("onnx", "savedmodel")


def export(
    inner: Inner[Any, Any],
    meta: Any,
    out: str | Path,
    *,
    format: str = "onnx",
    agents: int | None = 1,
    streams: int = 1,
    horizon: int | None = None,
    card: dict[str, Any] | None = None,
) -> Path:
    """Write the adapting agent to the folder `out`, which must be new or empty.

    Args:
        inner: with the plan of a life in evaluation.
        format: one of FORMATS.
        agents: how many independent agents a call is for; None: any number.
        streams: environments of one task that an agent acts in side by side.
        horizon: steps in an episode at most, where that is not the plan's; of plans that compare whole episodes.
        card: what the manifest says of where the agent comes from.

    Raises:
        Inexportable: what the method does cannot be said in that format; nothing is written.
        ImportError: the extra is missing. FileExistsError: the folder holds something.
    """
    out = Path(out)
    if format not in FORMATS:
        raise Inexportable(f"the format is {format!r}; accepted: {', '.join(FORMATS)}.")
    if agents is not None and agents < 1 or streams < 1:
        raise Inexportable(f"agents is {agents} and streams {streams}; accepted: whole numbers from 1.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not empty; give a new folder.")
    writer = _writer(format)
    writer.needs()
    made = portable(inner, meta, streams=streams, horizon=horizon)
    fresh = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        files = writer.write(made, out, agents)
        (out / "run_agent.py").write_bytes(Path(run_agent.__file__).read_bytes())
        told = manifest(made, format, agents, files, card or {})
        (out / "README.md").write_text(readme(told), "utf-8")
        paths = sorted(p for p in out.rglob("*") if p.is_file())
        told["files"] = {p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
        (out / "manifest.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", "utf-8")
    except BaseException:
        _emptied(out, fresh)
        raise
    return out


def _writer(format: str) -> Any:
    """The module that knows a format: `needs()`, and `write(portable, out, agents)` → {graph: file}."""
    return importlib.import_module(f"innerloop.deploy.{'onnx_graphs' if format == 'onnx' else 'saved_model'}")


def _emptied(out: Path, fresh: bool) -> None:
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if fresh:
        out.rmdir()


def manifest(made: Portable, format: str, agents: int | None, files: dict[str, str], card: dict[str, Any]) -> dict[str, Any]:
    """What manifest.json says, but for the digests of the files."""
    plan, spaces = made.inner.plan, made.inner.spaces
    axis = "any" if agents is None else agents
    return {
        "schema": run_agent.SCHEMA, "format": format, "innerloop": __version__, **card,
        "agents": axis, "learns": made.learns, "distribution": made.dist,
        "spaces": {"obs": _space(spaces.obs), "action": _space(spaces.action)},
        "plan": {**plan._asdict(), "longest": made.longest},
        "state": [_port(p, axis) for p in made.state],
        "left_out": [{"leaf": leaf, "why": "no decision depends on it; random numbers are inputs"} for leaf in made.left_out],
        "graphs": {
            name: {
                **({"file": files[name]} if name in files else {"signature": name}),
                "inputs": [_port(p, axis) for p in graph.inputs] or _count(agents),
                "outputs": [_port(p, axis) for p in graph.outputs],
            }
            for name, graph in made.graphs.items()
        },
    }  # fmt: skip


def _count(agents: int | None) -> list[dict[str, Any]]:
    """What a graph of constants takes: how many agents, where that is left open."""
    return [{"name": "agents", "shape": [1], "dtype": "int64", "role": "agents", "of": "agents"}] if agents is None else []


def _port(port: Port, axis: int | str) -> dict[str, Any]:
    return port._asdict() | {"shape": ["agents" if axis == "any" else axis, *port.shape]}


def _space(space: Any) -> dict[str, Any]:
    if isinstance(space, dict):
        return {"kind": "dict", "spaces": {str(k): _space(s) for k, s in space.items()}}
    if isinstance(space, tuple):
        return {"kind": "tuple", "spaces": [_space(s) for s in space]}
    if isinstance(space, Discrete):
        return {"kind": "discrete", "n": space.n}
    low, high = (x if math.isfinite(x) else None for x in (space.low, space.high))
    return {"kind": "box", "shape": list(space.shape), "low": low, "high": high}


_ROLES = {
    "obs": "the observation", "previous_action": "the action before (zeros where `born`)",
    "previous_reward": "what that action earned (0 where `born`)",
    "arrived": "the observation that it led to, before any reset (`obs` itself where `born`)",
    "first": "an episode begins here", "terminated": "the last episode ended by termination just now",
    "born": "a trial begins, and nothing lies behind",
}  # fmt: skip


def readme(told: dict[str, Any]) -> str:
    """The folder in words."""
    plan, graphs = told["plan"], told["graphs"]
    form = "onnxruntime" if told["format"] == "onnx" else "tensorflow"
    what = f"{told.get('method', 'an inner')} of {told.get('run', 'a run')}"
    each = "every agent's" if told["agents"] != 1 else "the agent's"
    lines = [
        f"# An adapting agent: {what}", "",
        f"It adapts to a new task of its family ({told.get('family', 'unknown')}) while it acts in it. This folder needs no "
        "JAX and no innerloop:", "",
        "```bash", f"pip install numpy {form}" if form == "onnxruntime" else "pip install numpy tensorflow-cpu", "```", "",
        "```python", "from run_agent import Agent", "", 'agent = Agent(".").begin(seed=0)',
        "action = agent.act(obs)                                # obs: what reset() or step() returned",
        "agent.reward(reward, terminated, truncated, obs=obs)   # obs: what the action led to, before any reset", "```", "",
        "## What to call when, without run_agent.py", "",
        f"`manifest.json` names every input and output with its shape and type. Leading axes: agents ({told['agents']}; each "
        f"in a task of its own), streams ({plan['streams']}; environments of the same task side by side). What outputs `new_X` "
        f"say is {each} state from then on, to be given as `state_X`; what is not among the outputs stays as it was.", "",
        "1. On entering a task: `begin`.",
    ]  # fmt: skip
    if "observe" in graphs:
        took = [x["name"] for x in graphs["observe"]["inputs"] if x["role"] == "step"]
        lines.append("2. Before every action, the first included: `observe`, with")
        lines += [f"   - `{name}`: {_ROLES.get(name, 'a part of ' + name.partition('_')[0])}" for name in took]
    dist = {
        "categorical": "`logits`: draw one of the actions by softmax, or take `action`, the likeliest",
        "normal": "`mean` and `log_std`: draw from the normal, or take `action`, its mean; clip only what the environment gets",
        "tanh_normal": "`mean` and `log_std` of u; the action is low + (high − low) (tanh u + 1) / 2. `action`: of the mean",
    }[told["distribution"]]
    lines.append(f"{3 if 'observe' in graphs else 2}. Then `decide`: {dist}.")
    if "learn" in graphs:
        rows = [x["name"] for x in graphs["learn"]["inputs"] if x["role"] == "chunk"]
        count = 4 if "observe" in graphs else 3
        lines.append(
            f"{count}. After every chunk of {plan['steps']} steps: `learn`. "
            + (f"It reads {', '.join(f'`{name}`' for name in rows)}; a row is one step, in order." if rows else "It counts.")
        )
        if rows:
            lines.append(
                "   Rows that were not lived have `chunk_mask` false, and `chunk_first` and `chunk_truncated` true. "
                "`chunk_action` is the action as drawn, before clipping; `chunk_terminated` and `chunk_truncated` say how the "
                "step ended."
            )
        if plan["longest"]:
            lines.append(
                f"   A chunk holds whole episodes of at most {plan['longest']} steps: it also ends with an episode, once "
                "there is no room for another of that length."
            )
    noise = sorted({(x["name"], x["of"], name) for name, g in graphs.items() for x in g["inputs"] if x["role"] == "noise"})
    for name, of, graph in noise:
        lines.append(f"- `{name}` of `{graph}`: fresh random numbers at every call, {_NOISE[of]}.")
    trial = f"{plan['episodes']} episodes" if plan["episodes"] else f"{plan['chunks']} × {plan['steps']} steps"
    lines += ["", f"The method was made for trials of {trial}; beyond that it goes on with what it knows.", ""]
    if told["left_out"]:
        left = ", ".join(f"`{x['leaf']}`" for x in told["left_out"])
        lines += [f"Left out of the state, because no decision depends on it: {left}.", ""]
    return "\n".join(lines)


_NOISE = {"normal": "from the standard normal", "uniform": "uniform in [0, 1)"}
