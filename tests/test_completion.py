"""What TAB offers: names of recipes, families, zoo entries and settings, and nothing heavy is imported for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import innerloop
from innerloop.arguments import COMPLETION, parser
from innerloop.cli import main
from innerloop.completion import attach
from innerloop.registry import RECIPES
from innerloop.tasks.names import examples

HEAVY = ("jax", "numpy", "equinox", "gymnasium", "mujoco", "rich", "scipy")


def offered(line: str, folder: Path, point: int | None = None) -> list[str]:
    """What the shell is told after `line`; nothing heavy was imported for it."""
    file = folder / "offered"
    file.unlink(missing_ok=True)
    asked = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1", "COMP_LINE": line,
        "COMP_POINT": str(len(line) if point is None else point), "_ARGCOMPLETE_STDOUT_FILENAME": str(file),
        "PYTHONPATH": str(Path(innerloop.__file__).parents[1]),
    }  # fmt: skip
    code = (
        "import argcomplete, functools, os, sys\nfrom innerloop.cli import main\n"
        "def leave(status):\n"
        f"    print([m for m in {HEAVY} if m in sys.modules], flush=True)\n    os._exit(status)\n"
        "argcomplete.autocomplete = functools.partial(argcomplete.autocomplete, exit_method=leave)\n"
        "main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, cwd=folder, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", (done.stdout, done.stderr[-2000:])
    return [word.strip() for word in file.read_text().splitlines()]


def test_names_are_offered(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "notes.txt").touch()
    assert set(offered("innerloop train ", tmp_path)) >= set(RECIPES)
    assert set(offered("innerloop train rl2 --tasks ban", tmp_path)) >= {"bandit-k5-n10", "bandit-k10-n100"}
    assert {"zoo:rl2-grid-navi", "runs/"} <= set(offered("innerloop evaluate ", tmp_path))
    assert "notes.txt" not in offered("innerloop evaluate ", tmp_path)
    found = offered("innerloop train maml --tasks point-goal --set outer.", tmp_path)
    assert "outer.max_kl=" in found and "outer.clip=" not in found


def test_a_shell_completes(tmp_path):
    """In bash itself, with the colon of zoo:NAME, which bash takes for the end of a word."""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    command = tmp_path / "innerloop"
    command.write_text(f"#!{sys.executable}\nfrom innerloop.cli import main\nraise SystemExit(main())\n")
    command.chmod(0o755)
    line = "innerloop evaluate zoo:rl2-grid"
    script = (
        'eval "$(innerloop completion bash)"\n'
        f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_TYPE=9 COMP_WORDBREAKS=$' \\t\\n:'\n"
        '_python_argcomplete innerloop\necho "${COMPREPLY[@]}"\n'
    )
    here = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(innerloop.__file__).parents[1])}
    done = subprocess.run(["bash", "-c", script], env=here, capture_output=True, text=True)
    assert done.stdout.split() == ["rl2-grid-navi"], done.stderr


def test_every_argument_offers_something_or_nothing():
    """No argument falls back to the names of files where files make no sense."""
    whole = parser()
    attach(whole)
    for verb in next(a for a in whole._actions if a.dest == "verb").choices.values():
        for action in verb._actions:
            if action.choices is None and action.nargs != 0 and action.type is None:
                assert callable(action.completer), action


@pytest.mark.parametrize("shell", COMPLETION)
def test_every_shell_has_its_script(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "innerloop" in script and "_ARGCOMPLETE" in script


def test_families_are_concrete_names():
    from innerloop.completion import families

    assert set(examples()) <= set(families("")) and not any("{" in name for name in families(""))
