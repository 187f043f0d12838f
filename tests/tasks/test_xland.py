"""XLand: rulesets that are distinct and split by id, and the package's own environment behind them."""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.tasks import xland
from innerloop.tasks.names import family

FEW = 300
needs_package = pytest.mark.skipif(importlib.util.find_spec("xminigrid") is None, reason="the extra xland is not installed")


@pytest.fixture(scope="module", autouse=True)
def fewer():
    """Rulesets of fewer draws, for speed."""
    kept, xland.DRAWN = xland.DRAWN, FEW
    xland.rulesets.cache_clear()
    yield
    xland.DRAWN = kept
    xland.rulesets.cache_clear()


@pytest.mark.skipif(importlib.util.find_spec("xminigrid") is not None, reason="the extra xland is installed")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ValueError, match=r"pip install 'innerloop\[xland\]'"):
        family("xland-small").spaces  # noqa: B018


@pytest.mark.parametrize("level", xland.LAWS)
def test_no_goal_with_the_same_rules_stands_twice(level):
    rules = xland.rulesets(level)
    kinds = {(tuple(g), *sorted(map(tuple, r))) for g, r in zip(rules.goal.tolist(), rules.rules.tolist(), strict=True)}
    env = family(f"xland-{level}")
    assert len(kinds) == len(rules.goal) == env.size and (level == "trivial" or env.size > 0.9 * FEW)
    ids = [env.split(which).ids for which in ("train", "validation", "test")]
    assert [i for rows in ids for i in rows] == list(range(env.size))


@pytest.mark.parametrize("level", xland.LAWS)
def test_every_goal_can_be_made_from_the_first_objects(level):
    # Forward closure: what there is, and what rules make of it, contains the goal's tiles.
    rules = xland.rulesets(level)
    for goal, listed, objects in zip(*(x.tolist() for x in rules), strict=True):
        there = {tuple(x) for x in objects if any(x)}
        while True:
            made = set(there)
            for code, *tiles in listed:
                pairs = [tuple(tiles[i : i + 2]) for i in range(0, 4 if code in (1, 2) else 6, 2)]
                if code and all(tile in made for tile in pairs[:-1]):
                    made.add(pairs[-1])
            if made == there:
                break
            there = made
        wanted = [tuple(goal[i : i + 2]) for i in range(1, 3 if goal[0] in (1, 3) else 5, 2)]
        assert all(tile in there for tile in wanted)


def test_the_same_rulesets_for_everybody():
    assert xland.rulesets("small").goal[:3].tolist() == [[3, 4, 6, 0, 0], [1, 3, 2, 0, 0], [1, 5, 1, 0, 0]]


@needs_package
def test_codes_are_the_packages():
    from xminigrid.core import goals, rules

    a, b, made = (jnp.array(tile) for tile in ((3, 1), (4, 2), (5, 3)))
    assert goals.AgentHoldGoal(tile=a).encode().tolist() == [1, 3, 1, 0, 0]
    assert goals.AgentNearGoal(tile=a).encode().tolist() == [3, 3, 1, 0, 0]
    assert goals.TileNearGoal(tile_a=a, tile_b=b).encode().tolist() == [4, 3, 1, 4, 2]
    assert rules.AgentHoldRule(tile=a, prod_tile=made).encode().tolist() == [1, 3, 1, 5, 3, 0, 0]
    assert rules.AgentNearRule(tile=a, prod_tile=made).encode().tolist() == [2, 3, 1, 5, 3, 0, 0]
    assert rules.TileNearRule(tile_a=a, tile_b=b, prod_tile=made).encode().tolist() == [3, 3, 1, 4, 2, 5, 3]


@needs_package
def test_the_package_may_be_imported_first_within_a_trace():
    code = (
        "import jax; from innerloop.tasks.names import family; from innerloop.tasks import xland; xland.DRAWN = 20\n"
        "env = family('xland-trivial'); task = jax.tree.map(lambda x: x[0], env.sample(jax.random.key(0), 1))\n"
        "jax.eval_shape(env.reset, task, jax.random.key(1)); jax.eval_shape(env.reset, task, jax.random.key(1))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_package
def test_a_life_is_the_packages():
    import xminigrid
    from xminigrid.types import RuleSet

    env = family("xland-small")
    task = jax.tree.map(lambda x: x[0], env.sample(jax.random.key(0), 1))
    theirs, params = xminigrid.make("XLand-MiniGrid-R1-9x9")
    params = params.replace(ruleset=RuleSet(goal=task.params.goal, rules=task.params.rules, init_tiles=task.params.objects))
    key = jax.random.key(7)
    with jax.numpy_rank_promotion("allow"):
        there, step = jax.jit(theirs.reset)(params, key), jax.jit(theirs.step)
        state, obs = jax.jit(env.reset)(task, key)
        ours = jax.jit(env.step)
        for action in np.random.default_rng(0).integers(0, 6, 40):
            there = step(params, there, int(action))
            state, obs, reward, terminated, truncated = ours(task, state, jnp.int32(action), key)
            seen = np.stack([np.array(obs[:25]), np.array(obs[25:])], -1).reshape(5, 5, 2)
            np.testing.assert_array_equal(seen, there.observation)
            assert reward == there.reward and bool(terminated) == (there.discount == 0.0) and not truncated
            if terminated:
                break


@needs_package
def test_episodes_of_one_task_begin_elsewhere():
    env = family("xland-trivial")
    tasks = env.sample(jax.random.key(0), 2)
    task = jax.tree.map(lambda x: x[0], tasks)
    state, _ = jax.jit(jax.vmap(env.reset, (None, 0)))(task, jax.random.split(jax.random.key(1), 8))
    assert len({tuple(np.ravel(grid).tolist()) for grid in np.asarray(state.grid)}) == 8
