"""The command line. Arguments are parsed before anything heavy is imported, so that `--help` answers at once.

Not the work itself: that is `api.py`, which can be called from Python just as well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from innerloop.version import __version__

COMPLETION = {  # shell: where its script is to be put
    "bash": 'eval "$(innerloop completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(innerloop completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "innerloop completion fish > ~/.config/fish/completions/innerloop.fish",
}
EXAMPLES = """examples:
  innerloop train rl2 --tasks bandit-k5-n10 --out runs/first
  innerloop evaluate runs/first --tasks 10000
  innerloop report runs/first
  innerloop train maml --tasks point-goal --set outer.max_kl=0.005 --seed 0:5
  innerloop adapt zoo:rl2-grid-navi
"""


def _seeds(text: str) -> int | list[int]:
    """ "7" → 7; "0:5" → [0, 1, 2, 3, 4]"""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if match and match[2] is None:
        return int(match[1])
    if match and int(match[1]) < int(match[2]):
        return list(range(int(match[1]), int(match[2])))
    raise argparse.ArgumentTypeError(f"{text!r} is no seed; accepted: a whole number, or a range such as 0:5")


def _count(text: str) -> int:
    """ "2000000", "2e6", "2_000_000" → 2000000"""
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        number = 0.5
    if number < 1 or not number.is_integer():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps; accepted: whole numbers from 1, as 2000000 or 2e6")
    return int(number)


def _agents(text: str) -> int | None:
    return None if text == "any" else _count(text)


def _steps(text: str) -> int:
    return 0 if text == "0" else _count(text)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="innerloop",
        description="Deep meta-reinforcement learning: train agents that learn new tasks in a few episodes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"innerloop {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="command", required=True)

    train = verbs.add_parser("train", help="meta-train over many tasks", description="Meta-train, or resume a run.")
    train.add_argument("recipe", nargs="?", help="a recipe's name, as `innerloop list` has it")
    train.add_argument("--recipe", dest="own", metavar="MODULE:MAKE", help="a recipe of your own: package.module:make")
    train.add_argument("--tasks", help="the task family, as `innerloop list` has it")
    _own_environment(train)
    train.add_argument("--seed", type=_seeds, default=0, metavar="N|A:B", help="one seed, or a range: several runs")
    train.add_argument(
        "--steps", type=_steps, help="environment steps of training (default: the recipe's; 0: none, use what start= names)"
    )
    train.add_argument("--out", type=Path, help="the run folder (default: a new one in runs/)")
    train.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR, bit for bit")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting: --set outer.lr=3e-4")
    train.add_argument("--config", type=Path, metavar="FILE", help="settings from a TOML file")
    train.add_argument(
        "--log",
        action="append",
        metavar="SERVICE",
        help="pass the log on: wandb, mlflow or MODULE:MAKE (with --resume: none too)",
    )
    train.add_argument("--quiet", action="store_true", help="show warnings only")

    sweep = verbs.add_parser(
        "sweep",
        help="search settings, chosen on validation tasks",
        description="Try settings by Optuna, each trial a run of its own. Needs innerloop[sweep].",
    )
    sweep.add_argument("recipe", nargs="?", help="a recipe's name, or package.module:make")
    sweep.add_argument("--tasks", help="the task family")
    _own_environment(sweep)
    sweep.add_argument(
        "--trial",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="a setting to search: 1e-4:1e-2:log, 2:6 or 32,64,128",
    )
    sweep.add_argument("--trials", type=_count, metavar="N", help="to try in all (default: 20)")
    sweep.add_argument("--steps", type=_count, help="environment steps of each trial (default: the recipe's)")
    sweep.add_argument("--seed", type=int, help="of the search and of every trial (default: 0)")
    sweep.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of every trial")
    sweep.add_argument("--config", type=Path, metavar="FILE", help="settings of every trial from a TOML file")
    sweep.add_argument("--no-prune", action="store_true", help="train every trial to its end")
    sweep.add_argument("--log", action="append", metavar="SERVICE", help="pass the trials' logs on, as `train` does")
    sweep.add_argument("--out", type=Path, metavar="DIR", help="where; a new folder")
    sweep.add_argument("--resume", type=Path, metavar="DIR", help="go on with the sweep in DIR (with --trials: to that many)")
    sweep.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    adapt = verbs.add_parser(
        "adapt",
        help="adapt an agent to your environment, and keep it",
        description="Let an agent live some episodes of one task, beside the same policy without adaptation, and save it.",
    )
    adapt.add_argument("run", nargs="?", help="a run folder, a folder of seeds (its first), or zoo:NAME")
    adapt.add_argument("--from", dest="resume", type=Path, metavar="DIR", help="go on with what an earlier `adapt` wrote")
    adapt.add_argument("--env", metavar="MODULE:MAKE", help="make(**task) returns a gymnasium.Env; one task is drawn")
    adapt.add_argument(
        "--vary", action="append", default=[], metavar="NAME=VALUES", help="arguments: 5:15, 1e-3:1:log or 2,3,4"
    )
    adapt.add_argument("--max-steps", type=_count, help="steps after which an episode is cut (default: by its TimeLimit)")
    adapt.add_argument("--on", metavar="FAMILY", help="a held-out task of this family (default: of the run's own)")
    adapt.add_argument(
        "--episodes", dest="count", type=_count, metavar="N", help="to live (default: what the method was made for)"
    )
    adapt.add_argument("--seed", type=int, help="which task, episodes and actions (default: 0)")
    adapt.add_argument("--out", type=Path, metavar="DIR", help="where (default: a new folder in adapted/, or that of --from)")
    adapt.add_argument("--video", action="store_true", help="film an episode before and after, where the environment renders")
    adapt.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    adapt.set_defaults(episodes=None)

    serve = verbs.add_parser(
        "serve",
        help="sessions of an adapting agent over HTTP and WebSocket",
        description="Serve an agent: each session has a task of its own and adapts to it. Needs innerloop[serve].",
    )
    serve.add_argument("run", help="a run folder, a folder of seeds (its first), or zoo:NAME")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine's own)")
    serve.add_argument("--port", type=int, default=8088, help="0: any that is free (default: 8088)")
    serve.add_argument(
        "--token-file", type=Path, metavar="FILE", help="what clients must show; without it only this machine is served"
    )
    serve.add_argument("--slots", type=_count, default=1024, metavar="N", help="sessions at once (default: 1024)")
    serve.add_argument("--per-client", type=_count, metavar="N", help="sessions of one address (default: all)")
    serve.add_argument("--ttl", type=_count, default=600, metavar="SECONDS", help="idle sessions end (default: 600)")
    serve.add_argument("--width", type=_count, default=8, metavar="N", help="agents in one call of the device (default: 8)")
    serve.add_argument("--horizon", type=_count, metavar="STEPS", help="of your episodes at most, where not the run's")
    serve.add_argument("--state", type=Path, metavar="DIR", help="where saved sessions lie (default: a folder in served/)")

    demo = verbs.add_parser(
        "demo",
        help="a page on which agents of the zoo adapt, in your browser",
        description="Export agents of the zoo, and open a page on which they adapt. Needs innerloop[export].",
    )
    demo.add_argument("--fetch", action="store_true", help="get onnxruntime-web (14 MB) by npm, once")
    demo.add_argument("--runtime", type=Path, metavar="DIR", help="an unpacked onnxruntime-web, in place of --fetch")
    demo.add_argument("--port", type=int, default=8090, help="0: any that is free (default: 8090)")
    demo.add_argument("--build", type=Path, metavar="DIR", help="write the site to DIR, for any web server, and stop")
    demo.add_argument("--no-browser", action="store_true", help="say where it is, open nothing")

    evaluate = verbs.add_parser("evaluate", help="adapt to held-out tasks and measure")
    evaluate.add_argument("run", help="a run folder, a folder of seeds, or zoo:NAME")
    evaluate.add_argument("--tasks", type=_count, help="held-out tasks to draw (default: 1000; 40 for simulators)")
    evaluate.add_argument("--seed", type=int, default=0, help="which tasks (default: 0)")
    evaluate.add_argument("--split", choices=("train", "validation", "test"), default="test")
    evaluate.add_argument("--on", metavar="FAMILY", help="adapt in another family with the same observations and actions")
    evaluate.add_argument("--deterministic", action="store_true", help="act by the mode, not by sampling")
    evaluate.add_argument("--no-baselines", action="store_true", help="the run's own curve only")
    evaluate.add_argument("--workers", type=int, help="processes for host environments (default: the recipe's)")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    chart = verbs.add_parser("map", help="how adapted agents lie beside each other, and what they earn in each other's tasks")
    chart.add_argument("run", help="a run folder, a folder of seeds, or zoo:NAME")
    chart.add_argument("--tasks", type=_count, default=100, help="held-out tasks to map (default: 100)")
    chart.add_argument("--shown", type=_count, default=16, help="of these, in the transfer matrix (default: 16)")
    chart.add_argument("--learn", type=int, default=0, metavar="N", help="learn a map between tasks from N training tasks")
    chart.add_argument("--seed", type=int, default=0, help="which tasks (default: 0)")
    chart.add_argument("--split", choices=("train", "validation", "test"), default="test")
    chart.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    record = verbs.add_parser(
        "record",
        help="record learning histories to train on",
        description="Let a teacher live a long life in each of many tasks, and keep what it met and did.",
    )
    record.add_argument("teacher", help="q-learning, policy-gradient, random, a run folder, or zoo:NAME")
    record.add_argument("--tasks", help="the task family (default: that of the run)")
    record.add_argument("--count", type=_count, required=True, help="histories, each in a task of its own if there are enough")
    record.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where; histories already there are kept")
    record.add_argument("--episodes", type=_count, help="in each history (default: 20 trials; one where steps are the unit)")
    record.add_argument("--split", choices=("train", "validation", "test"), default="train")
    record.add_argument("--seed", type=int, default=0, help="which tasks and chances (default: 0)")

    report = verbs.add_parser(
        "report",
        help="one self-contained page about a run, or several compared",
        description="Write a page about one run or several, which are compared where they can be; or Markdown, or a figure.",
    )
    report.add_argument("runs", nargs="+", help="run folders, folders of seeds, or zoo:NAME")
    report.add_argument("--out", type=Path, help="where (default: report.html in the first folder)")
    report.add_argument(
        "--format", choices=("html", "md", "svg", "pdf"), help="default: as --out ends; figures need innerloop[figure]"
    )

    export = verbs.add_parser(
        "export",
        help="write the adapting agent as ONNX or SavedModel, to run without JAX",
        description="Write what an agent does in a life (begin, observe, decide, learn) as graphs, with a runner in numpy.",
    )
    export.add_argument("run", help="a run folder, a folder of seeds (its first), or zoo:NAME")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    export.add_argument("--format", choices=("onnx", "savedmodel"), default="onnx", help="(default: onnx)")
    export.add_argument("--agents", type=_agents, default=1, metavar="N|any", help="independent agents in a call (default: 1)")
    export.add_argument("--streams", type=_count, default=1, help="environments of one task that each acts in (default: 1)")
    export.add_argument("--horizon", type=_count, help="steps in an episode at most, where that is not the run's")
    export.add_argument("--verify", type=_count, default=0, metavar="N", help="compare with the original over N whole trials")
    export.add_argument("--seed", type=int, default=0, help="which trials (default: 0)")
    export.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    send = verbs.add_parser("send", help="send what a tracking service has not taken of a run's log")
    send.add_argument("run", type=Path, help="a run folder, or a folder of seeds")
    send.add_argument(
        "--log", action="append", default=[], metavar="SERVICE", help="wandb, mlflow or MODULE:MAKE (default: the run's)"
    )

    digest = verbs.add_parser("digest", help="one digest of all that a run's training carries")
    digest.add_argument("run", type=Path)

    verbs.add_parser("list", help="recipes, task families and the zoo")

    check = verbs.add_parser("check", help="check a configuration, or an environment of your own, before anything compiles")
    check.add_argument("recipe", nargs="?", help="a recipe's name, or package.module:make")
    check.add_argument("--tasks", help="the task family")
    check.add_argument("--steps", type=_count)
    check.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    check.add_argument("--config", type=Path, metavar="FILE")
    _own_environment(check)

    shelf = verbs.add_parser(
        "zoo",
        help="the trained agents that are shipped; or put a finished run among them",
        description="Without a run: every entry. With a NAME of one: its card. With a run and --name: put it on the shelf.",
    )
    shelf.add_argument("run", nargs="?", help="an entry's NAME or zoo:NAME; with --name a finished run's folder")
    shelf.add_argument("--name", help="put the run on the shelf under recipe-family, for example rl2-grid-navi")
    shelf.add_argument("--to", type=Path, help="the shelf it is put on (default: ./zoo)")
    shelf.add_argument("--json", action="store_true", help="print the cards as JSON and nothing else")

    hub = verbs.add_parser("hub", help="upload and download runs, at the Hugging Face Hub. Needs innerloop[hub]")
    ways = hub.add_subparsers(dest="way", metavar="push|pull", required=True)
    push = ways.add_parser("push", help="upload a finished, evaluated run as a zoo entry with a model card")
    push.add_argument("run", help="a run folder, a folder of seeds (its first), a pulled folder, or zoo:NAME")
    push.add_argument("repo", metavar="ORG/NAME", help="made if it is not there")
    push.add_argument("--private", action="store_true", help="make it a private one")
    push.add_argument("--licence", "--license", metavar="ID", help="as the Hub names it, for example apache-2.0")
    push.add_argument("--message", default="", help="of the commit")
    pull = ways.add_parser("pull", help="download an entry and verify it")
    pull.add_argument("repo", metavar="ORG/NAME")
    pull.add_argument("--out", type=Path, required=True, metavar="DIR", help="where; a new folder")
    pull.add_argument("--revision", help="a branch, a tag or a commit (default: main)")
    pull.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE:MAKE",
        help="a module of yours that its recipe or family may name",
    )

    completion = verbs.add_parser(
        "completion",
        help="a script by which your shell completes innerloop's arguments",
        description="Print a script for the shell.",
        epilog="\n".join(f"{shell:<5} {line}" for shell, line in COMPLETION.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", choices=tuple(COMPLETION))
    return top


def _own_environment(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--env", metavar="MODULE:MAKE", help="in place of --tasks: make(**task) returns a gymnasium.Env")
    verb.add_argument("--vary", action="append", default=[], metavar="NAME=VALUES", help="arguments: 5:15, 1e-3:1:log or 2,3,4")
    verb.add_argument("--max-steps", type=_count, help="steps after which an episode is cut (default: by its TimeLimit)")
    verb.add_argument("--episodes", type=_count, help="episodes in a trial (default: 3)")


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
