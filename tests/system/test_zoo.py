"""The zoo: listed, shown, and (slow) evaluated again: every entry comes to what its card says."""

import json
import math

import pytest

from innerloop import catalogue
from innerloop.cli import main

CARDS = {card["name"]: card for card in catalogue.cards()}
WIDER = 3.29 / 1.96  # intervals of 95 % widened to 99.9 %: there are some thirty entries


def said(capsys, *words, status=0):
    assert main(["zoo", *words]) == status
    return capsys.readouterr()


def test_the_list_has_a_row_for_every_entry_and_the_cards_as_json(capsys):
    out = said(capsys).out
    rows = {line.split()[0]: line for line in out.splitlines() if line.split() and line.split()[0] in CARDS}
    assert set(rows) == set(CARDS) and len(CARDS) > 20
    for word in ("rl2", "bandit-k5-n10", "6.64 [6.64, 6.65]", "6.66", "10M steps, 2 min"):
        assert word in rows["rl2-bandit-k5-n10"]
    assert json.loads(said(capsys, "--json").out) == list(CARDS.values())


@pytest.mark.parametrize("name", list(CARDS))
def test_every_card_can_be_shown(name, capsys):
    out = said(capsys, name).out
    assert f"zoo:{name}" in out and "trained by" in out and CARDS[name]["family"] in out


def test_one_card_by_either_name_and_as_json(capsys):
    card = said(capsys, "zoo:rl2-grid-navi", "--json").out
    assert json.loads(card) == CARDS["rl2-grid-navi"] == json.loads(said(capsys, "rl2-grid-navi", "--json").out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "The zoo holds: ad-dark-room"),
        (["runs/first"], "To put a run on the shelf, give --name too"),
        (["../zoo"], "is no entry's name"),
        (["--to", "zoo"], "give the run's folder and --name too"),
        (["--name", "x"], "give the run's folder"),
        (["runs/first", "--name", "x", "--json"], "no --json"),
    ],
)
def test_what_cannot_be_done_is_said(words, message, capsys):
    assert message in said(capsys, *words, status=2).err


def test_a_report_of_an_entry_is_not_written_into_the_zoo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "zoo:rl2-grid-navi", "zoo:varibad-grid-navi", "--format", "md"]) == 0
    assert capsys.readouterr().out.strip() == "report.md"
    assert "varibad over rl2" in (tmp_path / "report.md").read_text("utf-8")
    assert main(["report", "zoo:rl2-grid-navi", "--format", "md", "--out", "x.pdf"]) == 2
    assert "disagree" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CARDS))
def test_an_entry_comes_to_what_its_card_says(name):
    """On half as many tasks (1,000 at most), and others.

    The entry is one of the card's trainings. Where the card's interval of S trainings is over them, one of them lies from their
    mean within √(S − 1) half-widths; where it is over tasks, within one.
    """
    from innerloop import evaluate

    if CARDS[name]["family"].startswith("ml"):
        pytest.importorskip("metaworld", reason="the extra metaworld has an environment of its own")
    result = CARDS[name]["result"]
    options = {"split": result["split"], "deterministic": result["policy"] == "deterministic", "baselines": False}
    tasks = max(2, min(result["tasks"] // 2, 1000))
    again = evaluate(f"zoo:{name}", tasks=tasks, seed=result["seed"] + 1, **options)
    half, half_again = ((found["total"]["hi"] - found["total"]["lo"]) / 2 for found in (result, again))
    factor = math.sqrt(len(result["seeds"]) - 1) if result["interval"] == "seeds" else 1.0
    apart = abs(again["total"]["mean"] - result["total"]["mean"])
    assert apart <= WIDER * math.hypot(factor * half, half_again), (again["total"], result["total"])
