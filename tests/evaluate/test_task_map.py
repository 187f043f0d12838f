"""The map between tasks: made-up agents with known figures, agents in each other's tasks, and the section of the report."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.cli import main
from innerloop.core import Plan
from innerloop.evaluate.frozen import Carried, Frozen
from innerloop.evaluate.learned_map import agents, fitted, placed, shape_of, vectors
from innerloop.evaluate.page.task_map import task_map as section
from innerloop.evaluate.task_map import flat, places, structure, transfer
from innerloop.inner.recurrent import Recurrent
from innerloop.loading import load
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld


def test_agents_that_lie_as_tasks_do_are_recognised():
    rng = np.random.default_rng(0)
    params = rng.uniform(-1, 1, (40, 2))
    turned = params @ rng.normal(size=(2, 30)) + 5.0
    near = structure(turned @ np.linalg.qr(rng.normal(size=(30, 30)))[0], params)
    assert near["rank_correlation"] > 0.8 and near["nearest"] < 2 * near["best"] < near["any"]
    xy, share = places(turned)
    assert xy.shape == (40, 2) and share.sum() == pytest.approx(1.0) and share[0] > share[1]
    far = structure(rng.normal(size=(40, 30)), params)
    assert abs(far["rank_correlation"]) < 0.3 and far["nearest"] > 0.6 * far["any"]


def test_numbers_that_all_agents_share_are_left_out():
    fasts = {"same": jnp.ones((5, 3)), "own": jnp.arange(10.0).reshape(5, 2), "count": jnp.arange(5)}
    np.testing.assert_array_equal(flat(fasts), np.arange(10.0).reshape(5, 2))


def test_a_memory_is_carried_into_another_life():
    tasks = family("bandit-k5-n10")
    inner = Recurrent(Plan(1, 10, 1), tasks.spaces, width=8)
    meta = inner.init(jax.random.key(0))
    world = DeviceWorld(tasks)
    drawn = tasks.sample(jax.random.key(1), 2)
    fast = jax.tree.map(lambda x: x[0], world.live(inner, meta, drawn, jax.random.key(2))[1].fast)
    first = {
        kind: world.live(kind(inner), (meta, fast), drawn, jax.random.key(3))[0].chunks.dist.logits[0, 0, 0]
        for kind in (Carried, Frozen)
    }
    fresh = world.live(inner, meta, drawn, jax.random.key(3))[0].chunks.dist.logits[0, 0, 0]
    np.testing.assert_allclose(first[Frozen], fresh, atol=1e-6)
    assert np.abs(np.asarray(first[Carried] - fresh)).max() > 1e-4


def test_agents_do_best_in_their_own_tasks():
    recipe, tasks, meta, _ = load("zoo:varibad-grid-navi")
    inner, world = recipe.inner.with_plan(recipe.evaluation), DeviceWorld(tasks)
    drawn = tasks.sample(jax.random.key(0), 5)
    fasts = world.live(inner, meta, drawn, jax.random.key(1))[1].fast
    matrix = transfer(inner, meta, tasks, world, fasts, drawn, jax.random.key(2))
    assert matrix.shape == (5, 5)
    assert (np.diag(matrix) > 5).all() and matrix[~np.eye(5, dtype=bool)].max() < np.diag(matrix).min()


def test_vectors_are_agents_and_back():
    fasts = {"w": jnp.arange(12.0).reshape(3, 2, 2), "steps": jnp.full(3, 7), "b": jnp.ones((3, 1))}
    rows = vectors(fasts)
    assert rows.shape == (3, 5)
    back = agents(rows, jax.tree.map(lambda x: x[0], fasts))
    jax.tree.map(np.testing.assert_array_equal, back, fasts)
    shape = shape_of(rows)
    assert len(shape.scale) == 1  # the three lie on a line
    again = shape.mean[None] + (placed(shape, rows) * shape.scale[None]) @ shape.axes
    np.testing.assert_allclose(again, rows, atol=1e-4)


def test_a_map_is_learned_where_there_is_one():
    """The place of j is a rotation of what it has shown; that of i says nothing."""
    shown = jax.random.normal(jax.random.key(0), (300, 4))
    turned = shown @ jnp.linalg.qr(jax.random.normal(jax.random.key(1), (4, 4)))[0][:, :2]
    foretell = fitted(jax.random.key(2), turned[:250], shown[:250])
    error = jnp.mean((foretell(jnp.roll(turned, 1, 0)[250:], shown[250:]) - turned[250:]) ** 2)
    assert error < 0.1


def test_the_command_draws_and_the_report_shows(tmp_path, capsys):
    assert main(["map", "zoo:varibad-grid-navi", "--tasks", "12", "--shown", "3"]) == 0
    assert "In an episode of its own task" in capsys.readouterr().out
    assert main(["map", "zoo:varibad-grid-navi", "--tasks", "2"]) == 2
    run = tmp_path / "run"
    small = ["--steps", "20000", "--set", "meta_batch=64", "--set", "evaluations=1", "--quiet", "--out", str(run)]
    assert main(["train", "rl2", "--tasks", "bandit-k5-n10", *small]) == 0
    assert main(["map", str(run), "--tasks", "10", "--shown", "4", "--learn", "20"]) == 0
    assert "A map learned on 20 training tasks" in capsys.readouterr().out
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text("utf-8")
    assert "A map between tasks" in page and page.count("<rect") >= 16
    assert section({}) is None and section({"places": "x", "params": [[1]]}) is None
