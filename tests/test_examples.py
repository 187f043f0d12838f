"""The examples run, and say what the docs say they do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import innerloop

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "01_train_adapt_report": "report:",
    "02_own_recipe": "Bayes-optimal",
    "03_first_policy": "naive",
    "04_host_environment": "after 4 gradient steps",
    "05_your_environment": "episode 2: balanced",
    "06_adapt": "both go on alike: True",
    "07_jax_environment": "episode 2: return",
    "08_keras_policy": "after 4 gradient steps",
}


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path):
    here = os.environ | {"PYTHONPATH": str(Path(innerloop.__file__).parents[1]), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert SAYS[path.stem] in done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_is_short(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= 90
