import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import lru_cache

import jax
import numpy as np
import pytest
from test_host import same, world  # noqa: F401  (a fixture)
from walks import HostWalk, setup, walks

from innerloop.core import Plan, replay
from innerloop.worlds import HostFaults

IN_PROCESS = {
    "raise": "raised ValueError: I would rather not",
    "nan observation": "observation is not finite",
    "nan reward": "reward is not finite",
    "outside": "observation outside its space [-9.0, 9.0]",
    "broadcastable shape": "observation of shape (1,), expected (2,)",
    "long shape": "observation of shape (5,), expected (2,)",
    "none": "observation None",
    "text": "observation of type <U1, expected reals",
    "text flag": "terminated is 'yes', expected a bool",
    "sys.exit": "raised SystemExit: 0",
    "two rewards": "reward is array([1., 1.]), expected a number",
    "infinite": "observation is not finite",
}
AT_RESET = {"reset raises": "raised RuntimeError: no start today", "reset nan": "observation is not finite"}
FATAL = {"exit": "died (exit code 3)", "kill": "died (exit code -9)"}
GOALS = [2.0, 0.0, -1.0, 1.0, 0.0, 1.0]  # six tasks, of which one fails: below the share at which the world gives up


PLAN = Plan(2, 10, 3)


@lru_cache
def replayed(inner):
    return jax.jit(jax.vmap(lambda meta, one: replay(inner, meta, one, learn_last=True), (None, 0)))


def both(build, kind, workers, plan=PLAN, **options):
    inner, meta = setup(plan)
    key = jax.random.key(6)
    w = build(HostWalk(), workers=workers, **options)
    clean, _ = w.live(inner, meta, walks(GOALS, 0.5), key)
    assert not w.faults and np.asarray(clean.chunks.mask).all()
    faulty, _ = w.live(inner, meta, walks(GOALS, 0.5, faults=["", kind]), key)
    decisions, _, _ = replayed(inner)(meta, faulty)
    same(faulty.chunks.dist.logits[:, 0], decisions.dist.logits[:, 0], atol=1e-5)
    return clean, faulty, w


def check(clean, faulty, w, reason, at_reset=False):
    assert w.faults and all(f.task == 1 and f.family == "line-walk" for f in w.faults)
    assert {f.reason for f in w.faults} == {reason}
    others = np.arange(len(GOALS)) != 1
    drop = lambda life: jax.tree.map(lambda x: x[others], life._replace(key=None, task=None))  # noqa: E731
    same(drop(clean), drop(faulty))
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(clean.chunks), jax.tree.leaves(faulty.chunks), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.isfinite(np.asarray(b)).all(), jax.tree_util.keystr(path)
    mask, first = np.asarray(faulty.chunks.mask), np.asarray(faulty.chunks.step.first)
    rows = mask.reshape(len(GOALS), -1, mask.shape[-1])
    assert rows[others].all() and rows.sum() == rows.size - w.ledger.discarded
    if at_reset:
        assert rows.all()
    else:
        assert not rows[1].all() and rows[1].any()
        firsts = first.reshape(rows.shape)[1]
        assert firsts[np.argwhere(~rows[1])[0][0]].any()  # masked from the episode's first row on
        ends = np.asarray(faulty.chunks.truncated).reshape(rows.shape)[1]
        last_masked = ~rows[1][:-1] & rows[1][1:]
        assert ends[:-1][last_masked].all() and firsts[1:][last_masked].all()


@pytest.mark.parametrize("kind", IN_PROCESS)
def test_faults_in_process_are_named_masked_and_leave_others_alone(world, kind):  # noqa: F811
    check(*both(world, kind, 0), IN_PROCESS[kind])


@pytest.mark.parametrize("kind", AT_RESET)
def test_episodes_that_do_not_begin_cost_no_rows(world, kind):  # noqa: F811
    check(*both(world, kind, 0), AT_RESET[kind], at_reset=True)


