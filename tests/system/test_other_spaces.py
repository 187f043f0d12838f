"""A checkpoint is refused where the family's spaces, or the net's sizes, are no longer those it was trained with."""

import json
import shutil

import pytest

from innerloop import loading
from innerloop.run.folder import FolderError


@pytest.mark.parametrize(
    ("name", "field", "value"), [("maml-point-goal", "family", "bandit-k5-n10"), ("maml-point-goal", "hidden", [30])]
)
def test_weights_for_other_spaces_or_sizes_are_refused(tmp_path, name, field, value):
    run = shutil.copytree(loading.zoo() / name, tmp_path / name)
    assert loading.load(run)
    recipe = json.loads((run / "recipe.json").read_text())
    (recipe if field == "family" else recipe["inner"])[field] = value
    (run / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(FolderError, match="the family's spaces, or the recipe's settings, are not those it was trained with"):
        loading.load(run)
