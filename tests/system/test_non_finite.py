"""Values that are not finite stay in the task they arose in; a run full of them rolls back, and stops with a word."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from broken import BrokenBandit, poisoned, without

from innerloop.core import Plan
from innerloop.inner.gradient import Gradient
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.ppo import PPO
from innerloop.outer.trpo import TRPO
from innerloop.run import checkpoint
from innerloop.run.config import Recipe, as_dict
from innerloop.run.ending import Diverged
from innerloop.run.folder import RunFolder, read_json
from innerloop.run.log import read_rows
from innerloop.run.train import ROLLBACKS, SKIPS, train
from innerloop.run.trainer import Trainer
from innerloop.tasks.bandit import Bandit
from innerloop.tasks.point_goal import PointGoal
from innerloop.worlds import world_of

TASKS = 6


def recipe(family, method, updates, **more):
    if method == "rl2":
        plan, spaces = Plan(1, family.n, 1), family.spaces
        parts = {"inner": Recurrent(plan, spaces, width=8), "outer": PPO(epochs=1, minibatches=1), "unit": "step"}
    else:
        plan = Plan(2, family.n, 4, True)
        inner = Gradient(plan, family.spaces, hidden=(), weights="return")
        parts = {"inner": inner, "outer": TRPO(cg_steps=3, tries=3), "unit": "gradient step"}
    steps = updates * TASKS * plan.interactions
    return Recipe(
        name=method, family=family.name, **parts, meta_batch=TASKS, steps=steps, evaluation=plan, held_out=10,
        evaluations=2, save_every=1e9, **more,
    ).settled()  # fmt: skip


def trained(folder, family, method, updates, **more):
    made = recipe(family, method, updates, **more)
    with RunFolder.create(folder, as_dict(made), command=["innerloop"], seed=0) as run:
        return train(made, family, run, world_of, seed=0, quiet=True)


def all_finite(tree):
    return all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact))


@pytest.mark.parametrize(("method", "value"), [("rl2", np.nan), ("rl2", np.inf), ("maml", np.nan)])
def test_a_reward_that_is_not_finite_moves_no_other_task(method, value):
    family = Bandit(2, 5)
    made = recipe(family, method, 10)
    world = world_of(family)
    trainer = Trainer(made, family, world)
    state = trainer.first(0).outer
    tasks = family.sample(jax.random.key(1), TASKS)
    lives, _ = world.live(made.inner, made.outer.meta(state), tasks, jax.random.key(2), learn_last=False)
    update = jax.jit(made.outer.update, static_argnums=0)
    key = jax.random.key(3)
    masked, metrics = update(made.inner, state, poisoned(lives, 2, value), key)
    alone, _ = update(made.inner, state, without(lives, 2), key)
    assert float(metrics["masked"]) == pytest.approx(1 / TASKS)
    assert all_finite(masked) and all(np.isfinite(float(x)) for x in metrics.values())
    for got, expected in zip(jax.tree.leaves(masked), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["rl2", "maml"])
def test_one_bad_task_in_each_batch_is_counted_and_the_run_ends(tmp_path, method):
    updates = 12
    trained(tmp_path, BrokenBandit(2, 5), method, updates)
    rows = read_rows(tmp_path / "log.jsonl")
    assert len(rows) == updates
    for row in rows:
        assert row["metrics"]["masked"] == pytest.approx(1 / TASKS) and row["metrics"]["skipped"] == 0.0
        assert all(x is not None for x in row["metrics"].values())
    _, manifest = checkpoint.restore(tmp_path, like(BrokenBandit(2, 5), method, updates))
    assert manifest["extra"]["iteration"] == updates and read_json(tmp_path / "run.json")["status"] == "finished"


def like(family, method, updates):
    made = recipe(family, method, updates)
    return jax.eval_shape(lambda: Trainer(made, family, world_of(family)).first(0))


def test_where_nothing_is_finite_the_run_rolls_back_and_stops(tmp_path):
    method, updates = "rl2", 1000
    with pytest.raises(Diverged, match=rf"{SKIPS} updates in a row .* {ROLLBACKS} roll-backs"):
        trained(tmp_path, BrokenBandit(2, 5, bad=TASKS), method, updates, report_every=7)
    said = (tmp_path / "messages.log").read_text()
    assert said.count("back to update 0, with other random numbers") == ROLLBACKS
    record = read_json(tmp_path / "run.json")
    assert record["status"] == "failed" and record["reason"].startswith("Diverged")
    last = read_rows(tmp_path / "log.jsonl")[-1]["metrics"]
    assert last["skipped"] == 1.0 and last["masked"] == 1.0
    carried, _ = checkpoint.restore(tmp_path, like(BrokenBandit(2, 5), method, updates))
    assert all_finite(carried)


def test_an_inner_step_that_diverges_is_named(tmp_path):
    """The step overflows in every task: nothing moves, and the run ends with the setting to look at."""
    family, plan = PointGoal(), Plan(2, 10, 4, True)
    made = dataclasses.replace(
        recipe(Bandit(2, 5), "maml", 1000, report_every=20),
        family=family.name,
        inner=Gradient(plan, family.spaces, hidden=(8, 8), lr=1e30),
        steps=1000 * TASKS * plan.interactions,
        evaluation=plan,
    )
    with pytest.raises(Diverged, match=r"the inner step diverges \(lower inner.lr, now 1e\+30\).*outer.max_kl, now 0.01"):
        with RunFolder.create(tmp_path, as_dict(made), command=["innerloop"], seed=0) as run:
            train(made, family, run, world_of, seed=0, quiet=True)
    assert read_rows(tmp_path / "log.jsonl")[-1]["metrics"]["masked"] == 1.0


def test_a_bad_spell_is_rolled_back_to_the_anchor(tmp_path, monkeypatch):
    """From update 33 on nothing is finite, until other random numbers come: the run goes back to 30, and ends."""
    learn = Trainer._learn

    def cursed(self, carried, lives, end, key):
        bad = (carried.iteration >= 33) & (carried.branch == 0)
        reward = jnp.where(bad, jnp.nan, lives.chunks.reward)
        return learn(self, carried, lives._replace(chunks=lives.chunks._replace(reward=reward)), end, key)

    monkeypatch.setattr(Trainer, "_learn", cursed)
    digests = [trained(tmp_path / name, Bandit(2, 5), "rl2", 100, keep=1) for name in ("a", "b")]
    assert digests[0] == digests[1]
    assert "up to update 53 were not finite: back to update 30" in (tmp_path / "a" / "messages.log").read_text()
    rows = read_rows(tmp_path / "a" / "log.jsonl")
    assert [row["iteration"] for row in rows] == list(range(1, 101)) and all(row["metrics"]["masked"] == 0 for row in rows)


def test_the_command_says_so_in_a_line(monkeypatch, capsys, tmp_path):
    from innerloop import api, cli

    def diverging(*args, **kwargs):
        raise Diverged("20 updates in a row were not finite.")

    monkeypatch.setattr(api, "train", diverging)
    assert cli.main(["train", "rl2", "--tasks", "bandit-k2-n5"]) == 1
    assert capsys.readouterr().err == "innerloop train: 20 updates in a row were not finite.\n"


def test_an_evaluation_with_an_incomplete_task_is_kept_and_says_so(tmp_path, monkeypatch):
    """Twenty minutes of simulation once ended in an error, since JSON knows no NaN."""
    from innerloop import api, evaluation

    class Holed(evaluation.Evaluator):
        def find(self, *args):
            found, drawn = super().find(*args)
            found.returns[1, -1] = np.nan
            return found, drawn

    monkeypatch.setattr(evaluation, "Evaluator", Holed)
    small = {"meta_batch": 4, "held_out": 2, "evaluations": 1, "outer.minibatches": 2, "inner.width": 4}
    run = api.train("rl2", tasks="bandit-k2-n5", steps=20, out=tmp_path / "run", settings=small, quiet=True)
    result = run.evaluate(tasks=6, baselines=False)
    assert result["incomplete"] == 1 and all(np.isfinite(p["mean"]) for p in result["curve"])
    kept = read_json(run.path / "evaluation.json")
    assert kept["per_task"][1]["returns"][-1] is None and None not in kept["per_task"][0]["returns"]
    assert run.report().is_file()
