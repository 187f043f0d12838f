"""`innerloop adapt`: an agent lives some episodes of one task, beside the same policy that keeps no experience.

Not an evaluation: one task, and no intervals. What remains is the adapted agent, in a folder that goes on where it stopped.

    DIR/agent/            the agent, sealed (deploy/folder.py)
    DIR/adaptation.json   what it earned, and in what it was adapted
    DIR/before.gif, after.gif
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from innerloop.core import Spaces
from innerloop.deploy import folder, video as films
from innerloop.deploy.agent import Agent
from innerloop.deploy.fit import misfits
from innerloop.deploy.loading import load, made, one
from innerloop.deploy.setting import NoPicture, setting, start
from innerloop.loading import locate
from innerloop.requests import asked, examined, recover
from innerloop.run.folder import FolderError, read_json, write_json
from innerloop.run.settings import ConfigError
from innerloop.tasks import names
from innerloop.tasks.family import Family

Each = Callable[[int, int, float], None]


class Stopped(RuntimeError):
    """The environment failed while the agent lived in it; what had been adapted is saved."""


class Lived(NamedTuple):
    """One episode."""

    earned: float
    steps: int
    learned: int  # times the agent had learned from a chunk when the episode began
    frames: list[np.ndarray]


def adapt(
    path: str | Path | None = None,
    *,
    env: str | None = None,
    on: str | None = None,
    resume: str | Path | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    video: bool = False,
    each: Each | None = None,
) -> dict[str, Any]:
    """Adapt an agent to one task, and measure what that is worth.

    Args:
        path: a run folder, a folder of seeds (its first), or "zoo:NAME".
        env: an environment of one's own, "env:package.module:make?…" as `tasks.own.named` writes it. What varies is drawn once.
        on: a family by name, of which one held-out task is lived; neither: the run's own.
        resume: in place of all these, a folder that an earlier call wrote: the same agent goes on in the same task.
        episodes: to live; None: as many as the method was made for.
        seed: of the task, its episodes and the agent; None: 0, or that of `resume`.
        out: the folder to write; None: a new one in adapted/, or that of `resume`.
        video: film an episode without adaptation and the same one (by its seed) with it.
        each: called after every episode with its number, their number and its return.

    Returns:
        {"run", "recipe", "environment", "task", "seed", "unit", "behind" (episodes lived before), "returns" (of each episode),
        "unadapted" (the same of the policy that keeps nothing), "lengths", "learned" (times it had learned, at each episode's
        begin), "after" {"episodes", "adapted", "unadapted"} (means over the last episodes, lived with all that was learned),
        "agent" (its folder), "video" {"before", "after"} or None}. Also written to adaptation.json.

    Raises:
        ConfigError: spaces that do not match, an environment with a fault, no such family. FolderError: no such run, a damaged
        one, or one of another schema; or `out` holds something. Stopped: the environment failed; the agent is saved as it was.
    """
    if video:
        films.require()
    if (path is None) == (resume is None):
        raise ConfigError("give a run to adapt (a run folder, or zoo:NAME), or --from a folder that `innerloop adapt` wrote.")
    if resume is not None and (env or on or seed is not None):
        raise ConfigError("--from goes on in the task, and with the seed, of before; for another one begin with the run.")
    seed = seed or 0
    if episodes is not None and episodes < 1:
        raise ConfigError(f"episodes is {episodes}; accepted: at least 1.")
    if resume is not None:
        agent, notes = _taken_up(Path(resume))
        family, seed = _family(notes["environment"]), int(notes["seed"])
        source = str(notes["run"])
    else:
        assert path is not None
        source, family = str(path), _family(env or on or _own(path))
        agent, notes = _fresh(path, family, seed), {"episodes": 0}
    where = Path(out or resume or _free(f"{source}-{family.name}"))
    _refuse_occupied(where, None if resume is None else Path(resume))
    try:
        place, task = setting(family, seed, film=video)
    except NoPicture as error:
        raise ConfigError(str(error)) from None
    recipe, _ = recover(agent.card["recipe"])
    count = episodes or _made_for(agent, recipe, family)
    behind = int(notes["episodes"])
    try:
        agent, rows, problem = _episodes(agent, place, seed, range(behind, behind + count), each, film=video)
        where.mkdir(parents=True, exist_ok=True)
        agent.card["notes"] = {"run": source, "environment": family.name, "seed": seed, "episodes": behind + len(rows)}
        kept = agent.save(where / "agent")  # first of all: what follows can be done again
        if isinstance(problem, KeyboardInterrupt):
            raise problem
        blank = _unadapted(agent, family, seed)
        _, beside, failed = _episodes(blank, place, seed, range(behind, behind + len(rows)), None, film=video)
        if isinstance(failed, KeyboardInterrupt):
            raise failed
        result: dict[str, Any] = {
            "run": source,
            "recipe": recipe.name,
            "environment": family.name,
            "task": task,
            "seed": seed,
            "unit": recipe.unit,
            "behind": behind,
            "returns": [row.earned for row in rows],
            "unadapted": [row.earned for row in beside],
            "lengths": [row.steps for row in rows],
            "learned": [row.learned for row in rows],
            "after": _after(rows, beside, agent.learns),
            "agent": str(kept),
            "video": _filmed(where, place, beside, rows) if video and not (problem or failed) else None,
        }
        write_json(where / "adaptation.json", result)
    finally:
        place.close()
    problem = problem or failed
    if problem is not None:
        raise Stopped(
            f"the environment or the agent in it failed: {type(problem).__name__}: {problem} What was adapted in "
            f"{behind + len(rows)} whole episodes is in {where}; `innerloop adapt --from {where}` goes on."
        ) from problem
    return result


def episode(agent: Agent, place: Any, seed: int, *, film: bool = False) -> Lived:
    """Live one episode of a Gymnasium environment, which the seed begins."""
    learned, earned, steps, frames, over = int(agent.counts.learned), 0.0, 0, [], False
    obs, _ = place.reset(seed=seed)
    while not over:
        if film:
            frames.append(np.asarray(place.render()))
        obs, reward, terminated, truncated, _ = place.step(agent.act(obs))
        agent.reward(reward, terminated, truncated, obs=obs)
        earned, steps, over = earned + float(reward), steps + 1, bool(terminated or truncated)
    if film:
        frames.append(np.asarray(place.render()))
    return Lived(earned, steps, learned, frames)


def _episodes(
    agent: Agent, place: Any, seed: int, numbers: range, each: Each | None, *, film: bool
) -> tuple[Agent, list[Lived], BaseException | None]:
    """Live these episodes, the last of them filmed: the agent as it stands after the last whole one, and what stopped it."""
    rows: list[Lived] = []
    kept = agent.copy()
    try:
        for number in numbers:
            rows.append(episode(agent, place, start(seed, number), film=film and number == numbers[-1]))
            kept = agent.copy()
            if each:
                each(number, numbers.stop, rows[-1].earned)
    except (KeyboardInterrupt, Exception) as error:
        return kept, rows, error
    return kept, rows, None


def _filmed(where: Path, place: Any, beside: list[Lived], rows: list[Lived]) -> dict[str, str]:
    """The last episode without and with adaptation, which began alike."""
    said = getattr(getattr(place, "env", place), "metadata", {})
    pair = {"before": beside[-1].frames, "after": rows[-1].frames}
    rate = said.get("render_fps")
    return {name: str(films.write(where / f"{name}.gif", frames, rate)) for name, frames in pair.items()}


def _own(path: str | Path) -> str:
    """The run's own family, without loading its checkpoint."""
    return recover(read_json(one(locate(path)) / "recipe.json"))[1].name


