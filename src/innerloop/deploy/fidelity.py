"""How an exported agent compares with the original over whole trials: the same experience through both, decision by decision.

Not a measurement of returns: lives are lived by the original, and what they met is told to the exported graphs, which carry
their own state from the first step of a trial to its last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from innerloop.core import Inner, Lifetime, World
from innerloop.core.life import life_keys
from innerloop.deploy.portable import Portable, recorded_draws
from innerloop.deploy.primitives import trace
from innerloop.deploy.run_agent import Graphs


class Told(NamedTuple):
    """What the original did along a life; leaves [K, T, N, ...] or [K, ...]."""

    dist: dict[str, Array]
    action: Array  # by the mode
    observe_noise: list[Array]
    after: list[Array]  # the state after each chunk's `learn`
    learn_noise: list[Array]
    begin_noise: list[Array]  # of the life


def _with_draws(f: Any, *args: Any) -> tuple[Any, list[Any]]:
    """f(*args), and what it drew."""
    flat, tree = jax.tree.flatten(args)
    shape = jax.eval_shape(f, *args)
    program = trace(lambda *xs: jax.tree.leaves(f(*jax.tree.unflatten(tree, xs))), *flat)
    out, drawn = recorded_draws(program, flat)
    return jax.tree.unflatten(jax.tree.structure(shape), out), drawn


def told(inner: Inner[Any, Any], meta: Any, life: Lifetime) -> Told:
    """The original, step by step, along one recorded life that began here."""
    key_begin, keys_learn = life_keys(life.key, inner.plan)
    fast, begin_noise = _with_draws(lambda key: inner.begin(meta, key), key_begin)

    def row(fast: Any, step: Any) -> tuple[Any, Any]:
        fast, noise = _with_draws(lambda fast, step: inner.observe(meta, fast, step), fast, step)
        dist = inner.decide(meta, fast, step.obs).dist
        return fast, (dict(zip(dist._fields, dist, strict=True)), dist.mode(), noise)

    def chunk(fast: Any, xs: Any) -> tuple[Any, Any]:
        rows, key = xs
        fast, (dist, action, noise) = jax.lax.scan(row, fast, rows.step)
        fast, drawn = _with_draws(lambda fast, rows, key: inner.learn(meta, fast, rows, key), fast, rows, key)
        return fast, (dist, action, noise, jax.tree.leaves(fast), drawn)

    dist, action, noise, after, drawn = jax.lax.scan(chunk, fast, (life.chunks, keys_learn))[1]
    return Told(dist, action, noise, after, drawn, begin_noise)


def compare(
    folder: str | Path,
    made: Portable,
    meta: Any,
    family: Any,
    world: World,
    *,
    trials: int,
    seed: int = 0,
    batch: int = 50,
    beside: int = 20,
) -> dict[str, Any]:
    """Compare over so many whole trials in held-out tasks; the original draws its actions, so that `learn` has what it needs.

    Args:
        made: what was exported (its plan is lived).
        batch: trials at once, where the graphs are of any number of agents.
        beside: trials in which the original is also compared with itself.

    Returns:
        "trials", "decisions"; "different": greedy actions that are not the same (of boxes: by more than 1e-5); "margin": of
        these the largest difference between the original's two likeliest alternatives' logits; "action": largest difference of
        greedy actions in boxes; "distribution": of its parameters; "state": of the adapted state after any chunk of a trial;
        "relative": the same in units of the entry where that is above 1; "step": of the state after one `learn` from the
        original's; "steps", "apart": how many of those there were, and in how many any entry is more than 1e-5 off; "itself":
        {"trials", "relative", "action"}, the same differences between the original compiled for one agent and for many, which
        is what float32 leaves open.
    """
    graphs = Graphs(folder)
    size = batch if graphs.manifest["agents"] == "any" else int(graphs.manifest["agents"])
    inner, key = made.inner, jax.random.key(seed)
    origin = jax.jit(jax.vmap(told, (None, None, 0)), static_argnums=0)
    lived = jax.jit(world.live, static_argnums=0) if world.jittable else world.live
    alone = jax.jit(told, static_argnums=0)
    tally, itself = _Tally(made), {"trials": 0, "relative": 0.0, "action": 0.0}
    for start in range(0, trials, size):
        key, key_tasks, key_lives = jax.random.split(key, 3)
        tasks = family.sample(key_tasks, size)
        lives = lived(inner, meta, tasks, key_lives)[0]
        said, count = jax.tree.map(np.asarray, origin(inner, meta, lives)), min(size, trials - start)
        tally.add(graphs, lives, said, count)
        for i in range(min(count, max(0, beside - itself["trials"]))):
            again = alone(inner, meta, jax.tree.map(lambda x, i=i: x[i], lives))
            pairs = {"relative": (again.after, said.after), "action": ([again.action], [said.action])}
            for name, (one, many) in pairs.items():
                for x, y in zip(one, many, strict=True):
                    gap = np.abs(np.asarray(x, np.float64) - y[i]) / (
                        np.maximum(1.0, np.abs(y[i])) if name == "relative" else 1.0
                    )
                    itself[name] = max(itself[name], float(gap.max(initial=0.0)))
            itself["trials"] += 1
    return {"trials": trials, **tally.found(), "itself": itself}


def said(found: dict[str, Any]) -> str:
    """What `compare` found, in a few lines."""
    itself = found["itself"]
    lines = [
        f"{found['trials']:,} whole trials, {found['decisions']:,} decisions: {found['different']:,} greedy actions differ"
    ]
    if found["different"] and found["margin"]:
        lines[0] += f", where the two likeliest are {found['margin']:.1e} apart in their logits at most"
    lines.append(
        f"largest difference of the adapted state: {found['state']:.1e}; in units of its entries {found['relative']:.1e}"
    )
    if found["step"]:
        beyond = f", and more than 1e-5 in {found['apart']:,} of {found['steps']:,} steps" if found["apart"] else ""
        lines.append(f"after one step of learning from the same state: {found['step']:.1e} at most{beyond}")
    lines.append(
        f"of the original and itself, compiled for one and for many ({itself['trials']} trials): {itself['relative']:.1e}"
    )
    return "\n".join(lines)


class _Tally:
    def __init__(self, made: Portable):
        self.made = made
        self.decisions = self.different = self.steps = self.apart = 0
        self.most = {"margin": 0.0, "action": 0.0, "distribution": 0.0, "state": 0.0, "relative": 0.0, "step": 0.0}

    def found(self) -> dict[str, Any]:
        counted = {name: getattr(self, name) for name in ("decisions", "different", "steps", "apart")}
        return counted | {name: float(most) for name, most in self.most.items()}

    def add(self, graphs: Graphs, lives: Any, said: Told, count: int) -> None:
        """One batch of lives [B, K, T, N, ...]; the first `count` of them are judged."""
        made = self.made
        plan = made.inner.plan
        rows = jax.tree.map(np.asarray, lives.chunks)
        agents = rows.reward.shape[0]
        step = _ports("step", made, rows.step)
        chunk = _ports("chunk", made, rows)
        state: dict[str, np.ndarray] = {}

        def run(name: str, given: dict[str, Any], noise: list[Any], state: dict[str, Any]) -> dict[str, np.ndarray]:
            """What is new of the state goes into `state`; the other outputs are returned."""
            if name not in graphs:
                return {}
            label = (lambda i: "noise") if len(noise) == 1 else (lambda i: f"noise_{i}")
            given = given | {label(i): x for i, x in enumerate(noise)} | {"agents": np.array([agents])}
            out = graphs[name](**given, **{f"state_{k}" if k != "value" else "state": x for k, x in state.items()})
            new = [x for x in graphs.graphs[name]["outputs"] if x["role"] == "state"]
            state.update({x["of"]: out.pop(x["name"]) for x in new})
            return out

        run("begin", {}, list(said.begin_noise), state)
        same = dict(state)
        for k in range(plan.chunks):
            for t in range(plan.steps):
                now = {name: x[:, k, t] for name, x in step.items()}
                run("observe", now, [x[:, k, t] for x in said.observe_noise], state)
                out = run("decide", now, [], state)
                self._decided(out, {name: x[:count, k, t] for name, x in said.dist.items()}, said.action[:count, k, t], count)
            learned = {name: x[:, k] for name, x in chunk.items()}, [x[:, k] for x in said.learn_noise]
            run("learn", *learned, state)
            after = {of: x[:, k] for of, x in zip(made.recorded, said.after, strict=True)}
            self._changed("state", state, after, count)
            if plan.chunks > 1 and "observe" not in graphs and "learn" in graphs:
                if k:  # the first begins with the same state anyway
                    run("learn", *learned, same)
                    self._changed("step", same, after, count)
                else:
                    self._changed("step", state, after, count)
                same = dict(after)

    def _decided(self, out: dict[str, Any], dist: dict[str, np.ndarray], action: np.ndarray, count: int) -> None:
        mine = out["action"][:count]
        for name, x in dist.items():
            self._more("distribution", np.abs(out[name][:count] - x))
        if np.issubdtype(action.dtype, np.integer):
            other = mine != action
            if other.any():
                best = np.sort(dist["logits"], -1)
                self._more("margin", (best[..., -1] - best[..., -2])[other])
        else:
            gap = np.abs(mine - action)
            self._more("action", gap)
            other = (gap > 1e-5).any(-1)
        self.decisions += other.size
        self.different += int(other.sum())

    def _changed(self, name: str, state: dict[str, np.ndarray], after: dict[str, np.ndarray], count: int) -> None:
        near = np.ones(count, bool)
        for port in self.made.state:
            x, y = (np.asarray(z[:count], np.float64) for z in (state[port.of], after[port.of]))
            gap = np.abs(x - y)
            self._more(name, gap)
            near &= (gap <= 1e-5).reshape(count, -1).all(1)
            if name == "state":
                self._more("relative", gap / np.maximum(1.0, np.abs(y)))
        if name == "step":
            self.steps, self.apart = self.steps + count, self.apart + int(np.sum(~near))

    def _more(self, name: str, gap: np.ndarray) -> None:
        """NaN counts as the largest of all."""
        if gap.size:
            most = float(np.max(gap))
            self.most[name] = most if np.isnan(most) else max(self.most[name], most)


def _ports(role: str, made: Portable, tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a step or chunk by the names of ports."""
    names = made.step_names if role == "step" else made.chunk_names
    return dict(zip(names, jax.tree.leaves(tree), strict=True))
