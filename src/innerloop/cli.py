"""The command line. Arguments are parsed before anything heavy is imported, so that `--help` answers at once.

Not the work itself: that is `api.py`, which can be called from Python just as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from innerloop.arguments import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0, 1 where a run failed, 2 where what was asked cannot be done, 130 on Ctrl-C."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may follow
        from innerloop.completion import answer

        answer(parser())
    args = parser().parse_args(argv)
    if "" not in sys.path:
        sys.path.append("")  # a user's own recipe lies beside where the command is run
    try:
        return globals()[f"_{args.verb}"](args) or 0
    except KeyboardInterrupt:
        print(f"innerloop {args.verb}: interrupted" + _advice(args), file=sys.stderr)
        return 130
    except BrokenPipeError:  # `innerloop list | head`
        sys.stderr.close()
        return 1
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        print(f"innerloop {args.verb}: {error}", file=sys.stderr)
        return status


def _advice(args: argparse.Namespace) -> str:
    ways = {
        "train": "; `innerloop train --resume DIR` goes on from the last checkpoint.",
        "sweep": "; `innerloop sweep --resume DIR` goes on.",
        "adapt": "; what had been adapted by whole episodes is saved, and `innerloop adapt --from DIR` goes on.",
    }
    return ways.get(args.verb, ".")


def _status(error: Exception) -> int | None:
    """The exit status of an error whose message is meant for the user; None for a bug, which shows its traceback."""
    from innerloop.run.ending import Diverged
    from innerloop.run.folder import FolderError
    from innerloop.run.settings import ConfigError

    if isinstance(error, (ConfigError, FolderError)):
        return 2
    films = sys.modules.get("innerloop.deploy.video")
    if films and isinstance(error, films.NoPillow):
        return 2
    expected: tuple[type[Exception], ...] = (Diverged, OSError)
    # Loaded only where there are environments.
    for module, name in (("innerloop.worlds.faults", "HostFaults"), ("innerloop.deploy.adaptation", "Stopped")):
        expected += (getattr(sys.modules[module], name),) if module in sys.modules else ()
    return 1 if isinstance(error, expected) else None


def _request(args: argparse.Namespace) -> dict[str, Any]:
    from innerloop.run.settings import ConfigError, parse_settings, read_toml

    recipe, tasks = getattr(args, "own", None) or args.recipe, args.tasks or _environment(args)
    if not recipe or not tasks:
        raise ConfigError("give a recipe and --tasks, for example: rl2 --tasks bandit-k5-n10 (see `innerloop list`).")
    file = read_toml(args.config) if args.config else {}
    return {"recipe": recipe, "tasks": tasks, "steps": args.steps, "file": file, "settings": parse_settings(args.set)}


def _environment(args: argparse.Namespace) -> str | None:
    """The name of the family that --env and its kin come to."""
    from innerloop.run.settings import ConfigError

    given = [option for option in ("vary", "max_steps", "episodes") if getattr(args, option)]
    if not args.env:
        if given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')} is about an environment of your own; give --env MODULE:MAKE too."
            )
        return None
    from innerloop.tasks.own import named

    try:
        return named(args.env, args.vary, {"max-steps": args.max_steps, "episodes": args.episodes})
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _train(args: argparse.Namespace) -> None:
    from innerloop import api

    if args.resume:
        if args.recipe or args.own or args.tasks or args.set or args.config or args.out:
            from innerloop.run.settings import ConfigError

            raise ConfigError(
                "--resume goes on with the recipe in the folder; of other settings it takes --steps alone, to train longer "
                "(and --log)."
            )
        runs = api.resume(args.resume, steps=args.steps, quiet=args.quiet, log=args.log)
    else:
        request = _request(args)
        options = {"seed": args.seed, "out": args.out, "quiet": args.quiet, "log": args.log or ()}
        made = api.train(request.pop("recipe"), **options, **request)
        runs = made if isinstance(made, list) else [made]
    for run in runs:
        print(f"{run.path}  digest {run.digest}")
    if not args.quiet:
        where = runs[0].path if len(runs) == 1 else runs[0].path.parent
        print(f"next: innerloop evaluate {where}; innerloop report {where}")


def _sweep(args: argparse.Namespace) -> None:
    from innerloop.run.settings import ConfigError

    if args.resume:
        given = [
            name for name in ("recipe", "tasks", "env", "trial", "steps", "set", "config", "out", "log") if getattr(args, name)
        ]
        if given or args.seed is not None or args.no_prune:
            raise ConfigError(
                "--resume goes on with what is in the folder; beside it only --trials may be given, for more of them."
            )
    elif not args.out:
        raise ConfigError("give --out DIR, where the trials are to lie (or --resume DIR).")
    from innerloop import sweep

    def each(row: dict[str, Any]) -> None:
        print(sweep.line(row), file=sys.stderr, flush=True)

    if args.resume:
        told = sweep.resume(args.resume, trials=args.trials, each=each)
    else:
        with_values = [text.partition("=") for text in args.trial]
        for (name, equals, _), text in zip(with_values, args.trial, strict=True):
            if not equals or not name:
                raise ConfigError(f"--trial takes NAME=VALUES, for example outer.lr=1e-4:1e-2:log; given {text!r}.")
        request = _request(args)
        options = {"trials": args.trials or 20, "seed": args.seed or 0, "out": args.out, "prune": not args.no_prune}
        trial = {name.strip(): values for name, _, values in with_values}
        told = sweep.sweep(request.pop("recipe"), **request, **options, trial=trial, log=args.log or (), each=each)
    print(json.dumps(told, allow_nan=False) if args.json else sweep.said(told))


def _evaluate(args: argparse.Namespace) -> None:
    from rich.console import Console

    from innerloop import api

    with Console(stderr=True).status("adapting to held-out tasks: the run, then its baselines"):
        result = api.evaluate(
            args.run, tasks=args.tasks, seed=args.seed, split=args.split, deterministic=args.deterministic,
            baselines=not args.no_baselines, workers=args.workers, on=args.on,
        )  # fmt: skip
    if args.json:
        print(json.dumps(result, allow_nan=False))
        return
    from innerloop.evaluate.table import show

    show(result)


def _adapt(args: argparse.Namespace) -> None:
    from rich.console import Console

    from innerloop import api
    from innerloop.run.settings import ConfigError

    env = _environment(args)
    if env and args.on:
        raise ConfigError("--env and --on name two environments; give one of them.")
    if (args.seed or 0) < 0:
        raise ConfigError(f"--seed {args.seed}: accepted: a whole number from 0.")
    options = {name: getattr(args, name) for name in ("on", "resume", "seed", "out", "video")}
    with Console(stderr=True).status("adapting") as status:

        def each(number: int, count: int, earned: float) -> None:
            status.update(f"adapting: episode {number + 1} of {count} returned {earned:.4g}")

        result = api.adapt(args.run, env=env, episodes=args.count, each=each, **options)
    if args.json:
        print(json.dumps(result, allow_nan=False))
        return
    from innerloop.deploy.table import show

    show(result)
    print(f"next: innerloop adapt --from {Path(result['agent']).parent} --episodes 3")


def _serve(args: argparse.Namespace) -> None:
    import time

    from innerloop import api
    from innerloop.run.settings import ConfigError

    try:
        from innerloop.deploy.server import read_token, serve
    except ImportError as missing:
        if not str(missing).startswith("serving needs"):
            raise
        raise ConfigError(str(missing)) from None
    from innerloop.deploy.sessions import Sessions

    agent = api.load(args.run, horizon=args.horizon)
    try:
        token = read_token(args.token_file) if args.token_file else None
        home = args.state or Path("served") / str(agent.card["digest"])[:12]
        limits = {"slots": args.slots, "share": args.per_client or args.slots, "ttl": float(args.ttl), "width": args.width}
        sessions = Sessions(agent, home, **limits, clock=time.monotonic)
        recipe = agent.card["recipe"]
        about = f"{recipe['name']} on {recipe['family']}; schema at /openapi.json, metrics at /metrics; Ctrl-C stops"
        serve(sessions, args.host, args.port, token, lambda at: print(f"{at}  {about}", flush=True))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _demo(args: argparse.Namespace) -> None:
    import webbrowser

    from innerloop.deploy import demo

    site = demo.build(args.build or demo.cache() / "demo", demo.runtime(args.runtime, fetch=args.fetch), print)
    if args.build:
        print(f"{site}  a folder for any web server; it must be served, not opened as a file")
        return
    with demo.server(site, args.port) as server:
        at = f"http://127.0.0.1:{server.server_address[1]}/"
        print(f"{at}  Ctrl-C stops", flush=True)
        if not args.no_browser:
            webbrowser.open(at)
        server.serve_forever()


def _map(args: argparse.Namespace) -> None:
    from rich.console import Console

    from innerloop.evaluate.page.task_map import said
    from innerloop.evaluation import task_map

    options = {name: getattr(args, name) for name in ("tasks", "shown", "seed", "split", "learn")}
    with Console(stderr=True).status("adapting to held-out tasks, and trying each agent in the others'"):
        found = task_map(args.run, **options)
    print(json.dumps(found, allow_nan=False) if args.json else said(found))


def _record(args: argparse.Namespace) -> None:
    from rich.console import Console

    from innerloop import api

    options = {name: getattr(args, name) for name in ("tasks", "count", "out", "episodes", "split", "seed")}
    with Console(stderr=True).status("recording histories"):
        path = api.record(args.teacher, **options)
    print(path)
    print(f"next: innerloop train ad --tasks … --set histories={args.out}")


def _report(args: argparse.Namespace) -> None:
    from innerloop import api

    print(api.report(args.runs, args.out, args.format))


def _export(args: argparse.Namespace) -> None:
    from rich.console import Console

    from innerloop import api

    options = {name: getattr(args, name) for name in ("format", "agents", "streams", "horizon", "verify", "seed")}
    with Console(stderr=True).status("exporting" + (" and comparing" if args.verify else "")):
        made = api.export(args.run, args.out, **options)
    if args.json:
        print(json.dumps(made, allow_nan=False))
        return
    print(f"{made['path']}: {', '.join(made['files'])}")
    if made["verified"]:
        from innerloop.deploy.fidelity import said

        print(said(made["verified"]))
    print(f"next: cd {made['path']} && python -c 'from run_agent import Agent; print(Agent().begin().state.keys())'")


def _send(args: argparse.Namespace) -> None:
    from innerloop import api

    for run, services in api.send(args.run, args.log).items():
        for service, iteration in services.items():
            print(f"{run}: {service} has every row, to update {iteration}")


def _hub(args: argparse.Namespace) -> None:
    from innerloop import hub

    if args.way == "push":
        print(hub.push(args.run, args.repo, private=args.private, licence=args.licence, message=args.message))
        return
    card = hub.pull(args.repo, args.out, revision=args.revision, trust=args.trust)
    print(f"{args.out}: {hub.describe(card)}")
    print(f"next: innerloop evaluate {args.out}; innerloop adapt {args.out}")


def _completion(args: argparse.Namespace) -> None:
    from innerloop.completion import script

    print(script(args.shell))


def _digest(args: argparse.Namespace) -> None:
    from innerloop import api

    print(api.digest(args.run))


def _list(args: argparse.Namespace) -> None:
    from innerloop.loading import zoo
    from innerloop.registry import RECIPES, TEACHERS
    from innerloop.tasks.names import names

    print("recipes")
    for name, (_, line) in RECIPES.items():
        print(f"  {name:<10} {line}")
    print("teachers (of `innerloop record`)")
    for name, (_, line) in TEACHERS.items():
        print(f"  {name:<15} {line}")
    print("task families (capitals stand for numbers)")
    for name in names():
        print(f"  {name}")
    print("zoo")
    for path in sorted(zoo().glob("*/recipe.json")):
        print(f"  zoo:{path.parent.name}")


def _check(args: argparse.Namespace) -> int:
    from innerloop.requests import examined, furnished, resolve
    from innerloop.run.settings import ConfigError

    name = _environment(args)
    if name and not args.tasks:
        found = examined(name)
        for problem in found.problems:
            print(f"✗ {problem}")
        for remark in found.remarks:
            print(f"? {remark}")
        if found.problems:
            return 1
        print(f"✓ {args.env} is ready to be adapted to")
    if not args.recipe:
        if name:
            return 0
        raise ConfigError("give a recipe and --tasks, or --env MODULE:MAKE.")
    recipe, family = furnished(*resolve(_request(args)))
    print(f"✓ {recipe.name} on {family.name}: {recipe.updates} updates of {recipe.interactions:,} environment steps")
    return 0


def _zoo(args: argparse.Namespace) -> None:
    from innerloop.run.settings import ConfigError

    if not args.name:
        if args.to:
            raise ConfigError("--to is about putting a run on a shelf; give the run's folder and --name too.")
        from innerloop import catalogue

        found = catalogue.card(args.run) if args.run else catalogue.cards()
        if args.json:
            print(json.dumps(found, allow_nan=False))
        elif isinstance(found, dict):
            catalogue.show(found)
        else:
            catalogue.listed(found)
        return
    if not args.run or args.json:
        raise ConfigError("--name puts a run on the shelf: give the run's folder, and no --json.")
    from innerloop.shelf import put

    try:
        print(put(Path(args.run), args.name, args.to or Path("zoo")))
    except ValueError as error:
        raise ConfigError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
