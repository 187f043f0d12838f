"""Two colours: what pays changes places, and nothing else tells."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Task
from innerloop.tasks.names import family
from innerloop.tasks.two_colours import COST, PERIOD, Board, Moment

FAMILY = family("two-colours")
STEP = jax.jit(FAMILY.step)


def meet(first: bool, time: int, which: str) -> tuple[float, Board]:
    """The agent steps right, onto a thing."""
    cells = {"agent": 12, "one": 0, "other": 24} | {which: 17}
    state = Moment(Board(**{name: jnp.int32(cell) for name, cell in cells.items()}), jnp.int32(time))
    task = Task(jnp.int32(0), jnp.asarray(first))
    after, _, reward, *_ = STEP(task, state, jnp.int32(2), jax.random.key(time))
    return float(reward), after.board


def test_colours_pay_by_turns():
    for time, turned in ((0, False), (PERIOD - 1, False), (PERIOD, True), (2 * PERIOD - 1, True), (2 * PERIOD, False)):
        for first in (True, False):
            paid = 1.0 if first ^ turned else -1.0
            np.testing.assert_allclose(meet(first, time, "one")[0], paid - COST, rtol=1e-6)
            np.testing.assert_allclose(meet(first, time, "other")[0], -paid - COST, rtol=1e-6)


def test_what_is_met_goes_elsewhere_and_the_other_stays():
    places = set()
    for time in range(40):
        _, board = meet(True, time, "one")
        assert int(board.agent) == 17 and int(board.other) == 24 and int(board.one) not in (17, 24)
        places.add(int(board.one))
    assert len(places) > 10


def test_all_three_begin_apart():
    task = FAMILY.sample(jax.random.key(0), 2)
    boards = jax.vmap(lambda key: FAMILY.reset(jax.tree.map(lambda x: x[0], task), key)[0].board)(
        jax.random.split(jax.random.key(1), 50)
    )
    assert bool(jnp.all((boards.one != boards.other) & (boards.one != boards.agent) & (boards.other != boards.agent)))
