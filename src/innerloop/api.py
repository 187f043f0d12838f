"""What the command line does, from Python: train, resume, record, evaluate, report, digest, load, adapt, export.

Not the command line (`cli.py`): nothing here parses arguments or prints. Heavy imports happen inside the functions, after
the run folder is on disk.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from innerloop.loading import begun, locate, starting_point
from innerloop.requests import asked, command as as_typed, furnished, recover, resolve
from innerloop.run.folder import FolderError, RunFolder, members, recipe_digest, seed_folder
from innerloop.run.services.sink import checked

if TYPE_CHECKING:
    from innerloop.deploy.agent import Agent
    from innerloop.run.config import Recipe
    from innerloop.run.train import Watch
    from innerloop.tasks.family import Family


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies and the digest of what training carried."""

    path: Path
    digest: str

    def evaluate(self, **options: Any) -> dict[str, Any]:
        """See `innerloop.evaluate`."""
        return evaluate(self.path, **options)

    def report(self, out: str | Path | None = None) -> Path:
        """See `innerloop.report`."""
        return report([self.path], out)


def train(
    recipe: str | Callable[..., Any] = "rl2",
    *,
    tasks: str,
    seed: int | Sequence[int] = 0,
    steps: int | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    file: Mapping[str, Any] | None = None,
    quiet: bool = False,
    log: Sequence[str] = (),
    watch: Watch | None = None,
    command: Sequence[str] = (),
) -> Run | list[Run]:
    """Meta-train.

    Args:
        recipe: a name from `innerloop list`, or "package.module:make".
        tasks: the name of a family from `innerloop list`, or "package.module:make".
        seed: one, or several to be trained one after the other in OUT/seed-N.
        steps: environment steps; None takes the recipe's preset.
        out: the run folder; None names one in runs/.
        settings: {"outer.lr": 3e-4, …}; `file`: the same, nested, as TOML gives it.
        log: tracking services that the log is passed on to: "wandb", "mlflow" or "package.module:make" of your own.
        watch: called with the number of updates and the held-out return, {"mean", "lo", "hi"}, at each evaluation while
            training; raising `innerloop.run.ending.Halted` ends the run there, saved.
        command: what to say in run.json of how the run came about.

    Returns:
        the run, or the list of runs if several seeds were given.

    Raises:
        ConfigError: bad settings, before anything compiles. FolderError: the folder is occupied.
    """
    services = checked(log)
    if not isinstance(recipe, str):
        recipe = f"{recipe.__module__}:{recipe.__qualname__}"
    request = {"recipe": recipe, "tasks": tasks, "steps": steps, "file": dict(file or {}), "settings": dict(settings or {})}
    path = Path(out) if out is not None else _free_name(re.sub(r"[^\w.-]+", ".", f"{recipe}-{tasks}"))
    several = not isinstance(seed, int)
    seeds = list(seed) if not isinstance(seed, int) else [seed]
    with ExitStack() as stack:
        folders, new = [], _new_parents(path)
        for one in seeds:  # all of them first, so that an interrupted command can be resumed as a whole
            where = seed_folder(path, one) if several else path
            again = list(command) or as_typed(request, one, where)
            told = {"log": services} if services else {}
            folder = RunFolder.create(where, {"request": request}, command=again, seed=one, **told)
            stack.callback(_let_go, folder)
            folders.append(folder)
        try:
            recipe, family = furnished(*resolve(request))
            starting_point(recipe)
        except (ValueError, FolderError):
            _take_back(folders, new)
            raise
        runs = _each([lambda folder=folder: _trained(folder, recipe, family, quiet, watch) for folder in folders])
    return runs if several else runs[0]


def _each(trainings: Sequence[Callable[[], Run]]) -> list[Run]:
    """One after the other; one that diverges does not stop the others, and is raised at the end."""
    from innerloop.run.ending import Diverged

    runs, diverged = [], None
    for training in trainings:
        try:
            runs.append(training())
        except Diverged as error:
            diverged = error
    if diverged is not None:
        raise diverged
    return runs


def _new_parents(path: Path) -> list[Path]:
    """`path` and its parents, as far as they do not exist; the innermost first."""
    return [p for p in (path, *path.parents) if not p.exists()]


