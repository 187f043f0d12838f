"""`innerloop sweep`: a search over settings by Optuna, each trial a run of its own, chosen on validation tasks.

Not a result: the best trial is the luckiest too. What it is worth is said by training it again from other seeds and evaluating
that on test tasks, by commands that the sweep prints. The package `optuna` is the extra `innerloop[sweep]`.

    DIR/sweep.json       what was asked for
    DIR/study.db         Optuna's own storage; `optuna-dashboard sqlite:///DIR/study.db` shows it
    DIR/trial-007/       a run folder
    DIR/best.json        all trials, and the best of them

Every trial has the same seed, tasks and chances. What is tried next follows from the sweep's seed and what was found before, so
that a sweep which was killed ends like one that was not: its last trial goes on from its checkpoint.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from innerloop import api
from innerloop.requests import asked, command, resolve
from innerloop.run.config import as_dict
from innerloop.run.ending import Diverged, Halted
from innerloop.run.folder import FolderError, RunFolder, read_json, write_json
from innerloop.run.lock import Lock
from innerloop.run.rows import read_rows
from innerloop.run.settings import ConfigError
from innerloop.tasks.varying import Choice, Range, parsed

try:
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError:
    raise ConfigError("a sweep needs the package optuna: pip install 'innerloop[sweep]'") from None

FRESH = 5  # seeds that the best is to be trained again from
UNPRUNED = 5  # trials that are trained to their end before any is stopped
Each = Callable[[dict[str, Any]], None]


def sweep(
    recipe: str,
    *,
    tasks: str,
    trial: Mapping[str, str],
    trials: int,
    out: str | Path,
    steps: int | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    file: Mapping[str, Any] | None = None,
    prune: bool = True,
    log: Sequence[str] = (),
    each: Each | None = None,
) -> dict[str, Any]:
    """Try settings, and find the best of them on validation tasks.

    Args:
        recipe, tasks, steps, settings, file, log: of every trial, as in `innerloop.train`.
        trial: what is searched: {"outer.lr": "1e-4:1e-2:log", "inner.width": "32,64,128"}.
        trials: how many, those that fail or are stopped included.
        out: a new folder.
        seed: of the search and of every trial.
        prune: stop a trial whose held-out return is below the median of the others at the same point of training.
        each: called with every trial when it has ended.

    Returns:
        {"recipe", "tasks", "seed", "trials": [{"trial", "state", "settings", "validation" or None, "run", "reason"}], "best":
        one of them or None, "next": the commands that train the best anew}. Also in best.json.

    Raises:
        ConfigError: settings that do not exist or do not fit, before anything is trained. FolderError: `out` is occupied.
    """
    request = {"recipe": recipe, "tasks": tasks, "steps": steps, "file": dict(file or {}), "settings": dict(settings or {})}
    searched = {"request": request, "trial": dict(trial), "trials": trials, "seed": seed, "prune": prune, "log": list(log)}
    _space(searched)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(
            f"{out} is not empty. Go on with the sweep in it by `innerloop sweep --resume {out}`, or choose another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "sweep.json", searched)
    return resume(out, each=each)


def resume(out: str | Path, *, trials: int | None = None, each: Each | None = None) -> dict[str, Any]:
    """Go on with the sweep in `out`; see `sweep`. `trials`: that many in all, in place of the number asked for at first."""
    out = Path(out)
    if not (out / "sweep.json").is_file():
        raise FolderError(f"{out} holds no sweep: sweep.json is missing. Give a folder made by `innerloop sweep`.")
    searched = read_json(out / "sweep.json")
    if trials is not None:
        if trials < searched["trials"]:
            raise ConfigError(f"{out} is a sweep of {searched['trials']} trials; --trials {trials} would be fewer.")
        searched["trials"] = trials
        write_json(out / "sweep.json", searched)
    lock = Lock(out / "lock")
    lock.take()
    try:
        return _Sweep(out, searched, each or (lambda ended: None)).run()
    finally:
        lock.release()


def _space(searched: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Optuna's distributions, and the number of evaluations in a trial, after both ends of every setting have been tried on the
    recipe; ConfigError where one does not fit."""
    if not searched["trial"]:
        raise ConfigError("nothing is searched; give --trial NAME=VALUES, for example outer.lr=1e-4:1e-2:log.")
    if searched["trials"] < 1:
        raise ConfigError(f"--trials {searched['trials']}: at least 1.")
    with asked():
        forms = {name: parsed(name, values, "--trial") for name, values in searched["trial"].items()}
    fixed = sorted(set(forms) & set(searched["request"]["settings"]))
    if fixed:
        raise ConfigError(f"{fixed[0]} is searched and set as well; leave out --trial or --set of it.")
    recipe, _ = resolve(searched["request"])
    if recipe.evaluations < 1:
        raise ConfigError("evaluations is 0, and a trial is judged by its last evaluation on validation tasks; set 1 or more.")
    plain, out = as_dict(recipe), {}
    for name, form in forms.items():
        out[name] = _distribution(form, _field(plain, name))
    for share in (0.0, 1.0):
        settings = {name: _end(d, share) for name, d in out.items()}
        resolve(_with(searched["request"], settings))
    return out, recipe.evaluations


