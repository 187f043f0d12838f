"""Outcomes by task: what was paid in all, and a name for the tasks that does not depend on the agent."""

from types import SimpleNamespace

import numpy as np

from innerloop.evaluate.outcomes import SCORED, outcomes


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    return SimpleNamespace(params={"goal": rng.normal(size=(count, 2))}, index=np.full(count, -1, np.int32))


def test_outcomes_are_totals_or_the_last_gradient_step():
    returns = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert outcomes(returns, drawn(2), "episode")["outcomes"] == [3.0, 7.0]
    assert outcomes(returns, drawn(2), "gradient step")["outcomes"] == [2.0, 4.0]


def test_a_task_without_every_return_keeps_its_place():
    returns = np.array([[1.0, np.nan], [3.0, 4.0]])
    assert outcomes(returns, drawn(2), "episode")["outcomes"] == [None, 7.0]


def test_the_digest_names_the_tasks_alone():
    one, other = (outcomes(np.full((3, 2), x), drawn(3), "episode")["drawn"] for x in (1.0, 2.0))
    assert one == other != outcomes(np.ones((3, 2)), drawn(3, seed=1), "episode")["drawn"]


def test_no_more_than_so_many_tasks_are_kept():
    assert len(outcomes(np.ones((SCORED + 5, 1)), drawn(SCORED + 5), "step")["outcomes"]) == SCORED
