"""The graphs of an adapting agent: what a life asks of it, as functions of flat arrays, its random numbers among their inputs.

Not a format: `onnx_graphs.py` and `saved_model.py` write these graphs, `export.py` the folder around them.

All arrays have the axes [agents B, streams N, ...] before their own (a task's own weights: [B, ...]); a chunk [B, T, N, ...].
Agents are independent; each lives in a task of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core as jex

from innerloop.core import Belief, Choice, Inner, birth
from innerloop.core.spaces import zeros
from innerloop.deploy.primitives import WRITTEN_OUT, Draw, Inexportable, evaluate, names, needed, reads, trace
from innerloop.deploy.solitude import alone, chunk_shape, learns

DISTS = {"Categorical": "categorical", "Normal": "normal", "TanhNormal": "tanh_normal"}
_RANDOM = {"random_bits", "random_wrap", "random_split", "random_fold_in", "threefry2x32", "rng_bit_generator", "random_gamma"}


class Port(NamedTuple):
    """One input or output of a graph: `shape` without the agents' axis; `role` state, step, chunk, noise or decision."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str
    of: str  # of state: its leaf; of noise: its distribution; else what it is of


_KEY = Port("key", (), "key", "key", "key")  # of what is drawn in `begin` and `learn`: no graph may read it


class Graph(NamedTuple):
    """A function of one agent, flat: `call(*inputs)` → outputs; without inputs it is a constant."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    program: jex.ClosedJaxpr

    def call(self, *args: Any) -> list[Any]:
        return evaluate(self.program, args)


class Portable(NamedTuple):
    """An agent's graphs, and what of its state they leave out because nothing that it does depends on it."""

    inner: Inner[Any, Any]  # with the plan that the graphs are for
    longest: int  # rows of a chunk that one episode may take; 0: a chunk may cut episodes
    state: tuple[Port, ...]
    left_out: tuple[str, ...]
    graphs: dict[str, Graph]  # begin and decide; observe and learn where they change something
    dist: str  # of DISTS
    learns: bool
    recorded: tuple[str, ...]  # names of the state's leaves in the inner's own order, all of them
    step_names: tuple[str, ...]  # of the ports that a Step's leaves would be, in their order
    chunk_names: tuple[str, ...]  # of a Chunk's