def _field(plain: Any, name: str) -> Any:
    for part in name.split("."):
        plain = plain.get(part) if isinstance(plain, Mapping) else None
    return plain


def _distribution(form: Range | Choice, now: Any) -> Any:
    """`now`: the value that the recipe has; whole numbers stay whole."""
    if isinstance(form, Choice):
        return optuna.distributions.CategoricalDistribution(form.options)
    if form.whole or (isinstance(now, int) and float(form.low).is_integer() and float(form.high).is_integer()):
        return optuna.distributions.IntDistribution(int(form.low), int(form.high), log=form.log)
    return optuna.distributions.FloatDistribution(form.low, form.high, log=form.log)


def _end(distribution: Any, share: float) -> Any:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return distribution.choices[-1 if share else 0]
    return distribution.high if share else distribution.low


def _suggest(trial: Trial, name: str, distribution: Any) -> None:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        trial.suggest_categorical(name, distribution.choices)
    elif isinstance(distribution, optuna.distributions.IntDistribution):
        trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    else:
        trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _with(request: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**request, "settings": {**request["settings"], **settings}}


class _Sweep:
    """A sweep under way."""

    def __init__(self, out: Path, searched: dict[str, Any], each: Each):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.out, self.searched, self.each = out, searched, each
        self.space, evaluations = _space(searched)
        early = max(1, evaluations // 4)  # evaluations that say little yet
        prune = optuna.pruners.MedianPruner(UNPRUNED, early) if searched["prune"] else optuna.pruners.NopPruner()
        where = f"sqlite:///{(out / 'study.db').resolve()}"
        options = {"study_name": "sweep", "direction": "maximize", "load_if_exists": True}
        self.study = optuna.create_study(storage=where, pruner=prune, **options)

    def run(self) -> dict[str, Any]:
        for left in self.study.get_trials(states=(TrialState.RUNNING,)):  # by a process that was killed
            self._draw_by(left.number)
            self._live(Trial(self.study, left._trial_id))
        while (number := len(self.study.get_trials(deepcopy=False))) < self.searched["trials"]:
            self._draw_by(number)
            self._live(self.study.ask())
        return self._told()

    def _draw_by(self, number: int) -> None:
        """A sampler of its own for each trial: what it draws does not depend on how often the sweep was begun."""
        self.study.sampler = optuna.samplers.TPESampler(seed=(self.searched["seed"] * 100_003 + number) % 2**32)

    def _live(self, trial: Trial) -> None:
        """Train a trial to its end, or from where it was left, and tell what it came to."""
        for name, distribution in self.space.items():
            _suggest(trial, name, distribution)  # as drawn before, where it was
        folder = self.out / f"trial-{trial.number:03d}"
        reported = set(self.study.get_trials()[trial.number].intermediate_values)

        def watch(*_: Any) -> None:
            """Report what has not been; Halted where the trial is not worth going on with."""
            for number, row in enumerate(held_out(folder)):
                if number not in reported:
                    reported.add(number)
                    trial.report(row["mean"], number)
            if trial.should_prune():
                raise Halted(f"trial {trial.number} is below the median of the others")

        try:
            watch()
            if (folder / "run.json").is_file():
                api.resume(folder, quiet=True, watch=watch)
            else:
                request = _with(self.searched["request"], trial.params)
                name = request.pop("recipe")
                options = {"seed": self.searched["seed"], "out": folder, "log": self.searched["log"]}
                api.train(name, **request, **options, quiet=True, watch=watch)
            rows = held_out(folder)
            if not rows:
                raise ConfigError("too few held-out tasks gave a finite return")
            self.study.tell(trial.number, rows[-1]["mean"])
        except Halted:
            self.study.tell(trial.number, state=TrialState.PRUNED)
        except (Diverged, ConfigError) as problem:
            trial.set_user_attr("reason", str(problem))
            self.study.tell(trial.number, state=TrialState.FAIL)
        self.each(self._row(self.study.get_trials()[trial.number]))

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        folder = self.out / f"trial-{trial.number:03d}"
        rows = held_out(folder)
        return {
            "trial": trial.number,
            "state": {"COMPLETE": "finished", "PRUNED": "stopped", "FAIL": "failed"}.get(trial.state.name, "running"),
            "settings": trial.params,
            "validation": rows[-1] if rows else None,
            "run": str(folder),
            "reason": trial.user_attrs.get("reason", ""),
        }

    def _told(self) -> dict[str, Any]:
        rows = [self._row(trial) for trial in self.study.get_trials()]
        finished = [row for row in rows if row["state"] == "finished"]
        best = max(finished, key=lambda row: row["validation"]["mean"], default=None)
        request, seed = self.searched["request"], self.searched["seed"]
        told = {"recipe": request["recipe"], "tasks": request["tasks"], "seed": seed, "trials": rows, "best": best, "next": []}
        if best is not None:
            again = self.out / "best"
            words = command(_with(request, best["settings"]), seed + 1, again)
            words[words.index("--seed") + 1] = f"{seed + 1}:{seed + 1 + FRESH}"
            told["next"] = [words, ["innerloop", "evaluate", str(again)]]
        write_json(self.out / "best.json", told)
        return told


def held_out(folder: Path) -> list[dict[str, float]]:
    """The held-out returns of a run so far, {"mean", "lo", "hi"} each, on validation tasks."""
    found = [row["heldout"] for row in read_rows(RunFolder(folder).log) if row.get("heldout")]
    return [row for row in found if isinstance(row.get("mean"), (int, float)) and math.isfinite(row["mean"])]


def line(row: Mapping[str, Any]) -> str:
    """A trial in a line."""
    found, reason = row["validation"], f" ({row['reason']})" if row["reason"] else ""
    earned = f"{found['mean']:.4g} [{found['lo']:.4g}, {found['hi']:.4g}]" if found else "–"
    settings = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in row["settings"].items()
    )
    return f"trial {row['trial']:<3} {row['state']:<8}  {earned:<28} {settings}{reason}"


def said(told: Mapping[str, Any]) -> str:
    """A sweep's outcome for the terminal, the best first."""
    order = sorted(told["trials"], key=lambda row: -row["validation"]["mean"] if row["validation"] else math.inf)
    order = sorted(order, key=lambda row: row["state"] != "finished")
    lines = [
        f"{told['recipe']} on {told['tasks']}: held-out return on validation tasks, seed {told['seed']}",
        *map(line, order),
    ]
    if told["best"] is None:
        return "\n".join([*lines, "No trial came to its end; the runs' logs say why."])
    lines += [
        f"Best is trial {told['best']['trial']}. It was picked out of {len(order)} by this very figure, which is no result.",
        "Train it anew, from other seeds, and evaluate it on test tasks:",
    ]
    return "\n".join([*lines, *("  " + shlex.join(words) for words in told["next"])])
