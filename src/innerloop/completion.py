"""Completion in the shell: what may stand where on the command line, by argcomplete.

Not the command line (`cli.py`). It runs at every press of TAB, so that nothing heavy may be imported here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import argcomplete
from argcomplete.completers import DirectoriesCompleter, FilesCompleter, SuppressCompleter
from argcomplete.shell_integration import shellcode


def script(shell: str) -> str:
    """What the shell is to run once, for `innerloop` to be completed."""
    return shellcode(["innerloop"], shell=shell)


def answer(parser: argparse.ArgumentParser) -> None:
    """Tell the shell what may follow, and exit; nothing where it did not ask."""
    attach(parser)
    argcomplete.autocomplete(parser, default_completer=SuppressCompleter())


def attach(parser: argparse.ArgumentParser) -> None:
    """Give every argument what may stand there."""
    completers = {
        "recipe": recipes, "tasks": families, "on": families, "teacher": teachers, "run": runs, "runs": runs, "set": settings,
        "log": services,
    }  # fmt: skip
    for verb, sub in _subparsers(parser).items():
        for action in sub._actions:
            if action.choices is not None or action.nargs == 0:
                continue
            if action.metavar == "FILE":
                completer: Callable[..., Iterable[str]] = FilesCompleter()
            elif action.metavar in ("DIR", "FOLDER") or action.dest in ("out", "to"):
                completer = DirectoriesCompleter()
            elif action.dest == "tasks" and action.type is not None:
                continue  # a number of them
            else:
                completer = completers.get(action.dest, SuppressCompleter())
                if verb == "digest":
                    completer = DirectoriesCompleter()
            action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every verb's parser, those of verbs within verbs too."""
    out: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                out |= {name: sub} | {f"{name} {inner}": deeper for inner, deeper in _subparsers(sub).items()}
    return out


def recipes(prefix: str, **_: object) -> list[str]:
    """Names of recipes."""
    from innerloop.registry import RECIPES

    return list(RECIPES)


def teachers(prefix: str, **_: object) -> list[str]:
    """Names of teachers, and runs."""
    from innerloop.registry import TEACHERS

    return [*TEACHERS, *runs(prefix)]


def families(prefix: str, **_: object) -> list[str]:
    """One name of each family, and those that the zoo was trained on."""
    from innerloop.loading import zoo
    from innerloop.run.folder import FolderError, read_json
    from innerloop.tasks.names import examples

    found = set(examples())
    for path in zoo().glob("*/recipe.json"):
        try:
            found.add(str(read_json(path)["family"]))
        except (FolderError, KeyError):
            continue
    return sorted(found)


def runs(prefix: str, **_: object) -> list[str]:
    """Folders, and the zoo's entries."""
    from innerloop.loading import zoo

    entries = [f"zoo:{path.parent.name}" for path in sorted(zoo().glob("*/recipe.json"))]
    return entries + list(DirectoriesCompleter()(prefix))


def settings(prefix: str, parsed_args: argparse.Namespace | None = None, **_: object) -> list[str]:
    """Names of settings that the zoo's runs of the recipe have: what a recipe itself has is known only once it is imported."""
    from innerloop.loading import zoo
    from innerloop.run.folder import FolderError, read_json
    from innerloop.run.settings import flat

    recipe, found = getattr(parsed_args, "recipe", None), set()
    for path in zoo().glob("*/recipe.json"):
        try:
            stored = read_json(path)
        except FolderError:
            continue
        if recipe in (None, stored.get("name")):
            told = {name: value for name, value in stored.items() if name not in ("name", "family", "request", "extends")}
            found |= {f"{name}=" for name, _ in flat(told)}
    return sorted(found)


def services(prefix: str, **_: object) -> list[str]:
    """Tracking services."""
    from innerloop.run.services.sink import NONE, SERVICES

    return [*SERVICES, NONE]
