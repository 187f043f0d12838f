"""An agent on the disk: its meta-parameters, its state and the recipe it comes from, in one sealed folder.

Not a checkpoint of training. The format is the checkpoints' (`run/sealed.py`): safetensors and JSON, every byte verified when
read, nothing executed.

    FOLDER/state.safetensors, FOLDER/manifest.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop.core import birth
from innerloop.core.spaces import zeros
from innerloop.deploy.agent import Agent, Counts
from innerloop.deploy.solitude import spare
from innerloop.run import sealed
from innerloop.run.folder import FolderError

KIND = "agent"
SCHEMA = 1  # of what the card and the leaves mean; `sealed.SCHEMA` is of the folder


def is_agent(path: str | Path) -> bool:
    """Whether a folder looks like one that `save` wrote."""
    return (Path(path) / "manifest.json").is_file() and not (Path(path) / "recipe.json").is_file()


def save(agent: Agent, path: str | Path) -> Path:
    """Write the agent to the folder `path`, replacing another agent there.

    Raises:
        RuntimeError: it has not entered a task. NonFinite: what it adapted to has taken it apart. FileExistsError: the folder
        holds something else. FolderError: it was not made by `innerloop.load`, so that nothing says what it is.
    """
    if "recipe" not in agent.card:
        raise FolderError("this agent carries no recipe, so it could not be restored; make agents by innerloop.load.")
    state, told = agent.state()
    card = {**agent.card, "kind": KIND, "agent_schema": SCHEMA, "horizon": agent.horizon, "state": told}
    sealed.save_meta(path, {"meta": agent.meta, **state}, card)
    return Path(path)


def read_card(path: str | Path) -> dict[str, Any]:
    """What a saved agent says of itself; FolderError where the folder is damaged, of another schema, or none of an agent."""
    path = Path(path)
    if not (path / "manifest.json").is_file():
        raise FolderError(f"{path} holds no saved agent (no manifest.json); give a folder that Agent.save wrote.")
    card = sealed.read_card(path)
    if card.get("kind") != KIND:
        raise FolderError(f"{path} is sealed, but holds no agent; give a folder that Agent.save wrote, or load the run itself.")
    if card.get("agent_schema") != SCHEMA:
        raise FolderError(
            f"{path} holds an agent of schema {card.get('agent_schema')}, and this version reads {SCHEMA}; restore it by the "
            "version that wrote it, or adapt anew from the run."
        )
    return card


def restore(path: str | Path) -> Agent:
    """The agent in `path`, every byte verified; FolderError where that cannot be."""
    from innerloop.deploy.loading import made

    card = read_card(path)
    agent = made(card)
    state, _ = sealed.load_meta(path, {"meta": agent.meta, **shapes(agent, card["state"])})
    return agent.resume(state, card["state"])


def shapes(agent: Agent, told: dict[str, Any]) -> dict[str, Any]:
    """Of the arrays of `Agent.state`, whose JSON is `told`."""
    key = jax.random.key(0, impl=told["impl"])
    fast = jax.eval_shape(jax.vmap(agent.inner.begin, (None, 0)), agent.meta, key[None])
    step = jax.tree.map(lambda x: np.asarray(x)[None], birth(agent.spaces, zeros(agent.spaces.obs, (1,)), 1))
    rows = spare(agent.chunk) if agent.chunk is not None else ()
    counts = Counts(*(np.zeros((), np.int64) for _ in Counts._fields))
    paid = np.zeros((), np.float64)
    return {"fast": fast, "step": step, "rows": rows, "key": key, "counts": counts, "paid": paid}
