"""`innerloop evaluate`: one run, or a run of several seeds, on held-out tasks, beside its baselines and the oracle.

Not the measuring itself (`evaluate/adaptation.py`, `evaluate/statistics.py`): this puts run, baselines and oracle together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop import registry
from innerloop.core import Inner
from innerloop.evaluate import oracles
from innerloop.evaluate.adaptation import Evaluator, Found, of_trial, totals
from innerloop.evaluate.outcomes import outcomes
from innerloop.evaluate.population import Rivals, rivals, score
from innerloop.evaluate.statistics import Interval, over_seeds, over_tasks
from innerloop.evaluate.trials import tell
from innerloop.loading import load, locate
from innerloop.run.config import Recipe
from innerloop.run.folder import members, read_json, write_json
from innerloop.run.settings import ConfigError
from innerloop.tasks import names
from innerloop.tasks.family import Family
from innerloop.worlds import world_of

SHOWN = 50  # tasks in the per-task table


def evaluate(
    path: str | Path,
    *,
    tasks: int | None = None,
    seed: int = 0,
    split: str = "test",
    deterministic: bool = False,
    baselines: bool = True,
    workers: int | None = None,
    on: str | None = None,
) -> dict[str, Any]:
    """Adaptation curves of a run on tasks it has not met.

    Args:
        path: a run folder, a folder of seeds, or "zoo:NAME".
        tasks: how many to draw, per training seed; None: 1,000 on device, 40 on host worlds.
        seed: chooses them (and the actions); other seeds, other tasks.
        split: "test", "validation" or "train".
        deterministic: act by the mode of every distribution (gradient steps are taken on sampled experience all the same).
        baselines: measure (or take from the run's cache) the baselines too.
        on: another family with the same spaces to adapt in, for tasks unlike those of training.

    Returns:
        {"run", "recipe", "family", "split", "tasks", "seed", "unit", "policy", "curve": [{"experience", "mean", "lo", "hi"}],
        "total": {"mean", "lo", "hi"}, "gain" (first to last unit, paired), "gap": at each
        episode the share of the way from no adaptation to the oracle, or None, "baselines": {name: {"curve", "total"}},
        "oracle": {"name", "total"} or None, "seeds", "interval", "tiny", "incomplete", "interaction": environment steps that
        one unit of experience takes in a task}, of families with measures "measures": {name: {"unit", "per", "curve", "trial"}}
        here and in every baseline, of a population "score" (total − single best) / (best of population − single best) and
        "agreement" of its predictions with what members earn, and for gradient steps "deterministic": {"curve", "total"}, the
        same agents by the mode of their actions. Also written to evaluation.json in a run's folder, with a table of
        some tasks, the outcomes of each training task by task ("scores"), and, where tasks are places or the inner has a
        belief, a few trials step by step.
    """
    folder = locate(path)
    runs = [folder] if (folder / "weights").is_dir() else [run.path for run in members(folder)]
    per_seed, by_mode, table, seeds, beside_it = list[Found](), list[Found](), [], [], []
    scores: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for number, one in enumerate(runs):
        recipe, family, meta, digest = load(one)
        family = family.split(split) if on is None else _other(family, on).split(split)
        count = tasks or (1000 if family.on_device else 40)
        if count < 2:
            raise ConfigError(f"--tasks {count}: an interval needs at least 2 tasks.")
        world = world_of(family, workers=recipe.workers if workers is None else workers)
        try:
            inner = recipe.inner.with_plan(recipe.evaluation)
            key = jax.random.fold_in(jax.random.key(seed), number)
            found, drawn = Evaluator(inner, family, world, recipe.unit, stochastic=not deterministic).find(meta, count, key)
            per_seed.append(found)
            if recipe.unit == "gradient step" and not deterministic:
                by_mode.append(Evaluator(inner, family, world, recipe.unit, stochastic=False).find(meta, count, key)[0])
            seeds.append(read_json(one / "run.json")["seed"])
            if inner.population and baselines:
                about_it = (family, world, recipe.unit, count, key, not deterministic)
                beside_it.append(rivals(inner, meta, *about_it))
            scores.append({"seed": seeds[-1], **outcomes(found.returns, drawn, recipe.unit)})
            if number == 0:
                table = _table(found.returns, drawn)
                shared = {"recipe": recipe, "family": family, "count": count}
                shared["trials"] = tell(inner, meta, family, world, recipe.unit, jax.random.fold_in(key, 999))
                if baselines:
                    about = {"digest": digest, "split": split, "seed": seed, "tasks": count, "policy": not deterministic}
                    about |= {} if on is None else {"on": on}
                    shared["baselines"] = _baselines(one, about, recipe, family, world, meta, key)
        finally:
            world.close()
    recipe, family = shared["recipe"], shared["family"]
    stacked, measures = _whole(per_seed)
    curve = _over(stacked)
    known = _known(family.name, recipe.unit, stacked.shape[2])
    beside = shared.get("baselines", {}) | known["baselines"]
    if beside_it:
        beside |= _rivals(beside_it, recipe.unit)
        known["oracle"] = {"name": "best of population", "total": float(np.mean([r.best.mean() for r in beside_it]))}
    result = {
        "run": str(path),
        "recipe": recipe.name,
        "family": family.name,
        "split": split,
        "tasks": shared["count"],
        "seed": seed,
        "unit": recipe.unit,
        "policy": "deterministic" if deterministic else "stochastic",
        "curve": curve.curve(),
        "total": _total(stacked, recipe.unit),
        "gain": _over(stacked[:, :, -1] - stacked[:, :, 0]).point(),
        "first_gain": _over(stacked[:, :, min(1, stacked.shape[2] - 1)] - stacked[:, :, 0]).point(),
        "gap": _gap(stacked, recipe.unit, beside, known["oracle"]),
        "baselines": beside,
        "oracle": known["oracle"],
        "seeds": seeds,
        "interval": curve.over,
        "tiny": family.tiny,
        "incomplete": int(sum(np.sum(~np.all(np.isfinite(found.returns), axis=1)) for found in per_seed)),
        "interaction": _interaction(recipe, family),
        **_measures(measures, family, recipe.unit),
        **({"protocol": family.protocol} if family.protocol else {}),
    }
    if on is not None:
        result["trained_on"] = recipe.family
    if beside_it:
        total, single = (np.stack([totals(r, recipe.unit) for r in x]) for x in (stacked, _singles(beside_it)))
        result["score"] = score(total, single, np.stack([r.best for r in beside_it])).point()
        result["agreement"] = {name: float(np.mean([r.agreement[name] for r in beside_it])) for name in beside_it[0].agreement}
    if by_mode:
        modes, measures = _whole(by_mode)
        judged = {"curve": _over(modes).curve(), "total": _total(modes, recipe.unit)}
        result["deterministic"] = judged | _measures(measures, family, recipe.unit)
    kept = "evaluation.json" if on is None else f"evaluation-{on}.json"
    _keep(folder / kept, result | {"per_task": table, "scores": scores, "trials": shared["trials"]})
    return result


def task_map(
    path: str | Path, *, tasks: int = 100, shown: int = 16, seed: int = 0, split: str = "test", learn: int = 0
) -> dict[str, Any]:
    """How adapted agents lie beside each other, and what they earn in each other's tasks.

    Args:
        path: a run folder, a folder of seeds (its first one), or "zoo:NAME".
        tasks: held-out tasks to map; `shown`: how many of them to try each other's agents in.
        learn: training tasks from whose agents a map between tasks is learned; 0: none.

    Returns:
        {"tasks", "numbers" (that an agent consists of), "places" [tasks, 2], "variance" along both axes, "params" [tasks, P],
        "structure" {"rank_correlation", "nearest", "any", "best"}, "transfer" {"tasks", "returns" [shown, shown]: row, adapted
        in; column, acts in for an episode; "own", "others", "unadapted"}, with `learn` "learned" (`evaluate/learned_map.py`)}.
        Also written to map.json in a run's folder, where `innerloop report` finds it.
    """
    from innerloop.evaluate import task_map as maps
    from innerloop.evaluate.learned_map import learned_map

    folder = locate(path)
    one = folder if (folder / "weights").is_dir() else members(folder)[0].path
    recipe, family, meta, _ = load(one)
    if not 3 <= shown <= tasks:
        raise ConfigError(f"--tasks {tasks} --shown {shown}: a map takes 3 tasks at least, and shows no more than it has.")
    family = family.split(split)
    world = world_of(family, workers=recipe.workers)
    try:
        inner = recipe.inner.with_plan(recipe.evaluation)
        found = maps.task_map(inner, meta, family, world, tasks, shown, jax.random.key(seed))
        if learn:
            if split == "train":
                raise ConfigError("a map learned on training tasks is tried on others: take --split test or validation.")
            known = family.split("train")
            told = (inner, meta, known, world_of(known, workers=recipe.workers), (family, world), (learn, tasks))
            found["learned"] = learned_map(*told, jax.random.fold_in(jax.random.key(seed), 1))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    finally:
        world.close()
    found = {"run": str(path), "recipe": recipe.name, "family": family.name, "split": split, "seed": seed} | found
    _keep(folder / "map.json", found)
    return found


def _other(family: Family, name: str) -> Family:
    """Another family, where the agent can live too."""
    other = names.family(name)
    if other.spaces != family.spaces:
        raise ConfigError(
            f"--on {name}: its observations and actions are {other.spaces}, the run's {family.spaces}; accepted: the same."
        )
    return other


def _rivals(found: list[Rivals], unit: str) -> dict[str, Any]:
    """Baselines of a population, over seeds."""
    each = {name: np.stack([r.returns[name] for r in found]) for name in found[0].returns}
    return {name: {"curve": _over(values).curve(), "total": _total(values, unit)} for name, values in each.items()}


def _singles(found: list[Rivals]) -> np.ndarray:
    return np.stack([r.returns["single-best"] for r in found])


def _keep(path: Path, value: dict[str, Any]) -> None:
    """Write beside a run. What the zoo ships stays as it was shipped."""
    if not (path.parent / "weights").is_dir():
        write_json(path, value)


def _known(name: str, unit: str, units: int) -> dict[str, Any]:
    """What is shipped about a family. A trained oracle is known by one episode, and is alike in all of a trial; for gradient
    steps, which are judged by one episode, an oracle's share of the trial. Rules that are no optimum are baselines alone."""
    if name not in oracles.SHIPPED:
        return {"baselines": {}, "oracle": None}
    known = oracles.load(name)
    oracle = known["oracle"]
    if unit != known["unit"]:
        return {"baselines": {}, "oracle": oracle and oracle | {"total": oracle["total"] / known["trial"]}}
    if known["trial"] > units:  # the recipe's trials are shorter
        cut = {name: _cut(found, units) for name, found in known["baselines"].items()}
        if oracle is None:
            return {"baselines": cut, "oracle": None}
        level = cut[oracle["name"]]["total"]["mean"] if oracle["name"] in cut else oracle["total"] * units / known["trial"]
        return {"baselines": cut, "oracle": oracle | {"total": level}}
    if known["trial"] == 1 and units > 1:
        oracle = oracle | {"total": oracle["total"] * units}
        return {"baselines": {name: _repeated(found, units) for name, found in known["baselines"].items()}, "oracle": oracle}
    return known


def _cut(found: dict[str, Any], units: int) -> dict[str, Any]:
    """The first of a trial's units. Their intervals are summed too, which is too wide unless all are exact."""
    curve = found["curve"][:units]
    cut = {"curve": curve, "total": {name: sum(p[name] for p in curve) for name in ("mean", "lo", "hi")}}
    if "measures" not in found:
        return cut
    measures = {}
    for name, measure in found["measures"].items():
        curve = measure["curve"][:units]
        trial = {name: sum(p[name] for p in curve) / units for name in ("mean", "lo", "hi")}
        measures[name] = measure | {"curve": curve, "trial": trial}
    return cut | {"measures": measures}


def _repeated(found: dict[str, Any], units: int) -> dict[str, Any]:
    """One episode's value in each of so many."""
    curve = [found["curve"][0] | {"experience": i} for i in range(units)]
    return {"curve": curve, "total": {name: value * units for name, value in found["total"].items()}}


def _gap(values: np.ndarray, unit: str, beside: dict[str, Any], oracle: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """How much of the way from the same net without adaptation (0) to the oracle (1), both taken as exact, each episode goes;
    None where one of them is not known, or nothing lies between."""
    none = beside.get("no adaptation")
    if unit != "episode" or none is None or oracle is None:
        return None
    units = values.shape[2]
    best = [p["mean"] for p in beside.get(oracle["name"], {}).get("curve", ())] or [oracle["total"] / units] * units
    low = np.array([p["mean"] for p in none["curve"]])
    if len(best) != units or len(low) != units or np.any(np.array(best) <= low):
        return None
    return _over((values - low) / (np.array(best) - low)).curve()


def _whole(per_seed: list[Found]) -> Found:
    """The tasks that gave every unit's return, as many from each seed; leaves [seeds, tasks, units]"""
    kept = [np.flatnonzero(np.all(np.isfinite(found.returns), axis=1)) for found in per_seed]
    least = min(map(len, kept))
    whole = [jax.tree.map(lambda x, rows=rows: x[rows[:least]], found) for rows, found in zip(kept, per_seed, strict=True)]
    return jax.tree.map(lambda *x: np.stack(x), *whole)


def _measures(found: dict[str, np.ndarray], family: Family, unit: str) -> dict[str, Any]:
    """{"measures": {name: {"unit", "per", "curve", "trial"}}} of values [seeds, tasks, units]; {} where the family has none."""
    if not found:
        return {}
    told = {
        name: {
            **measure._asdict(),
            "curve": _over(found[name]).curve(),
            "trial": _over(np.stack([of_trial(x, unit) for x in found[name]])).point(),
        }
        for name, measure in family.measures.items()
    }
    return {"measures": told}


def _total(values: np.ndarray, unit: str) -> dict[str, float]:
    return _over(np.stack([totals(r, unit) for r in values])).point()


def _interaction(recipe: Recipe, family: Family) -> int:
    """Environment steps at most that one unit of experience takes in a task."""
    plan = recipe.evaluation
    of_chunk = plan.steps * plan.streams
    return {"step": 1, "episode": family.horizon, "gradient step": of_chunk, "update": of_chunk}[recipe.unit]


def _over(values: np.ndarray) -> Interval:
    """Over seeds if there are several, else over tasks; values [seeds, tasks, ...]."""
    return over_seeds(values) if values.shape[0] > 1 else over_tasks(values[0])


def _table(returns: np.ndarray, drawn: Any) -> list[dict[str, Any]]:
    rows = []
    for i in range(min(SHOWN, len(returns))):
        params = np.concatenate([np.ravel(x[i]) for x in jax.tree.leaves(drawn.params)] or [np.zeros(0)])
        text = ", ".join(f"{x:.3g}" for x in params[:6]) + (" …" if params.size > 6 else "")
        shown = [float(x) if np.isfinite(x) else None for x in returns[i]]  # None: no stream finished that unit
        rows.append({"task": int(drawn.index[i]), "params": text, "returns": shown})
    return rows


def _baselines(
    folder: Path, about: dict[str, Any], recipe: Recipe, family: Family, world: Any, meta: Any, key: Any
) -> dict[str, Any]:
    """Measured beside the run, and kept in its folder as long as checkpoint and question are the same."""
    cache = folder / "baselines.json"
    if cache.is_file():
        kept = read_json(cache)
        if kept.get("about") == about:
            return kept["baselines"]
    out = {}
    for i, (name, (inner, takes_meta)) in enumerate(registry.baselines(recipe, family).items()):
        out[name] = _measured(inner, takes_meta, about, recipe, family, world, meta, jax.random.fold_in(key, 1000 + i))
    _keep(cache, {"about": about, "baselines": out})
    return out


def _measured(
    inner: Inner, takes_meta: bool, about: dict[str, Any], recipe: Recipe, family: Family, world: Any, meta: Any, key: Any
) -> dict[str, Any]:
    used = meta if takes_meta else inner.init(key)
    count = min(about["tasks"], 2000)
    found, _ = Evaluator(inner, family, world, recipe.unit, stochastic=about["policy"]).find(used, count, key)
    returns, measures = _whole([found])
    beside = {"curve": _over(returns).curve(), "total": _total(returns, recipe.unit)}
    return beside | _measures(measures, family, recipe.unit)
