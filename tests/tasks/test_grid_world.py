"""LPG's grid worlds: mazes are connected, objects pay, end and return as they should, and walls hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks.grid_world import LONG, MAZES, SHORT, SIDE, GridWorld, Level, Standing

FAMILY = GridWorld()


def reached(wall):
    """Cells that can be walked to from (0, 0)."""
    seen, todo = {(0, 0)}, [(0, 0)]
    while todo:
        x, y = todo.pop()
        for to in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if min(to) >= 0 and max(to) < SIDE and not wall[to] and to not in seen:
                seen.add(to)
                todo.append(to)
    return seen


def test_mazes_are_trees_and_different():
    for name, side in (("validation", 7), ("test", 9)):
        mazes = MAZES[name].reshape(-1, SIDE, SIDE)
        assert len({m.tobytes() for m in mazes}) > 0.8 * len(mazes)
        rooms = ((side + 1) // 2) ** 2
        for wall in mazes:
            assert (~wall).sum() == 2 * rooms - 1 == len(reached(wall))  # rooms, and a door less between them


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_levels_follow_their_laws(split):
    level = FAMILY.split(split).sample(jax.random.key(0), 2000).params
    wall = np.asarray(level.wall)
    cells = np.concatenate([np.asarray(level.start)[:, None], np.asarray(level.place)], 1)
    assert not np.take_along_axis(wall, cells, 1).any()
    assert all(len(set(row)) == 3 for row in cells.tolist())
    low, high = SHORT if split == "train" else LONG
    assert level.limit.min() == low and level.limit.max() == high
    assert 0.01 <= level.ends.min() and level.ends.max() <= 1 and 0.001 <= level.returns.min() and level.returns.max() <= 0.1
    assert (level.pays[:, 0] >= 0).all()
    if split == "train":
        assert set(np.asarray(level.there).sum(1)) == {1, 2} and (level.pays[:, 1] < 0).mean() == pytest.approx(0.5, abs=0.05)
        sides = (~wall.reshape(-1, SIDE, SIDE)).any(2).sum(1)
        assert sides.max() == 6 and sides.min() >= 3
    else:
        assert level.there.all() and (level.pays >= 0).all()


def open_level(**changes):
    wall = jnp.zeros(SIDE**2, bool).at[1].set(True)
    level = Level(
        wall, jnp.int32(0), jnp.array([SIDE, 5]), jnp.array([True, True]), jnp.array([2.0, -1.0]),
        jnp.array([0.0, 1.0]), jnp.array([0.0, 0.25]), jnp.int32(30),
    )  # fmt: skip
    return Task(jnp.int32(-1), level._replace(**changes))


def test_moves_walls_and_objects():
    task, key = open_level(), jax.random.key(0)
    state, obs = FAMILY.reset(task, key)
    assert obs == 3 * SIDE**2
    stays, *_ = FAMILY.step(task, state, jnp.int32(1), key)  # up, into the wall at cell 1
    assert stays.cell == 0
    takes, obs, reward, terminated, _ = FAMILY.step(task, state, jnp.int32(2), key)  # right, onto the first object
    assert takes.cell == SIDE and reward == 2.0 and not terminated and obs == 2 * SIDE**2 + SIDE
    again, _, reward, *_ = FAMILY.step(task, takes, jnp.int32(0), key)  # it is gone, and never comes back
    assert reward == 0.0 and not again.there[0]
    before = Standing(jnp.int32(4), jnp.array([False, True]), jnp.int32(29))
    _, _, reward, terminated, truncated = FAMILY.step(task, before, jnp.int32(1), key)
    assert reward == -1.0 and terminated and truncated


def test_objects_come_back_by_their_probability():
    task = open_level()
    gone = Standing(jnp.int32(0), jnp.array([False, False]), jnp.int32(0))
    back = jax.vmap(lambda k: FAMILY.step(task, gone, jnp.int32(0), k)[0].there)(jax.random.split(jax.random.key(1), 4000))
    assert not back[:, 0].any() and back[:, 1].mean() == pytest.approx(0.25, abs=0.03)
