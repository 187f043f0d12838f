"""References of a family that depend on no run: the oracle and the classical baselines, computed or read as shipped.

`python -m innerloop.evaluate.oracles NAME…` computes and writes the shipped files (no NAME: all that are computed, some
minutes); nobody writes them by hand. Where no optimum can be computed (simulators), the oracle is a policy that was trained
with the task shown to it (recipe `oracle`), and `… oracles --run DIR` writes what `innerloop evaluate DIR` found.

A reference is {"family", "unit", "trial", "oracle": {"name", "total"} or None, "bound": {"name", "total"}, "baselines": {name:
{"curve": [{"experience", "mean", "lo", "hi"}], "total": {"mean", "lo", "hi"}}}, "settings"}: `unit` is "step" (bandits: one
pull) or "episode", `trial` the units in a trial, `experience` counts units from 0, a point is the mean undiscounted return
over one unit, `total` the sum over the trial. An interval of width 0 marks an exact value. Where a method is judged by a
single episode (point-goal after gradient steps), the oracle is `oracle["total"] / trial`. `bound`, where there is one, is a
total that no policy's expectation exceeds, unlike an oracle that is merely the best policy known.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from innerloop.evaluate import bandit_bound, bandit_strategies, dark_oracle, gittins, grid_oracle, mdp_oracle, robot_oracle
from innerloop.evaluate.statistics import Interval

INSTANCES = 1_000_000
TRAINED = ("half-cheetah-dir",)
COMPUTED = (
    *(f"bandit-k{k}-n{n}" for n in (10, 100, 500) for k in (5, 10, 50)),
    *(f"tabular-mdp-n{n}" for n in (10, 25, 50, 75, 100)),
    "grid-navi",
    "dark-room",
    "dark-room-hard",
    "dark-key-to-door",
    "point-goal",
    "semi-circle-pearl",
    "semi-circle-varibad",
    "semi-circle-dense",
    "market-making",
    "market-making-beyond",
    "insulin-dosing",
    "insulin-dosing-unannounced",
)
SHIPPED = (*COMPUTED, *TRAINED)
_ROBOTS = {  # name: (episodes in a trial, value per episode)
    "point-goal": (3, robot_oracle.point_goal),
    "semi-circle-pearl": (6, robot_oracle.semi_circle_pearl),
    "semi-circle-varibad": (3, robot_oracle.semi_circle_varibad),
    "semi-circle-dense": (3, robot_oracle.semi_circle_dense),
}
_MARKETS = ("market-making", "market-making-beyond")
_INSULIN = ("insulin-dosing", "insulin-dosing-unannounced")
_GRID_EPISODES = 4
_CONSTANTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)  # tried for tuned UCB1
_EXACT_PULLS = 12  # up to here the Bayes-optimal value of a bandit takes seconds
_LARGEST_PULLS = 600  # the table of indices takes 0.9 GB and some minutes
_FULL_COST = 1000  # pulls × arms up to which all instances are simulated; beyond, in proportion fewer
_FORESEEN = 4000  # simulated tasks of the bound by foresight


def references(family_name: str, seed: int = 0, instances: int = INSTANCES) -> dict[str, Any]:
    """Compute what a result on this family is measured against.

    Args:
        family_name: one of COMPUTED, or another bandit-k{K}-n{N} (N ≤ 600) or tabular-mdp-n{N}.
        seed: of simulated tasks and strategies.
        instances: simulated tasks of the main strategies; Thompson sampling, PSRL and tuning take a tenth of them,
            the Gittins policy four times as many where it stands as the oracle. Long trials take fewer, so that no
            family takes more than some minutes.

    Returns:
        The reference described at the top of this file, of plain dicts, lists, strings and numbers.
    """
    if bandit := re.fullmatch(r"bandit-k([1-9]\d*)-n([1-9]\d*)", family_name):
        found = _bandit(int(bandit[1]), int(bandit[2]), seed, instances)
    elif mdp := re.fullmatch(r"tabular-mdp-n([1-9]\d*)", family_name):
        found = _tabular_mdp(int(mdp[1]), seed, instances)
    elif family_name == "grid-navi":
        found = _grid_navi()
    elif re.fullmatch(r"dark-(room|room-hard|key-to-door)(-n[1-9]\d*)?", family_name):
        found = _dark_room(family_name)
    elif family_name in _MARKETS:
        found = _market(family_name, min(instances, 100_000))
    elif family_name in _INSULIN:
        found = _insulin(family_name, seed, min(instances, 30_000))
    elif family_name in _ROBOTS:
        found = _robot(*_ROBOTS[family_name])
    else:
        raise ValueError(_unknown(family_name))
    return _rounded({"family": family_name, **found})


def load(family_name: str) -> dict[str, Any]:
    """The shipped reference of a family; ValueError, saying what is accepted, if none is shipped."""
    if family_name not in SHIPPED:
        raise ValueError(_unknown(family_name))
    return json.loads(resources.files("innerloop.evaluate").joinpath("data", f"{family_name}.json").read_text("utf-8"))


def write(family_name: str, folder: Path | None = None, seed: int = 0, instances: int = INSTANCES) -> Path:
    """Compute a reference and write it as JSON to `folder`, by default where `load` reads it; returns the file."""
    return _write(references(family_name, seed, instances), folder)


def rebound(family_name: str, seed: int = 0) -> dict[str, Any]:
    """The shipped reference of a bandit with its bound computed anew, which is quicker than all of it."""
    reference = load(family_name)
    bandit = re.fullmatch(r"bandit-k([1-9]\d*)-n([1-9]\d*)", family_name)
    if not bandit or reference["trial"] <= _EXACT_PULLS:
        raise ValueError(
            f"the bound of {family_name} is exact or the oracle's; accepted: a bandit of more than {_EXACT_PULLS} pulls"
        )
    return _rounded(reference | {"bound": _bandit_bound(int(bandit[1]), int(bandit[2]), seed)})


def trained(run: Path) -> dict[str, Any]:
    """The reference of a family whose oracle is a trained policy, from the folder of such a run (or of its seeds), evaluated.

    Raises:
        ValueError: the run's family does not show its task, or it was not evaluated yet.
    """
    if not (run / "evaluation.json").is_file():
        raise ValueError(f"{run} has no evaluation.json; run `innerloop evaluate {run}` first")
    found = json.loads((run / "evaluation.json").read_text("utf-8"))
    family = found["family"].removeprefix("shown:")
    if family == found["family"]:
        raise ValueError(
            f"{run} is a run of {found['recipe']} on {found['family']}, which hides its task; accepted: a run of recipe "
            f"oracle, or of another one on shown:{found['family']}"
        )
    point = found["curve"][0]
    value = {"curve": [point], "total": {name: point[name] for name in ("mean", "lo", "hi")}}
    runs = [run] if (run / "run.json").is_file() else [run / f"seed-{seed}" for seed in found["seeds"]]
    steps = {json.loads((one / "recipe.json").read_text("utf-8"))["steps"] for one in runs}
    settings = {
        "train": f"innerloop train {found['recipe']} --tasks {found['family']} --steps {max(steps)}",
        "seeds": found["seeds"],
        "evaluate": f"--tasks {found['tasks']} --seed {found['seed']}",
    }
    oracle = {"name": "task-id oracle, trained", "total": point["mean"]}
    shown = {"unit": "episode", "trial": 1, "oracle": oracle, "baselines": {"task-id oracle": value}, "settings": settings}
    return _rounded({"family": family, **shown})


def _write(reference: dict[str, Any], folder: Path | None) -> Path:
    folder = Path(__file__).parent / "data" if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{reference['family']}.json"
    path.write_text(json.dumps(reference, indent=1) + "\n", "utf-8")
    return path


def _bandit(k: int, n: int, seed: int, instances: int) -> dict[str, Any]:
    if n > _LARGEST_PULLS:
        raise ValueError(f"bandit-k{k}-n{n}: the index table grows as n³; accepted is n ≤ {_LARGEST_PULLS}")
    instances = max(instances * _FULL_COST // max(n * k, _FULL_COST), 2 * k + 2)
    tenth = max(instances // 10, 2 * k + 2)

    def tuned_total(c: float) -> float:
        return float(bandit_strategies.simulate(bandit_strategies.tuned_ucb1(c), n, k, tenth, seed + 1)[1].mean)

    constant = max(_CONSTANTS, key=tuned_total)
    plans = {
        "gittins": (bandit_strategies.gittins(n), instances if n <= _EXACT_PULLS else 4 * instances),  # the oracle: finer
        "thompson": (bandit_strategies.thompson, tenth),
        "ucb1": (bandit_strategies.ucb1, instances),
        "ucb1-tuned": (bandit_strategies.tuned_ucb1(constant), instances),
        "greedy": (bandit_strategies.greedy, instances),
    }
    baselines = {name: _baseline(*bandit_strategies.simulate(s, n, k, count, seed)) for name, (s, count) in plans.items()}
    baselines["random"] = _exact([0.5] * n)
    baselines["known arm"] = _exact([k / (k + 1)] * n)
    if n <= _EXACT_PULLS:
        bound = oracle = {"name": "Bayes-optimal", "total": gittins.bayes_optimal(n, k)}
    else:
        oracle = {"name": "finite-horizon Gittins", "total": baselines["gittins"]["total"]["mean"]}
        bound = _bandit_bound(k, n, seed)
    settings = {"seed": seed, "instances": {name: count for name, (_, count) in plans.items()}, "ucb1-tuned": {"c": constant}}
    return {"unit": "step", "trial": n, "oracle": oracle, "bound": bound, "baselines": baselines, "settings": settings}


def _bandit_bound(k: int, n: int, seed: int) -> dict[str, Any]:
    """The least of the upper bounds."""
    bounds = {
        "known arm": n * k / (k + 1),
        "Lagrangian relaxation": bandit_bound.lagrangian(n, k, min(400, 75_000 // n)),  # some minutes at most
        "foreseen rewards": bandit_bound.foreseen(n, k, _FORESEEN, seed + 2),
    }
    name = min(bounds, key=lambda name: bounds[name])
    return {"name": name, "total": bounds[name]}


def _market(name: str, instances: int) -> dict[str, Any]:
    """Dynamic programming with the regime known, over regimes of the test split."""
    import jax

    from innerloop.tasks.names import family

    tasks = family(name).split("test")
    value = jax.jit(lambda key: tasks.best(tasks.sample(key, 1000)))
    best = np.concatenate([np.asarray(value(jax.random.key(i))) for i in range(-(-instances // 1000))])
    mean, half, n = float(best.mean()), 1.96 * float(best.std(ddof=1)) / np.sqrt(best.size), tasks.episodes
    one = (mean, mean - half, mean + half)
    known = _baseline(Interval(*(np.full(n, x) for x in one), "tasks"), Interval(*(n * x for x in one), "tasks"))
    return {
        "unit": "episode",
        "trial": n,
        "oracle": {"name": "known regime", "total": n * mean},
        "bound": {"name": "known regime", "total": n * mean},
        "baselines": {"known regime": known},
        "settings": {"instances": int(best.size)},
    }


def _insulin(name: str, seed: int, days: int) -> dict[str, Any]:
    from innerloop.evaluate import insulin_oracle

    return insulin_oracle.reference(name, seed, days)


def _tabular_mdp(episodes: int, seed: int, instances: int) -> dict[str, Any]:
    tenth = max(instances // max(episodes, 10), 2)  # PSRL takes time for every episode
    known = mdp_oracle.known_mdp(instances, seed)
    curve = Interval(*(np.full(episodes, bound) for bound in known[:3]), "tasks")
    total = Interval(*(episodes * bound for bound in known[:3]), "tasks")
    baselines = {
        "known MDP": _baseline(curve, total),
        "psrl": _baseline(*mdp_oracle.psrl(episodes, tenth, seed)),
        "random": _exact([mdp_oracle.RANDOM] * episodes),
    }
    return {
        "unit": "episode",
        "trial": episodes,
        "oracle": {"name": "known MDP", "total": float(total.mean)},
        "bound": {"name": "known MDP", "total": float(total.hi)},
        "baselines": baselines,
        "settings": {"seed": seed, "instances": {"known MDP": instances, "psrl": tenth}},
    }


def _grid_navi() -> dict[str, Any]:
    best = grid_oracle.bayes_optimal(_GRID_EPISODES)
    baselines = {
        "Bayes-optimal": _exact(best),
        "known goal": _exact([grid_oracle.known_goal_mean()] * _GRID_EPISODES),
        "random": _exact([grid_oracle.random_walk()] * _GRID_EPISODES),
    }
    oracle = {"name": "Bayes-optimal", "total": sum(best)}
    return {"unit": "episode", "trial": _GRID_EPISODES, "oracle": oracle, "baselines": baselines, "settings": {}}


def _dark_room(name: str) -> dict[str, Any]:
    """On the held-out goals, by which a run is judged; the bound on a search is for all goals alike."""
    from innerloop.tasks import dark_room, names

    family: Any = names.family(name, which="test")
    episodes = family.episodes
    settings: dict[str, Any] = {"goals": "test"}
    if isinstance(family, dark_room.DarkKeyToDoor):
        random = dark_oracle.random_key_to_door(family.side, family.horizon, family.tasks[family.ids])
        values = {"known key and door": [2.0] * episodes, "random": [float(random.mean())] * episodes}
        bound = {"name": "known key and door", "total": 2.0 * episodes}
    else:
        room = (family.side, family.horizon, isinstance(family, dark_room.DarkRoom))
        x, y = family.tasks[family.ids].T
        found = dark_oracle.search(*room, episodes)
        values = {
            "known goal": [float(dark_oracle.known_goal(*room)[x, y].mean())] * episodes,
            "systematic search": found[x, y].mean(0).tolist(),
            "random": [float(dark_oracle.random_walk(*room)[x, y].mean())] * episodes,
        }
        bound = {"name": "any search, all goals alike", "total": dark_oracle.bound(*room, episodes)}
        settings["systematic search, all goals alike"] = float(found.mean((0, 1)).sum())
    known = next(iter(values))
    return {
        "unit": "episode",
        "trial": episodes,
        "oracle": {"name": known, "total": sum(values[known])},
        "bound": bound,
        "baselines": {name: _exact(curve) for name, curve in values.items()},
        "settings": settings,
    }


def _robot(episodes: int, value: Any) -> dict[str, Any]:
    known = _exact([value()] * episodes)
    oracle = {"name": "known goal", "total": known["total"]["mean"]}
    return {"unit": "episode", "trial": episodes, "oracle": oracle, "baselines": {"known goal": known}, "settings": {}}


def _baseline(curve: Interval, total: Interval) -> dict[str, Any]:
    return {"curve": curve.curve(), "total": total.point()}


def _exact(curve: list[float]) -> dict[str, Any]:
    points, total = np.asarray(curve), np.asarray(sum(curve))
    return _baseline(Interval(points, points, points, "tasks"), Interval(total, total, total, "tasks"))


def _rounded(value: Any) -> Any:
    """Floats to six decimals: far below every interval, and the last bits differ between machines."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, SHIPPED, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    computed = "bandit-k{K}-n{N} and tabular-mdp-n{N} of other sizes are computed by references()"
    return f"no reference for family {name!r}{hint}; shipped are {', '.join(SHIPPED)}; {computed}"