def flat_names(tree: Any) -> list[str]:
    """A name for every leaf: `.net.body.layers[0].weight` → net_body_layers_0_weight."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    found = [re.sub(r"\W+", "_", path).strip("_") or "value" for path in paths]
    return found if len(set(found)) == len(found) else [f"{name}_{i}" for i, name in enumerate(found)]


def ports(tree: Any, role: str, prefix: str) -> list[Port]:
    """The leaves of a tree of shapes."""
    leaves, found = jax.tree.leaves(tree), flat_names(tree)
    named = [prefix if name == "value" and len(leaves) == 1 else f"{prefix}_{name}" for name in found]
    return [Port(name, tuple(x.shape), str(x.dtype), role, of) for name, x, of in zip(named, leaves, found, strict=True)]


def portable(inner: Inner[Any, Any], meta: Any, *, streams: int = 1, horizon: int | None = None) -> Portable:
    """The graphs of `inner`, which lives a plan of evaluation, with `meta` built in.

    Args:
        streams: environments of the same task that one agent acts in side by side. Where it learns from chunks, these have as
            many transitions as its plan says, in so many streams.
        horizon: steps in an episode at most, where that is not the plan's; of plans that compare whole episodes.

    Raises:
        Inexportable: with the reason.
    """
    split = learns(inner, meta)
    inner, longest = alone(inner, meta, horizon)
    if streams > 1:
        steps = inner.plan.steps // streams if split else inner.plan.steps
        if split and (inner.plan.steps % streams or steps < longest):
            raise Inexportable(
                f"a chunk of {inner.plan.steps} steps, in whole episodes of up to {longest or 1}, is not to be had from "
                f"{streams} streams; give a divisor."
            )
        inner = inner.with_plan(inner.plan._replace(steps=steps, streams=streams))
    return _Maker(inner, meta, longest).made()


class _Maker:
    def __init__(self, inner: Inner[Any, Any], meta: Any, longest: int):
        self.inner, self.meta, self.longest = inner, meta, longest
        n, spaces = inner.plan.streams, inner.spaces
        self.key = jax.random.key(0)
        self.fast = jax.eval_shape(inner.begin, meta, self.key)
        step = jax.eval_shape(lambda: birth(spaces, zeros(spaces.obs, (n,)), n))
        self.chunk = chunk_shape(inner, meta)
        self.decision = jax.eval_shape(inner.decide, meta, self.fast, step.obs)
        kind = type(self.decision.dist).__name__
        if kind not in DISTS:
            raise Inexportable(f"it acts by {kind}; exported are {', '.join(DISTS)}")
        self.dist = DISTS[kind]
        self.state = ports(self.fast, "state", "state")
        self.step = [p for name in step._fields for p in ports(getattr(step, name), "step", _STEP[name])]
        self.step_tree, self.step_shapes = jax.tree.structure(step), jax.tree.leaves(step)
        self.rows = [p for name, x in _named(self.chunk) for p in ports(x, "chunk", name)]

    def made(self) -> Portable:
        inner, meta = self.inner, self.meta
        fast_tree, n_state = jax.tree.structure(self.fast), len(self.state)
        state_shapes = jax.tree.leaves(self.fast)

        def observe(*xs: Any) -> list[Any]:
            fast, step = jax.tree.unflatten(fast_tree, xs[:n_state]), jax.tree.unflatten(self.step_tree, xs[n_state:])
            return jax.tree.leaves(inner.observe(meta, fast, step))

        def decide(*xs: Any) -> list[Any]:
            fast = jax.tree.unflatten(fast_tree, xs[:n_state])
            obs = jax.tree.unflatten(jax.tree.structure(inner_obs), xs[n_state:])
            decision = inner.decide(meta, fast, obs)
            return [*decision.dist, decision.dist.mode(), decision.value, *jax.tree.leaves(_shown(decision.extras))]

        def learn(*xs: Any) -> list[Any]:
            fast = jax.tree.unflatten(fast_tree, xs[:n_state])
            chunk = jax.tree.unflatten(jax.tree.structure(self.chunk), xs[n_state:-1])
            return jax.tree.leaves(inner.learn(meta, fast, chunk, xs[-1]))

        def begin(key: Any) -> list[Any]:
            return jax.tree.leaves(inner.begin(meta, key))

        inner_obs = jax.tree.unflatten(self.step_tree, self.step_shapes).obs
        dist = [Port(name, tuple(x.shape), str(x.dtype), "decision", name) for name, x in self._parts()]
        action = jax.eval_shape(lambda d: d.mode(), self.decision.dist)
        said = [*dist, Port("action", tuple(action.shape), str(action.dtype), "decision", "action")]
        said.append(Port("value", tuple(self.decision.value.shape), "float32", "decision", "value"))
        shown = _shown(self.decision.extras)
        said += [p for name, x in shown.items() for p in ports(x, "decision", name)]
        new = [p._replace(name="new" + p.name.removeprefix("state")) for p in self.state]
        obs = [p for p in self.step if p.name == "obs" or p.name.startswith("obs_")]
        drafts = {
            "begin": self._draft(begin, [_KEY], new, [self.key]),
            "observe": self._draft(observe, [*self.state, *self.step], new, [*state_shapes, *self.step_shapes]),
            "decide": self._draft(decide, [*self.state, *obs], said, [*state_shapes, *jax.tree.leaves(inner_obs)]),
            "learn": self._draft(
                learn, [*self.state, *self.rows, _KEY], new, [*state_shapes, *jax.tree.leaves(self.chunk), self.key]
            ),
        }
        kept = _kept(drafts, n_state)
        graphs = {name: _cut(name, draft, kept, n_state) for name, draft in drafts.items()}
        graphs = {name: graph for name, graph in graphs.items() if graph.outputs}
        left = tuple(p.of for i, p in enumerate(self.state) if i not in kept)
        state = tuple(self.state[i] for i in sorted(kept))
        names = [tuple(p.name for p in ports) for ports in (self.step, self.rows)]
        recorded = tuple(p.of for p in self.state)
        return Portable(inner, self.longest, state, left, graphs, self.dist, "learn" in graphs, recorded, *names)

    def _parts(self) -> list[tuple[str, Any]]:
        return list(zip(self.decision.dist._fields, self.decision.dist, strict=True))

    def _draft(
        self, f: Callable[..., Any], inputs: Sequence[Port], outputs: Sequence[Port], shapes: Sequence[Any] = ()
    ) -> tuple[list[Port], list[Port], jex.ClosedJaxpr]:
        """Traced, its draws become inputs after the others."""
        args = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in shapes]  # also of keys, which have a type of their own
        program, noise = without_draws(trace(f, *args), args)
        found = [
            Port("noise" if len(noise) == 1 else f"noise_{i}", d.shape, "float32", "noise", d.distribution)
            for i, d in enumerate(noise)
        ]
        return [*inputs, *found], list(outputs), program


_STEP = {
    "obs": "obs", "action": "previous_action", "reward": "previous_reward", "arrived": "arrived", "first": "first",
    "terminated": "terminated", "born": "born",
}  # fmt: skip


def _named(chunk: Any) -> list[tuple[str, Any]]:
    """(name of the port, leaf or tree) of a chunk, in the order of its leaves."""
    step = [(f"chunk_{_STEP[name]}", getattr(chunk.step, name)) for name in chunk.step._fields]
    step = [("chunk_previous_terminated" if name == "chunk_terminated" else name, x) for name, x in step]
    return [*step, *((f"chunk_{name}", getattr(chunk, name)) for name in chunk._fields if name != "step")]


def _shown(extras: Any) -> dict[str, Any]:
    """What a decision says beside its distribution and value, by name; what is part of the state anyway is left out."""
    if isinstance(extras, Belief):
        return {"belief": extras._replace(drawn=None)}
    if isinstance(extras, Choice):
        return {"choice": extras}
    return {}


def without_draws(program: jex.ClosedJaxpr, args: Sequence[Any]) -> tuple[jex.ClosedJaxpr, list[Draw]]:
    """The program inlined and written out, with its draws as further inputs; and what these are."""
    found: list[Draw] = []

    def look(draw: Draw, original: Any, ends: Any) -> Array:
        found.append(draw)
        return jnp.zeros(draw.shape)

    jax.eval_shape(lambda *xs: evaluate(program, xs, WRITTEN_OUT, look), *args)

    def given(*xs: Any) -> list[Any]:
        noise = iter(xs[len(args) :])

        def take(draw: Draw, original: Any, ends: tuple[Array, Array]) -> Array:
            low, high = (jnp.broadcast_to(x, draw.shape) for x in ends)
            x = next(noise)
            return x if draw.distribution == "normal" else low + (high - low) * x

        return evaluate(program, xs[: len(args)], WRITTEN_OUT, take)

    return trace(given, *args, *(jax.ShapeDtypeStruct(d.shape, jnp.float32) for d in found)), found


def recorded_draws(program: jex.ClosedJaxpr, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The outputs of the program as it stands, and what it drew: the noise that makes `without_draws` give the same."""
    drawn: list[Any] = []

    def note(draw: Draw, original: Callable[[], Array], ends: tuple[Array, Array]) -> Array:
        x = original()
        low, high = (jnp.broadcast_to(y, draw.shape) for y in ends)
        drawn.append(x if draw.distribution == "normal" else (x - low) / (high - low))
        return x

    return evaluate(program, args, drawn=note), drawn