def _let_go(folder: RunFolder) -> None:
    """Give back a folder whose turn did not come."""
    if folder.held:
        folder.close("interrupted")


def _take_back(folders: Sequence[RunFolder], parents: Sequence[Path]) -> None:
    """Remove runs that were refused, and the folders made for them."""
    for folder in folders:
        folder.close("failed")
        shutil.rmtree(folder.path)
    for parent in parents:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def extend(path: str | Path, steps: int) -> None:
    """Let the run (or runs) in `path` go on to `steps` environment steps when next resumed: the same as if that had been
    asked for at the start.

    Raises:
        ConfigError: fewer steps than before, or an outer whose schedule follows from the number of steps.
    """
    from innerloop.run.settings import ConfigError

    for found in members(path):
        stored = found.recipe
        recipe, _ = recover(stored)
        longer = replace(recipe, steps=steps).settled()
        if longer.updates < recipe.updates:
            raise ConfigError(f"{found.path} trains for {recipe.steps} steps; --steps {steps} would be fewer.")
        if longer.outer != recipe.outer:
            raise ConfigError(
                f"the outer of {found.path} follows a schedule over its {recipe.steps} steps, so a longer run is another one; "
                "train it anew."
            )
        if longer.updates > recipe.updates:
            request = stored["request"] | {"steps": steps}
            extends = [*stored.get("extends", []), recipe_digest(stored)]
            found.write_recipe(stored | {"steps": steps, "request": request, "extends": extends})
            found.update(status="interrupted", command=as_typed(request, int(found.record["seed"]), found.path))


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    quiet: bool = False,
    log: Sequence[str] | None = None,
    watch: Watch | None = None,
) -> list[Run]:
    """Go on with the run (or runs) in `path`, bit for bit; finished ones are left as they are.

    Args:
        steps: train to so many environment steps in all, beyond those asked for at first; see `extend`.
        log: services from now on, in place of those that the run has; ["none"]: none. `watch`: as in `train`.
    """
    services = None if log is None else checked(log)
    if steps is not None:
        extend(path, steps)
    return _each([lambda found=found: _resumed(found, quiet, services, watch) for found in members(path)])


def _resumed(found: RunFolder, quiet: bool, services: list[str] | None, watch: Watch | None) -> Run:
    if found.status == "finished":
        return Run(found.path, digest(found.path))
    with RunFolder.resume(found.path) as run:
        if services is not None:
            run.update(log=services)
        return _trained(run, *furnished(*recover(run.recipe)), quiet, watch)


def _trained(run: RunFolder, recipe: Recipe, family: Family, quiet: bool, watch: Watch | None) -> Run:
    if "inner" not in run.recipe:
        from innerloop.run.config import as_dict

        run.write_recipe(as_dict(recipe) | {"request": run.recipe["request"]})
    from innerloop.run.train import train as run_training
    from innerloop.worlds import world_of

    before = float(run.record.get("cpu_seconds", 0.0)) - _cpu_seconds()
    with run:
        meta = begun(recipe, run)
        try:
            final = run_training(
                recipe, family, run, world_of, seed=int(run.record["seed"]), meta=meta, quiet=quiet, watch=watch
            )
        finally:
            with suppress(OSError):  # a full disk must not hide why the run ended
                run.update(cpu_seconds=round(before + _cpu_seconds(), 1))
    return Run(run.path, final)


def _free_name(stem: str) -> Path:
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


def _cpu_seconds() -> float:
    """Of this process and its ended children."""
    return sum(os.times()[:4])


def send(path: str | Path, log: Sequence[str] = ()) -> dict[str, dict[str, int]]:
    """Send what tracking services have not taken of the log of a run (or runs); by run and service, the last update sent.

    Args:
        log: services; none named: those that each run was trained with.
    """
    from innerloop.run.services.follower import send as pass_on

    names = checked(log)
    return {str(run.path): pass_on(run, names) for run in members(path)}


def digest(path: str | Path) -> str:
    """One digest of all that training carries, from the newest good checkpoint of a run; of DIR: of its runs' digests."""
    import hashlib

    from innerloop.run import checkpoint

    found = [checkpoint.verify(run.path)["digest"] for run in members(path)]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def evaluate(path: str | Path, **options: Any) -> dict[str, Any]:
    """Adapt to held-out tasks and measure: see `innerloop.evaluation.evaluate` for options and the result."""
    from innerloop.evaluation import evaluate as measure

    return measure(path, **options)


