"""Agents from runs, zoo entries and saved agents.

Not their meta-parameters alone: that is `innerloop.loading`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from innerloop import registry
from innerloop.deploy import folder
from innerloop.deploy.agent import Agent
from innerloop.loading import load as load_run, locate
from innerloop.requests import recover
from innerloop.run.folder import members, read_json


def load(path: str | Path, *, horizon: int | None = None, adapts: bool = True) -> Agent:
    """An agent of a finished run, before its first task: `begin` it. Or a saved one, which goes on.

    Args:
        path: a run folder, a folder of seeds (its first), "zoo:NAME", or a folder that `Agent.save` wrote.
        horizon: steps in an episode of your environment at most, where that is not the run's. Methods that compare whole
            episodes before and after a step (MAML and its kin) need to know it.
        adapts: False: the same policy keeping no experience, which stands beside every method in reports.

    Raises:
        FolderError: there is no such run, or its checkpoint is damaged or of another schema. ConfigError: its recipe names what
        is not there.
    """
    if folder.is_agent(path):
        if horizon is not None or not adapts:
            raise ValueError(f"{path} is a saved agent, which goes on as it was; horizon and adapts are for runs.")
        return folder.restore(path)
    found = one(locate(path))
    recipe, _, meta, digest = load_run(found)
    inner = recipe.inner.with_plan(recipe.evaluation) if adapts else registry.unadapted(recipe)
    card = {"recipe": read_json(found / "recipe.json"), "run": str(path), "digest": digest, "adapts": adapts}
    return Agent(inner, meta, horizon=horizon, card=card)


def one(path: Path) -> Path:
    """A run's own folder, or that of the first seed."""
    if (path / "weights").is_dir() or (path / "recipe.json").is_file():
        return path
    return members(path)[0].path


def made(card: dict[str, Any]) -> Agent:
    """The agent that a saved one's card describes, with shapes in place of its meta-parameters."""
    recipe, _ = recover(card["recipe"])
    like = jax.eval_shape(recipe.inner.init, jax.random.key(0))
    inner = recipe.inner.with_plan(recipe.evaluation) if card["adapts"] else registry.unadapted(recipe)
    own = {name: card[name] for name in ("recipe", "run", "digest", "adapts")}
    return Agent(inner, like, horizon=card["horizon"], card=own | ({"notes": card["notes"]} if card.get("notes") else {}))
