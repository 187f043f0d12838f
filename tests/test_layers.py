"""The order of the layers: imports point down, nowhere in a circle, and workers stay light.

Read from the sources, not from what happens to be imported.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import innerloop

ROOT = Path(innerloop.__file__).parent
LAYERS = [  # from the bottom up; those of one row may not import each other
    {"version", "core", "outside"},
    {"equations"},
    {"tasks", "worlds"},
    {"nets"},
    {"evaluate"},
    {"run"},
    {"inner", "outer"},
    {"recipes"},
    {"registry"},
    {"requests"},
    {"loading"},
    {"deploy"},
    {
        "api",
        "catalogue",
        "evaluation",
        "recording",
        "two_step",
        "shelf",
        "sweep",
        "hub",
        "completion",
        "arguments",
        "cli",
        "__init__",
        "__main__",
    },
]
LEVEL = {name: i for i, row in enumerate(LAYERS) for name in row}
TOP = len(LAYERS) - 1
BESIDE = {("worlds", "tasks")}  # a world knows what a family is; families know no world


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


MODULES = modules()


def _annotations_only(tree: ast.AST) -> set[ast.AST]:
    """Nodes under `if TYPE_CHECKING:`."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                found.update(ast.walk(child))
    return found


def _resolved(name: str) -> str | None:
    """The module of this package behind a dotted name; None for a name from elsewhere."""
    if name != "innerloop" and not name.startswith("innerloop."):
        return None
    inside = name.removeprefix("innerloop").removeprefix(".")
    while inside and inside not in MODULES:
        inside = inside.rpartition(".")[0]
    return inside or "__init__"


def imported(path: Path, *, at_load: bool = False) -> set[str]:
    """Dotted names that a file imports; with `at_load`, only those needed to import it."""
    tree = ast.parse(path.read_text())
    skipped = _annotations_only(tree) if at_load else set()
    if at_load:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                skipped.update(n for n in ast.walk(node) if n is not node)
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            names.update(f"{node.module}.{a.name}" for a in node.names)
    return names


def inside(name: str, **options: bool) -> set[str]:
    return {m for m in map(_resolved, imported(MODULES[name], **options)) if m is not None and m != name}


def layer(module: str) -> str:
    return module.partition(".")[0]


def test_every_part_has_its_layer():
    assert {layer(m) for m in MODULES} <= set(LEVEL), "say in this test where the new part stands"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str):
    own = layer(name)
    for other in inside(name):
        theirs = layer(other)
        if theirs in (own, "__init__", "version") and theirs != "__init__":
            continue
        if LEVEL[own] == TOP:
            continue
        assert LEVEL[theirs] < LEVEL[own] or (own, theirs) in BESIDE, f"{name} must not import {other}"


def test_no_module_stands_in_a_circle():
    graph = {name: inside(name, at_load=True) - {"__init__"} for name in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_inner_and_outer_never_import_each_other():
    for name in MODULES:
        if layer(name) in ("inner", "outer"):
            other = {"inner": "outer", "outer": "inner"}[layer(name)]
            assert not any(layer(m) == other for m in inside(name)), name


def test_the_core_imports_jax_and_equinox_only():
    allowed = {"jax", "equinox", "innerloop"} | set(sys.stdlib_module_names)
    for name in MODULES:
        if layer(name) == "core":
            assert {n.partition(".")[0] for n in imported(MODULES[name])} <= allowed, name


@pytest.mark.parametrize("part", ["core", "equations", "nets", "inner", "outer"])
def test_the_pure_layers_touch_no_file_clock_or_global_randomness(part: str):
    refused = {"os", "sys", "io", "time", "random", "pathlib", "logging", "subprocess", "numpy", "socket", "threading"}
    for name in MODULES:
        if layer(name) == part:
            assert not {n.partition(".")[0] for n in imported(MODULES[name])} & refused, name
            assert "jax.debug" not in MODULES[name].read_text(), name


def test_nothing_that_executes_what_it_reads_is_imported():
    refused = {"pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"}
    for name, path in MODULES.items():
        assert not {n.partition(".")[0] for n in imported(path)} & refused, name
        called = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not {"eval", "exec"} & {f.id for f in called if isinstance(f, ast.Name)}, name


def test_files_say_what_they_are():
    for name, path in MODULES.items():
        assert ast.get_docstring(ast.parse(path.read_text())), f"{name} has no docstring"


def test_light_modules_import_nothing_heavy():
    """What host workers, `--help` and `list` import: within a process that has nothing yet."""
    light = ["cli", "api", "catalogue", "registry", "run.folder", "run.settings", "tasks.names"]
    light += ["worlds", "worlds.workers", "worlds.bench", "tasks.robot", "tasks.robot_env", "tasks.showing"]
    light += ["tasks.cheetah", "tasks.atari_env", "tasks.procgen_env", "completion", "run.services.follower"]
    code = (
        f"import sys\nfor m in {light!r}: __import__('innerloop.' + m)\n"
        "print([m for m in ('jax', 'equinox', 'optax', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