def record(teacher: str | Path, **options: Any) -> Path:
    """Record learning histories to train on: see `innerloop.recording.record` for options."""
    from innerloop.recording import record as keep

    with asked():
        return keep(teacher, **options)


def adapt(path: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """Adapt an agent to one task and save it: see `innerloop.deploy.adaptation.adapt` for options and the result."""
    from innerloop.deploy.adaptation import adapt as live

    return live(path, **options)


def load(path: str | Path, **options: Any) -> Agent:
    """An agent of a run, of "zoo:NAME" or of a folder that `Agent.save` wrote: see `innerloop.deploy.loading.load`."""
    from innerloop.deploy.loading import load as make

    return make(path, **options)


def report(paths: Sequence[str | Path], out: str | Path | None = None, format: str | None = None) -> Path:
    """Write one report about the runs, which are compared where they can be; its path.

    Args:
        paths: run folders, folders of seeds, or "zoo:NAME".
        out: the file; None: report.FORMAT in the first folder, or here where that is the zoo's.
        format: "html" (one self-contained page), "md", "svg" or "pdf" (figures for a paper: `innerloop[figure]`); None: as the
            file's suffix says.

    Raises:
        ConfigError: an unknown format, nothing to draw, or the extra is missing. FolderError: there is no such run.
    """
    from innerloop.evaluate.figure import NoMatplotlib
    from innerloop.evaluate.report import format_of, write_report
    from innerloop.run.settings import ConfigError

    folders = [locate(p) for p in paths]
    try:
        kind = format_of(Path(out) if out else None, format)
        home = Path() if (folders[0] / "weights").is_dir() else folders[0]
        return write_report(folders, Path(out) if out else home / f"report.{kind}", kind)
    except FileNotFoundError as error:
        raise FolderError(str(error)) from error
    except (ValueError, NoMatplotlib) as error:
        raise ConfigError(str(error)) from error


def export(
    run: str | Path,
    out: str | Path,
    *,
    format: str = "onnx",
    agents: int | None = 1,
    streams: int = 1,
    horizon: int | None = None,
    verify: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a run's adapting agent to the folder `out` as ONNX or as a TensorFlow SavedModel, to be run without JAX.

    Args:
        run: a run folder, a folder of seeds (its first), or "zoo:NAME".
        format, agents, streams, horizon: see `innerloop.deploy.export.export`.
        verify: compare with the original over so many whole trials in held-out tasks; kept in OUT/verified.json.
        seed: which trials.

    Returns:
        {"path", "files": {name: bytes}, "verified": see `innerloop.deploy.fidelity.compare`, or None}.

    Raises:
        ConfigError: the method cannot be exported so, with the reason; the extra is missing; `out` is not empty. FolderError:
        there is no such run.
    """
    from innerloop.run.folder import write_json
    from innerloop.run.settings import ConfigError

    path = locate(run)
    from innerloop.deploy.export import export as write
    from innerloop.deploy.fidelity import compare
    from innerloop.deploy.loading import one
    from innerloop.deploy.portable import portable
    from innerloop.loading import load as load_run
    from innerloop.worlds import world_of

    recipe, family, meta, found = load_run(one(path))
    inner = recipe.inner.with_plan(recipe.evaluation)
    card = {"run": str(run), "method": recipe.name, "family": family.name, "checkpoint": found}
    try:
        folder = write(inner, meta, out, format=format, agents=agents, streams=streams, horizon=horizon, card=card)
    except (ValueError, ImportError, FileExistsError) as error:
        raise ConfigError(f"{run} is not exported: {error}") from error
    verified = None
    if verify:
        with ExitStack() as stack:
            tasks = family.split("test")
            world = world_of(tasks)
            stack.callback(world.close)
            made = portable(inner, meta, streams=streams, horizon=horizon)
            verified = compare(folder, made, meta, tasks, world, trials=verify, seed=seed)
        write_json(folder / "verified.json", verified)
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    return {"path": str(folder), "files": files, "verified": verified}
