"""The words of the command line: every verb, its options and their help. Nothing heavy, so that `--help` answers at once.

Not what the verbs do (`cli.py`).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

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