def _kept(drafts: dict[str, tuple[list[Port], list[Port], jex.ClosedJaxpr]], count: int) -> set[int]:
    """The leaves of the state that some decision depends on, now or later."""
    kept = {i for i in reads(drafts["decide"][2], range(len(drafts["decide"][1]))) if i < count}
    while True:
        more = set(kept)
        for name in ("observe", "learn"):
            program = drafts[name][2]
            changed = [i for i in kept if program.jaxpr.outvars[i] is not program.jaxpr.invars[i]]
            more |= {i for i in reads(program, changed) if i < count}
        if more == kept:
            return kept
        kept = more


def _cut(name: str, draft: tuple[list[Port], list[Port], jex.ClosedJaxpr], kept: set[int], count: int) -> Graph:
    """Only the outputs that are kept and change, and the inputs that these depend on."""
    inputs, outputs, program = draft
    jaxpr = program.jaxpr
    at = list(range(len(outputs)))
    if name != "decide":
        at = [i for i in sorted(kept) if name == "begin" or jaxpr.outvars[i] is not jaxpr.invars[i]]
    read = sorted(reads(program, at))
    if any(inputs[i].role == "key" for i in read):
        raise Inexportable(f"`{name}` draws random numbers in a way that cannot come from outside (not normal, not uniform)")

    def call(*xs: Any) -> list[Any]:
        full: list[Any] = [None] * len(inputs)
        for i, x in zip(read, xs, strict=True):
            full[i] = x
        return evaluate(program, full, outputs=at)

    specs = [jax.ShapeDtypeStruct(inputs[i].shape, inputs[i].dtype) for i in read]
    traced = _pruned(trace(call, *specs))
    if names(traced) & _RANDOM:
        raise Inexportable(f"`{name}` draws random numbers in a way that cannot come from outside (not normal, not uniform)")
    if any("bfloat16" in str(v.aval) for e in traced.jaxpr.eqns for v in (*e.invars, *e.outvars)):
        raise Inexportable("it computes in bfloat16; exports are in float32. Train with inner.dtype=float32")
    return Graph(name, tuple(inputs[i] for i in read), tuple(outputs[i] for i in at), traced)