def _family(name: str) -> Family:
    """The held-out tasks of a family, its environment walked where it is a user's own; ConfigError, saying what is wrong."""
    with asked():
        found = names.family(name)
        if name.startswith("env:"):
            problems = examined(name).problems
            if problems:
                raise ConfigError(f"{name.removeprefix('env:')}: {' '.join(problems)}")
        assert found.horizon
        return found.split("test")


def _fitting(spaces: Spaces, family: Family, trained: str) -> None:
    found = misfits(spaces, family.spaces)
    if found:
        raise ConfigError(
            f"{family.name} does not fit a run on {trained}: {' '.join(found)} Or train on what is to be adapted to: innerloop "
            "train, with --env or --tasks."
        )


def _fresh(path: str | Path, family: Family, seed: int) -> Agent:
    if folder.is_agent(locate(path)) or (locate(path) / "adaptation.json").is_file():
        raise ConfigError(f"{path} is an agent that has been adapted; go on with it by --from {path}.")
    agent = load(path, horizon=family.horizon)
    _fitting(agent.spaces, family, recover(agent.card["recipe"])[0].family)
    return agent.begin(seed)


def _taken_up(path: Path) -> tuple[Agent, dict[str, Any]]:
    """The agent of an earlier adaptation, and what it wrote."""
    where = path / "agent" if (path / "agent").is_dir() else path
    agent = folder.restore(where)
    notes = agent.card.get("notes")
    if not notes:
        raise FolderError(f"{path} holds an agent, but not from `innerloop adapt`, so nothing says in which task it is.")
    return agent, notes


def _unadapted(agent: Agent, family: Family, seed: int) -> Agent:
    """The policy that keeps no experience, with the same meta-parameters."""
    blank = made({**agent.card, "adapts": False, "horizon": family.horizon})
    blank.meta = agent.meta
    return blank.begin(seed)


def _made_for(agent: Agent, recipe: Any, family: Family) -> int:
    """Episodes in as much experience as a life in evaluation has."""
    plan = recipe.evaluation
    if plan.episodes:
        return plan.episodes
    if plan.restart and agent.learns:
        return plan.chunks * plan.streams
    trained = names.family(recipe.family)
    return max(1, plan.chunks * plan.steps * (plan.streams if agent.learns else 1) // trained.horizon)


def _after(rows: list[Lived], beside: list[Lived], learns: bool) -> dict[str, Any] | None:
    """Mean returns of the last episodes: of all that were lived with what was last learned, or of the last alone."""
    if not rows or len(beside) < len(rows):
        return None
    size = sum(row.learned == rows[-1].learned for row in rows) if learns else 1
    adapted, unadapted = (float(np.mean([row.earned for row in some[-size:]])) for some in (rows, beside))
    return {"episodes": size, "adapted": adapted, "unadapted": unadapted}


def _free(stem: str) -> Path:
    stem, number = re.sub(r"[^\w.-]+", ".", stem).strip("."), 1
    while (path := Path("adapted") / f"{stem}-{number}").exists():
        number += 1
    return path


def _refuse_occupied(where: Path, own: Path | None) -> None:
    if own is not None and where.exists() and where.resolve() == own.resolve():
        return
    if where.exists() and (not where.is_dir() or any(where.iterdir())):
        raise FolderError(
            f"{where} is not empty; go on with an adaptation by --from {where}, or choose another folder with --out."
        )