@pytest.mark.parametrize("kind", ["raise", "none"])
def test_faults_in_workers(world, kind):  # noqa: F811
    check(*both(world, kind, 2), IN_PROCESS[kind])


@pytest.mark.parametrize("kind", FATAL)
def test_dead_workers_come_back_where_they_were(world, kind):  # noqa: F811
    clean, faulty, w = both(world, kind, 2)
    check(clean, faulty, w, FATAL[kind])
    assert w._crew.respawns == len(w.faults)


def test_worker_that_dies_in_a_reset(world):  # noqa: F811
    clean, faulty, w = both(world, "reset exits", 1)
    assert {f.reason for f in w.faults} == {"died (exit code 4)"}
    same(*(life.chunks.step.obs[0] for life in (clean, faulty)))


def test_hanging_environment_is_killed_at_its_deadline(world):  # noqa: F811
    clean, faulty, w = both(world, "hang", 2, step_deadline=0.5)
    check(clean, faulty, w, "hung past its deadline of 0.5 s for a step")


def test_faults_are_logged_by_name_and_slot(world, caplog):  # noqa: F811
    with caplog.at_level(logging.WARNING, "innerloop.worlds"):
        _, _, w = both(world, "raise", 0)
    assert "line-walk (task row 1, index 1, stream" in caplog.text and "I would rather not" in caplog.text
    assert w.ledger.count == len(w.faults)


def test_a_discard_reaches_back_through_earlier_chunks_of_the_life(world):  # noqa: F811
    inner, meta = setup(Plan(12, 1, 3))
    w = world(HostWalk(), workers=0)
    life, _ = w.live(inner, meta, walks(GOALS, 0.5, faults=["", "raise"]), jax.random.key(6))
    mask = np.asarray(life.chunks.mask)  # every chunk is one row, and the fault strikes in an episode's second
    assert w.ledger.discarded == 2 * len(w.faults) == (~mask).sum() > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_faults_stop_the_world(world, workers):  # noqa: F811
    inner, meta = setup(Plan(2, 60, 2))
    w = world(HostWalk(), workers=workers)
    with pytest.raises(HostFaults, match=r"environments of line-walk fail again and again.*no start today"):
        w.live(inner, meta, walks([0.0] * 2, faults=["reset raises"] * 2), jax.random.key(0))


def test_worker_killed_while_idle_costs_nothing(world):  # noqa: F811
    inner, meta = setup(PLAN)
    tasks = walks(GOALS, 0.5)
    lives = []
    for murder in (False, True):
        w = world(HostWalk(), workers=2)
        _, cursor = w.live(inner, meta, tasks, jax.random.key(1))
        if murder:
            os.kill(w._crew._processes[0].pid, signal.SIGKILL)
        lives.append(w.live(inner, meta, tasks, jax.random.key(2), cursor, False)[0])
        assert not w.faults
    same(*lives)


def test_a_script_without_main_guard_works_and_its_death_ends_the_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        import jax
        from walks import HostWalk, setup, walks
        from innerloop.core import Plan
        from innerloop.worlds import HostWorld
        inner, meta = setup(Plan(1, 4, 2))
        world = HostWorld(HostWalk(), workers=2)
        world.live(inner, meta, walks([0.0]), jax.random.key(0))
        print(*(p.pid for p in world._crew._processes), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    )
    here = os.path.dirname(__file__)
    paths = [here, os.path.join(here, "..", "..", "src"), os.environ.get("PYTHONPATH", "")]
    out = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    )
    assert out.returncode == -signal.SIGKILL, out.stderr
    pids = [int(p) for p in out.stdout.split()]
    assert len(pids) == 2
    for _ in range(200):
        if not any(os.path.exists(f"/proc/{p}") for p in pids):
            break
        time.sleep(0.05)
    else:
        pytest.fail("workers outlive their parent")
