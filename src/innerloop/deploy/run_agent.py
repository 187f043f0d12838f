"""An exported agent at work. Needs Python, numpy and onnxruntime (or, for a SavedModel, tensorflow); no JAX and no innerloop.

Not the graphs themselves: they lie beside this file, and manifest.json says what each takes and gives.

    from run_agent import Agent
    agent = Agent(".")                                      # the folder of manifest.json
    agent.begin(seed=0)                                     # a new task: nothing is known of it
    action = agent.act(obs)
    obs, reward, terminated, truncated, info = env.step(action)
    agent.reward(reward, terminated, truncated, obs=obs)    # `obs`: what the action led to, before any reset
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
AT_END = ("continue", "restart", "error")
WAITING, ACTING, OWED = range(3)  # for an observation; for what the action earned; for what it led to, the reward being known


class Graphs:
    """The graphs of an exported folder: `graphs["decide"](**inputs)` → {output: array}. All arrays have the leading axes that
    the manifest says: [agents, streams, ...], and a chunk [agents, steps, streams, ...]."""

    def __init__(self, folder: str | Path, *, threads: int = 1):
        """ValueError where a file is missing, changed, or of another schema. `threads`: of onnxruntime, for one call."""
        self.folder = Path(folder)
        path = self.folder / "manifest.json"
        if not path.is_file():
            raise ValueError(f"{self.folder} has no manifest.json; give a folder that `innerloop export` wrote.")
        self.manifest = json.loads(path.read_text("utf-8"))
        if self.manifest.get("schema") != SCHEMA:
            raise ValueError(f"{path}: schema {self.manifest.get('schema')!r}; this file reads {SCHEMA}. Export the run again.")
        for name, digest in self.manifest["files"].items():
            file = self.folder / name
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                raise ValueError(f"{file} is missing, or not what was exported. Export the run again.")
        self.graphs = self.manifest["graphs"]
        opened = self._onnx if self.manifest["format"] == "onnx" else self._saved_model
        self._call = opened(threads)

    def __contains__(self, name: str) -> bool:
        return name in self.graphs

    def __getitem__(self, name: str) -> Any:
        graph, call = self.graphs[name], self._call[name]

        def run(**inputs: Any) -> dict[str, np.ndarray]:
            given = {x["name"]: np.asarray(inputs[x["name"]], x["dtype"]) for x in graph["inputs"]}
            return call(given)

        return run

    def _onnx(self, threads: int) -> dict[str, Any]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3

        def opened(graph: dict[str, Any]) -> Any:
            session = onnxruntime.InferenceSession(
                str(self.folder / graph["file"]), options, providers=["CPUExecutionProvider"]
            )
            names = [x["name"] for x in graph["outputs"]]
            return lambda given: dict(zip(names, session.run(names, given), strict=True))

        return {name: opened(graph) for name, graph in self.graphs.items()}

    def _saved_model(self, threads: int) -> dict[str, Any]:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(self.folder / "saved_model"))

        def opened(name: str) -> Any:
            signature = self._loaded.signatures[name]

            def call(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                out = signature(**{key: tf.constant(x) for key, x in given.items()})
                return {key: x.numpy() for key, x in out.items()}

            return call

        return {name: opened(name) for name in self.graphs}


class Agent:
    """One agent in one environment; the graphs must be of one stream, and of one agent or of any number."""

    def __init__(self, folder: str | Path = ".", *, at_end: str = "continue"):
        """
        Args:
            at_end: when the trial is as long as the method was made for: "continue" goes on with all that was learned and
                remembered; "restart" begins another trial in the same task; "error" refuses to act. See `trial_over`.
        """
        if at_end not in AT_END:
            raise ValueError(f"at_end is {at_end!r}; accepted: {', '.join(AT_END)}.")
        self.graphs = Graphs(folder)
        self.manifest, self.at_end = self.graphs.manifest, at_end
        self.plan, self.spaces = self.manifest["plan"], self.manifest["spaces"]
        if self.plan["streams"] != 1 or self.manifest["agents"] not in (1, "any"):
            raise ValueError(
                f"{folder} is of {self.manifest['agents']} agents with {self.plan['streams']} streams each; this class drives "
                "one of one. Call its graphs yourself (`Graphs`), or export with --agents 1 --streams 1."
            )
        learn = self.manifest["graphs"].get("learn")
        self._rows_of = [x for x in learn["inputs"] if x["role"] == "chunk"] if learn else []
        self._stage = -1  # before `begin`

    def begin(self, seed: int = 0) -> Agent:
        """Enter a new task, with nothing remembered and nothing learned. `seed`: of all that is drawn."""
        self.random = np.random.default_rng(seed)
        self.chunk = self.row = self.steps = self.episodes = self.trial = self.elapsed = self.learned = 0
        self.trial_over = False
        self.state: dict[str, np.ndarray] = {}
        self.said: dict[str, np.ndarray] = {}
        self._enter()
        return self

    def act(self, obs: Any, deterministic: bool = False) -> Any:
        """The next action: an int, or float32 [*shape] within its bounds.

        Args:
            obs: what the last action led to, or after an end (and first of all) what `reset` returned.
            deterministic: act by the mode of the policy; what is learned from is better sampled.
        """
        self._in_turn("act", WAITING, OWED)
        seen = self._observed(obs, "act")
        if self._stage == OWED:
            self._settle(seen)
        if self.trial_over and self.at_end == "error":
            raise RuntimeError("act(): the trial is over (at_end='error'); begin() anew.")
        step = self._step
        if not step["first"][0, 0] and any((seen[k] != step[_arrived(k)]).any() for k in seen):
            raise ValueError(
                "act(): this is not the observation that the last action led to, and its episode has not ended. Where you "
                "reset the environment, say so first: reward(…, truncated=True, obs=what the action led to)."
            )
        step.update(seen)
        if step["born"][0, 0]:
            step.update({_arrived(k): x for k, x in seen.items()})
        if "observe" in self.graphs:
            self._run("observe", step)
        self.said = self._run("decide", step)
        action = self.said["action"] if deterministic else self._sampled()
        if not np.isfinite(action).all():
            raise FloatingPointError("act(): the policy answered a NaN; what it adapted to has taken it apart. begin() anew.")
        self._taken, self._stage = np.asarray(action, self.said["action"].dtype), ACTING
        return self._outside(self._taken[0, 0])

    def reward(self, reward: float, terminated: bool, truncated: bool, obs: Any = None) -> None:
        """What the last action earned; the agent learns here where its method learns from chunks.

        Args:
            reward: as the environment gave it.
            terminated: the episode ended, and nothing of value could follow. truncated: it was cut; both are never merged.
            obs: the observation that the action led to, before any reset: what `step` returned. May be left out within an
                episode, where the next `act` is told the same.
        """
        self._in_turn("reward", ACTING)
        ends = bool(terminated), bool(truncated)
        if not math.isfinite(reward):
            raise ValueError(f"reward(): the reward is {reward!r}; accepted: one finite number.")
        if obs is None and any(ends):
            raise ValueError("reward(): the episode ended; give obs=, what step() returned, not what reset() did.")
        arrived = None if obs is None else self._observed(obs, "reward")
        longest = self.plan["longest"]
        if longest and not any(ends) and self.elapsed + 1 >= longest:
            raise ValueError(
                f"reward(): this episode has more than {longest} steps, the longest that the agent expects; cut it."
            )
        self._paid, self._ends, self._stage = np.float32(reward), ends, OWED
        if arrived is not None:
            self._settle(arrived)

    # -- inside -------------------------------------------------------------------------------------------------------------

    def _in_turn(self, verb: str, *stages: int) -> None:
        if self._stage not in stages:
            before = "begin() first" if self._stage < 0 else "act() and reward() take turns"
            raise RuntimeError(f"{verb}() is out of turn: {before}.")

    def _run(self, name: str, told: dict[str, Any]) -> dict[str, np.ndarray]:
        """Call a graph with the state, what is told and fresh noise; what is new of the state is kept, the rest returned."""
        given: dict[str, Any] = dict(told)
        for x in self.manifest["graphs"][name]["inputs"]:
            shape = [1 if n == "agents" else n for n in x["shape"]]
            if x["role"] == "state":
                given[x["name"]] = self.state[x["of"]]
            elif x["role"] == "noise":
                given[x["name"]] = self.random.standard_normal(shape) if x["of"] == "normal" else self.random.random(shape)
            elif x["role"] == "agents":
                given[x["name"]] = np.ones(shape)
        out = self.graphs[name](**given)
        new = {x["name"]: x["of"] for x in self.manifest["graphs"][name]["outputs"] if x["role"] == "state"}
        self.state |= {of: out.pop(name) for name, of in new.items()}
        return out

    def _enter(self) -> None:
        self._run("begin", {})
        self._spare()
        self._step = self._blank()
        self._stage = WAITING

    def _blank(self) -> dict[str, np.ndarray]:
        """A step with nothing behind it; its observation comes with `act`."""
        yes, no = np.ones((1, 1), bool), np.zeros((1, 1), bool)
        action = np.zeros((1, 1, *_shape(self.spaces["action"])), _dtype(self.spaces["action"]))
        return {
            "previous_action": action,
            "previous_reward": np.zeros((1, 1), np.float32),
            "first": yes,
            "terminated": no,
            "born": yes,
        }

    def _spare(self) -> None:
        """A chunk none of whose rows is a transition: what is written into it counts, the rest is masked."""
        whole = {"chunk_truncated", "chunk_first"}
        shapes = {x["name"]: ([1, *x["shape"][1:]], x["dtype"]) for x in self._rows_of}
        self._rows = {name: np.full(shape, name in whole, dtype) for name, (shape, dtype) in shapes.items()}

    def _settle(self, arrived: dict[str, np.ndarray]) -> None:
        """What the last action came to is known: record it, and learn where a chunk is full."""
        terminated, truncated = (np.full((1, 1), x) for x in self._ends)
        ended = any(self._ends)
        step = {_arrived(k): x for k, x in arrived.items()}
        step |= {"previous_action": self._taken, "previous_reward": np.full((1, 1), self._paid)}
        step |= {"first": terminated | truncated, "terminated": terminated, "born": np.zeros((1, 1), bool)}
        if self._rows:
            self._write(step, arrived, terminated, truncated)
        self._step, self._stage = step, WAITING
        self.row, self.steps, self.elapsed = self.row + 1, self.steps + 1, 0 if ended else self.elapsed + 1
        self.episodes, self.trial = self.episodes + ended, self.trial + ended
        left = self.plan["steps"] - self.row
        if left == 0 or (self.plan["longest"] and ended and left < self.plan["longest"]):
            if "learn" in self.graphs:
                self._run("learn", self._rows)
                self._spare()
                self.learned += 1
            self.chunk, self.row = self.chunk + 1, 0
        whole = self.chunk == self.plan["chunks"]
        self.chunk = 0 if whole else self.chunk
        over = ended and self.trial >= self.plan["episodes"] if self.plan["episodes"] else whole
        self.trial_over = self.trial_over or over
        if over and self.at_end == "restart":
            self.trial, self.trial_over = 0, False
            if self.plan["episodes"]:
                self._step = self._blank()
            else:  # the trial was the whole life: another one
                self._enter()

    def _write(self, step: dict[str, Any], arrived: dict[str, Any], terminated: Any, truncated: Any) -> None:
        made = {f"chunk_{name}": x for name, x in self._step.items()}
        made |= {f"chunk_next_{name}": x for name, x in arrived.items()}
        made |= {f"chunk_dist_{name}": x for name, x in self.said.items()}
        made |= {"chunk_action": self._taken, "chunk_value": self.said["value"], "chunk_reward": step["previous_reward"]}
        made |= {"chunk_log_prob": self._log_prob(), "chunk_terminated": terminated, "chunk_truncated": truncated}
        made |= {"chunk_mask": np.ones((1, 1), bool), "chunk_previous_terminated": self._step["terminated"]}
        for name, rows in self._rows.items():
            rows[:, self.row] = made[name]

    def _sampled(self) -> np.ndarray:
        said, kind = self.said, self.manifest["distribution"]
        if kind == "categorical":
            gumbel = -np.log(-np.log(self.random.uniform(1e-12, 1.0, said["logits"].shape)))
            return np.argmax(said["logits"] + gumbel, -1)
        u = said["mean"] + np.exp(said["log_std"]) * self.random.standard_normal(said["mean"].shape).astype(np.float32)
        if kind == "normal":
            return u
        return said["low"] + 0.5 * (said["high"] - said["low"]) * (np.tanh(u) + 1.0)

    def _log_prob(self) -> np.ndarray:
        """Of the action taken, float32 [1, 1]."""
        said, kind, action = self.said, self.manifest["distribution"], self._taken
        if kind == "categorical":
            top = said["logits"] - said["logits"].max(-1, keepdims=True)
            log_p = top - np.log(np.exp(top).sum(-1, keepdims=True))
            return np.take_along_axis(log_p, action[..., None], -1)[..., 0]
        stretch: Any = 0.0
        if kind == "tanh_normal":
            half = 0.5 * (said["high"] - said["low"])
            y = np.clip((action - said["low"]) / half - 1.0, -1.0 + 1e-6, 1.0 - 1e-6)
            action = np.arctanh(y)
            stretch = np.log(1.0 - y * y) + np.log(half)
        z = (action - said["mean"]) * np.exp(-said["log_std"])
        return np.sum(-0.5 * z * z - said["log_std"] - 0.5 * math.log(2.0 * math.pi) - stretch, -1, dtype=np.float32)

    def _observed(self, obs: Any, verb: str) -> dict[str, np.ndarray]:
        """{port: [1, 1, ...]}; ValueError where it is not of the space."""
        found = {}
        for name, space, x in _leaves(self.spaces["obs"], obs, "obs", verb):
            value = np.asarray(x)
            shape = _shape(space)
            bad = value.shape != shape or value.dtype.kind not in "biuf" or not np.isfinite(value).all()
            if not bad and space["kind"] == "discrete":
                bad = bool(value != np.floor(value)) or not 0 <= value < space["n"]
            if bad:
                raise ValueError(f"{verb}(): {name} is {x!r:.60}; accepted: {space}.")
            found[name] = value.astype(_dtype(space)).reshape(1, 1, *shape)
        return found

    def _outside(self, action: np.ndarray) -> Any:
        space = self.spaces["action"]
        if space["kind"] == "discrete":
            return int(action)
        low, high = (math.inf * sign if x is None else x for x, sign in ((space["low"], -1), (space["high"], 1)))
        return np.clip(action, np.float32(low), np.float32(high)).astype(np.float32)


def _leaves(space: Any, x: Any, name: str, verb: str) -> list[tuple[str, Any, Any]]:
    """(name of the port, space, value) of every array in an observation."""
    if space["kind"] not in ("tuple", "dict"):
        return [(name, space, x)]
    parts = space["spaces"]
    keys = sorted(parts) if isinstance(parts, dict) else range(len(parts))
    try:
        return [
            row
            for k in keys
            for row in _leaves(parts[k], x[k], f"{name}_{re.sub(r'[^0-9a-zA-Z_]+', '_', str(k)).strip('_')}", verb)
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{verb}(): the observation lacks {error}; accepted: {space}.") from None


def _arrived(name: str) -> str:
    return "arrived" + name.removeprefix("obs")


def _shape(space: Any) -> tuple[int, ...]:
    return tuple(space.get("shape", ()))


def _dtype(space: Any) -> type:
    return np.int32 if space["kind"] == "discrete" else np.float32
