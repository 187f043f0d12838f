import json

import pytest

from innerloop.evaluate import oracles

UPPER = {name: oracles.load(name)["bound"]["total"] for name in oracles.SHIPPED if name.startswith("bandit")}


@pytest.mark.parametrize("name", oracles.SHIPPED)
def test_a_shipped_reference_is_complete(name):
    reference = oracles.load(name)
    assert reference["family"] == name
    assert reference["unit"] == ("step" if name.startswith("bandit") else "episode")
    assert isinstance(reference["oracle"]["total"], float) if reference["oracle"] else reference["baselines"]
    for baseline in reference["baselines"].values():
        assert [row["experience"] for row in baseline["curve"]] == list(range(reference["trial"]))
        total = baseline["total"]
        assert total["lo"] <= total["mean"] <= total["hi"]
        assert sum(row["mean"] for row in baseline["curve"]) == pytest.approx(
            total["mean"], abs=max(1e-4, 5e-7 * reference["trial"])
        )
        assert all(row["lo"] <= row["mean"] <= row["hi"] for row in baseline["curve"])


@pytest.mark.parametrize("name", UPPER)
def test_shipped_bandits_are_ordered_and_under_their_bound(name):
    reference = oracles.load(name)
    means = {key: value["total"]["mean"] for key, value in reference["baselines"].items()}
    noise = 2 * (reference["baselines"]["gittins"]["total"]["hi"] - means["gittins"])
    assert means["gittins"] < UPPER[name] + noise and reference["oracle"]["total"] < UPPER[name] + noise
    assert means["random"] == reference["trial"] / 2
    assert set(means) >= {"gittins", "thompson", "ucb1", "ucb1-tuned", "greedy", "random"}
    assert reference["bound"]["total"] <= means["known arm"]
    assert means["random"] < means["thompson"] < means["gittins"] + noise
    tuned = reference["baselines"]["ucb1-tuned"]["total"]  # of fewer tasks
    assert means["ucb1"] < means["ucb1-tuned"] < means["gittins"] + noise + 2 * (tuned["hi"] - tuned["mean"])


def test_shipped_figures_are_the_published_ones():
    def total(name, baseline):
        return oracles.load(name)["baselines"][baseline]["total"]["mean"]

    assert oracles.load("bandit-k5-n10")["oracle"]["total"] == pytest.approx(6.659988, abs=1e-6)
    assert oracles.load("bandit-k10-n10")["oracle"]["total"] == pytest.approx(6.713951, abs=1e-6)
    assert total("bandit-k5-n10", "gittins") == pytest.approx(6.659, abs=0.006)
    assert total("bandit-k5-n100", "gittins") == pytest.approx(78.659, abs=0.02)
    assert total("bandit-k10-n100", "gittins") == pytest.approx(83.783, abs=0.04)
    assert total("bandit-k5-n100", "thompson") == pytest.approx(75.073, abs=0.06)
    assert total("bandit-k5-n100", "greedy") == pytest.approx(75.067, abs=0.06)
    for (k, n), value in {(5, 500): 408.5, (10, 500): 442.2, (50, 500): 465.0, (50, 100): 85.55}.items():
        assert total(f"bandit-k{k}-n{n}", "gittins") == pytest.approx(value, abs=0.1)
    assert oracles.load("tabular-mdp-n10")["oracle"]["total"] == pytest.approx(218.325, abs=0.15)
    assert oracles.load("grid-navi")["oracle"] == {"name": "Bayes-optimal", "total": pytest.approx(37.2143, abs=5e-5)}


@pytest.mark.parametrize(
    "name", ["tabular-mdp-n10", "tabular-mdp-n25", "tabular-mdp-n50", "tabular-mdp-n75", "tabular-mdp-n100"]
)
def test_a_known_mdp_is_as_good_in_every_episode(name):
    reference = oracles.load(name)
    assert reference["oracle"]["total"] == pytest.approx(21.83246 * reference["trial"], abs=1e-3)
    assert reference["oracle"]["total"] < reference["bound"]["total"]
    psrl = [row["mean"] for row in reference["baselines"]["psrl"]["curve"]]
    assert psrl[0] == pytest.approx(10.0, abs=0.2) and psrl[:10] == pytest.approx(sorted(psrl[:10]), abs=0.05)


