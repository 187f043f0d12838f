"""What README and docs say can be typed, followed and found: commands parse, links resolve, excerpts and tables are current."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from innerloop.arguments import parser
from innerloop.registry import RECIPES
from innerloop.tasks.names import family

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = "\n".join(path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SEPARATORS = {"&&", "||", ";", "{", "}"}


def blocks(path: Path, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(path.read_text("utf-8")) if found == language]


def commands(block: str) -> list[list[str]]:
    """The simple commands of a bash block."""
    out: list[list[str]] = []
    for line in re.sub(r"(&&|\\)\s*\n", r"\1 ", block).replace("\\ ", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line.replace(";", " ; "), comments=True), ";"]:
            if word in SEPARATORS:
                out += [words] if words else []
                words = []
            else:
                words.append(word)
    return out


def ours() -> list[tuple[str, list[str]]]:
    """(page, arguments) of every `innerloop …` in a bash block."""
    found = []
    for path in PAGES:
        for block in blocks(path, "bash"):
            found += [(path.name, c[1:]) for c in commands(block) if c[0].split("/")[-1] == "innerloop"]
    return found


@pytest.mark.parametrize(("page", "words"), ours(), ids=lambda x: " ".join(x) if isinstance(x, list) else x)
def test_commands_parse(page: str, words: list[str]):
    """Every command in the docs is one that the command line accepts, with recipes and families that exist."""
    args = parser().parse_args(words)
    recipe, tasks = getattr(args, "recipe", None), getattr(args, "tasks", None)
    if recipe and ":" not in recipe:
        assert recipe in RECIPES
    if isinstance(tasks, str) and ":" not in tasks:
        assert family(tasks)


def test_there_are_commands():
    assert len(ours()) > 20


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_readme_begins_with_the_two_commands(page: str):
    first, second, *_ = blocks(ROOT / page, "bash")
    verbs = [c[1] for c in commands(first) if c[0].endswith("/innerloop")]
    assert verbs == ["train", "evaluate", "report"]
    assert "pip install -q -c constraints.txt ." in first
    assert commands(second)[-1][1:4] == ["-m", "pytest", "-q"]
    assert first == blocks(ROOT / "README.md", "bash")[0]


def anchors(path: Path) -> set[str]:
    """Headings as GitHub names them."""
    text = FENCE.sub("", path.read_text("utf-8"))
    found = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", h.strip().lower())).replace(" ", "-") for h in found}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path):
    """Every relative link leads to a file, and its fragment to a heading there."""
    text = FENCE.sub("", path.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{target} in {path.name}"
        assert not fragment or fragment in anchors(file), f"{target} in {path.name}: {sorted(anchors(file))}"


@pytest.mark.parametrize("name", ["your-own.md", "first-policy.md", "adapt.md"])
def test_excerpts_are_from_the_examples(name: str):
    """Python on these pages is copied from files that the tests run."""
    found = blocks(ROOT / "docs" / name, "python")
    assert found
    for block in found:
        assert block.strip() in EXAMPLES, block


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_what_the_cards_say():
    """If this fails, run `python docs/results_table.py`."""
    assert script("results_table").main(["--check"]) == 0


def test_the_page_of_all_families_is_what_the_zoo_says():
    """If this fails, run `python docs/worlds_table.py`."""
    assert script("worlds_table").main(["--check"]) == 0


def test_the_figure_of_probes_is_what_was_measured():
    """If this fails, run `python docs/probes.py`."""
    assert script("probes").main(["--check"]) == 0


def test_the_table_of_exports_is_what_was_measured():
    """If this fails, run `python docs/export_table.py`."""
    assert script("export_table").main(["--check"]) == 0


def test_a_table_has_a_row_for_each_card():
    card = {
        "name": "rl2-x",
        "recipe": "rl2",
        "seeds": [0, 1],
        "env_steps": 1000,
        "cpu_seconds": [60.0, 180.0],
        "result": {
            "tasks": 5000,
            "unit": "step",
            "curve": [{"experience": 0, "mean": -0.5}, {"experience": 9, "mean": 0.75}],
            "total": {"mean": 6.5, "lo": 6.4, "hi": 6.6},
            "oracle": {"name": "Bayes-optimal", "total": 6.66},
        },
    }
    filled = script("results_table").filled
    text = filled("a\n<!-- zoo rl2 -->\nold\n<!-- /zoo -->\nb", [card, card | {"name": "m", "recipe": "maml"}])
    assert (
        "| `zoo:rl2-x` | −0.50 → 0.75 (steps 0 to 9) | **6.50** [6.40, 6.60] | 6.66 (Bayes-optimal) | 5,000 | 2 | 1,000 | 2 |"
        in text
    )
    assert "old" not in text and "zoo:m" not in text
    assert filled(text, [card]) == text
    assert "No trained entry" in filled("<!-- zoo -->\n<!-- /zoo -->", [])