def _pruned(program: jex.ClosedJaxpr) -> jex.ClosedJaxpr:
    """Without the equations that nothing needs."""
    wanted = needed(program.jaxpr)
    kept = [e for e in program.jaxpr.eqns if id(e) in wanted]
    return jex.ClosedJaxpr(program.jaxpr.replace(eqns=kept), program.consts)


def batched(graph: Graph) -> Callable[..., list[Any]]:
    """The graph of many agents: every input and output has a leading axis B. Constants have none; see `constant`."""
    return jax.vmap(graph.call)


def constant(graph: Graph) -> list[np.ndarray]:
    """The outputs of a graph without inputs."""
    return [np.asarray(x) for x in graph.call()]


def example(graph: Graph, count: int) -> list[np.ndarray]:
    """Inputs of so many agents to try the graph with: the same at every call."""
    random = np.random.default_rng(0)

    def one(port: Port) -> np.ndarray:
        shape = (count, *port.shape)
        if port.dtype == "bool":
            return np.full(shape, True) if port.name.endswith(("mask", "born")) else random.random(shape) < 0.1
        return (0.3 * random.standard_normal(shape)).astype(port.dtype)

    return [one(port) for port in graph.inputs]


def expected(graph: Graph, count: int, given: list[np.ndarray]) -> list[np.ndarray]:
    """What the graph of so many agents gives, by JAX."""
    if not graph.inputs:
        return [np.broadcast_to(x, (count, *x.shape)) for x in constant(graph)]
    return [np.asarray(x) for x in jax.jit(batched(graph))(*given)]