@pytest.mark.parametrize("name", ["dark-room", "dark-room-hard"])
def test_a_search_and_a_bound_enclose_the_best_trial(name):
    reference = oracles.load(name)
    search = reference["settings"]["systematic search, all goals alike"]
    assert 0.98 * reference["bound"]["total"] < search < reference["bound"]["total"] < reference["oracle"]["total"]


def test_only_a_bandits_bound_is_computed_anew(tmp_path):
    oracles.main(["--bound", "bandit-k5-n100", "--out", str(tmp_path)])
    found, shipped = json.loads((tmp_path / "bandit-k5-n100.json").read_text("utf-8")), oracles.load("bandit-k5-n100")
    assert found.pop("bound")["total"] == pytest.approx(shipped.pop("bound")["total"], abs=1e-4) and found == shipped
    with pytest.raises(ValueError, match="more than 12 pulls"):
        oracles.rebound("bandit-k5-n10")


@pytest.mark.parametrize(
    "name", ["grid-navi", "dark-key-to-door", "semi-circle-pearl", "semi-circle-varibad", "semi-circle-dense", "point-goal"]
)
def test_exact_references_are_what_the_command_computes(name, tmp_path, capsys):
    oracles.main([name, "--out", str(tmp_path)])
    assert json.loads((tmp_path / f"{name}.json").read_text("utf-8")) == oracles.load(name)
    assert capsys.readouterr().out.startswith(f"{name}: ")


def an_oracle_run(folder, **changed):
    point = {"experience": 0, "mean": 300.0, "lo": 290.0, "hi": 310.0}
    found = {"recipe": "oracle", "family": "shown:half-cheetah-dir", "curve": [point], "seeds": [0], "tasks": 40, "seed": 0}
    (folder / "evaluation.json").write_text(json.dumps(found | changed))
    (folder / "run.json").write_text("{}")
    (folder / "recipe.json").write_text('{"steps": 1000}')


def test_a_trained_oracle_is_taken_from_its_evaluated_run(tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    with pytest.raises(ValueError, match="innerloop evaluate"):
        oracles.trained(run)
    an_oracle_run(run, recipe="maml", family="half-cheetah-dir")
    with pytest.raises(ValueError, match="recipe oracle, or of another one on shown:half-cheetah-dir"):
        oracles.trained(run)
    an_oracle_run(run)
    oracles.main(["--run", str(run), "--out", str(out)])
    found = json.loads((out / "half-cheetah-dir.json").read_text("utf-8"))
    assert found["oracle"] == {"name": "task-id oracle, trained", "total": 300.0} and found["trial"] == 1
    assert found["settings"]["train"] == "innerloop train oracle --tasks shown:half-cheetah-dir --steps 1000"
    assert "300.0000" in capsys.readouterr().out


def test_other_sizes_are_computed():
    small = oracles.references("bandit-k3-n4", instances=2_000)
    assert small["trial"] == 4 and small["oracle"]["name"] == "Bayes-optimal"
    assert oracles.references("bandit-k2-n14", instances=2_000)["oracle"]["name"] == "finite-horizon Gittins"
    mdp = oracles.references("tabular-mdp-n3", instances=500)
    assert list(mdp["baselines"]) == ["known MDP", "psrl", "random"] and mdp["baselines"]["random"]["total"]["mean"] == 30.0
    assert json.loads(json.dumps(small)) == small


def test_same_seed_same_reference():
    assert oracles.references("bandit-k2-n3", 3, 500) == oracles.references("bandit-k2-n3", 3, 500)
    assert oracles.references("bandit-k2-n3", 3, 500) != oracles.references("bandit-k2-n3", 4, 500)


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'bandit-k5-n10'"):
        oracles.load("bandit-k5-n1O")
    with pytest.raises(ValueError, match="shipped are"):
        oracles.references("../secrets")