def main(arguments: list[str] | None = None) -> None:
    """Write the shipped references of the named families."""
    parser = argparse.ArgumentParser(prog="python -m innerloop.evaluate.oracles", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(COMPUTED)}")
    parser.add_argument("--run", type=Path, metavar="DIR", help="write a trained oracle's reference instead")
    parser.add_argument("--seed", type=int, default=0, help="of simulated tasks and strategies (default 0)")
    parser.add_argument("--instances", type=int, default=INSTANCES, help=f"simulated tasks (default {INSTANCES})")
    parser.add_argument("--out", type=Path, default=None, help="folder (default: the package's own data)")
    parser.add_argument("--bound", action="store_true", help="of bandits: compute the bound anew and keep the rest as shipped")
    given = parser.parse_args(arguments)
    if given.bound:
        for name in given.names:
            _announce(_write(rebound(name, given.seed), given.out))
        return
    if given.run:
        _announce(_write(trained(given.run), given.out))
        return
    for name in given.names or COMPUTED:
        _announce(write(name, given.out, given.seed, given.instances))


def _announce(path: Path) -> None:
    reference = json.loads(path.read_text("utf-8"))
    best = reference["oracle"]
    said = f"{best['name']} {best['total']:.4f}" if best else f"no oracle, {len(reference['baselines'])} baselines"
    print(f"{reference['family']}: {said} -> {path}", flush=True)


if __name__ == "__main__":
    main()
