"""The table maker: every cell of the published tables has a row, ours where a card is, and a dash where none is."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def maker():
    spec = importlib.util.spec_from_file_location("in_context_tables", ROOT / "benchmarks" / "in_context_tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_has_a_row_for_each_published_cell(tmp_path, capsys):
    total = {"mean": 6.6433, "lo": 6.6367, "hi": 6.65}
    card = {"name": "x", "recipe": "rl2", "family": "bandit-k5-n10", "seeds": [0, 1], "result": {"tasks": 5000, "total": total}}
    (tmp_path / "zoo" / "x").mkdir(parents=True)
    (tmp_path / "zoo" / "x" / "card.json").write_text(json.dumps(card))
    maker().main(["--zoo", str(tmp_path / "zoo"), "--out", str(tmp_path)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(lines) == 14 and lines == [x for x in (tmp_path / "in-context.md").read_text("utf-8").splitlines() if x in lines]
    assert "| **6.643** [6.637, 6.650] (rl2, 2 seeds, 5,000 tasks) |" in lines[0] and "6.660 (Bayes-optimal)" in lines[0]
    assert all(line.endswith("| – |") for line in lines[1:])
    tables = json.loads((tmp_path / "in-context.json").read_text("utf-8"))
    assert tables["bandit"][2]["published"] == {"RL²": 6.8, "SNAIL": 6.7} and tables["bandit"][2]["bound"]["total"] < 6.8
