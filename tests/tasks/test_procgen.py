"""Procgen's levels: disjoint splits, and EnvPool's own environment behind the steps."""

import importlib.util

import jax
import numpy as np
import pytest

from innerloop.tasks.names import family
from innerloop.tasks.procgen_env import ProcgenEnv, assign, package


def playable() -> bool:
    """Whether the extra is installed, and the system's Qt."""
    if importlib.util.find_spec("envpool") is None:
        return False
    try:
        package().make_gymnasium("CoinrunEasy-v0", num_envs=1).close()
    except ImportError:
        return False
    return True


needs_package = pytest.mark.skipif(not playable(), reason="the extra envpool is not installed, or the system has no Qt 5")


@pytest.mark.skipif(importlib.util.find_spec("envpool") is not None, reason="the extra envpool is installed")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ValueError, match=r"pip install 'innerloop\[envpool\]'"):
        family("procgen-coinrun").spaces  # noqa: B018


def test_no_level_stands_in_two_splits():
    env = family("procgen-maze-t50-n2")
    ids = [env.split(which).ids for which in ("train", "validation", "test")]
    assert [i for rows in ids for i in rows] == list(range(env.size)) and len(ids[0]) == 200
    tasks = env.split("validation").sample(jax.random.key(0), 40)
    assert len(set(tasks.index.tolist())) == 40 and set(tasks.params.tolist()) <= set(ids[1])
    assert (env.horizon, env.episodes, env.name) == (50, 2, "procgen-maze-t50-n2")


def test_an_unknown_game_is_told_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'coinrun'"):
        family("procgen-coinrum")


@needs_package
@pytest.mark.parametrize("level", [3, 1500])
def test_a_thousand_steps_are_the_packages(level):
    ours, theirs = ProcgenEnv("bigfish", 10**6), None
    assign(ours, np.int32(level))
    rng, first = np.random.default_rng(0), None
    for step in range(1000):
        if theirs is None:
            seen, _ = ours.reset(seed=step)
            seed = int(np.random.default_rng(np.random.SeedSequence(step)).integers(2**31))
            theirs = package().make_gymnasium("BigfishEasy-v0", num_envs=1, num_levels=1, start_level=level, seed=seed)
            there, info = theirs.reset()
            assert info["level_seed"] == [level]
            np.testing.assert_array_equal(seen, there[0].transpose(1, 2, 0))
            first = seen if first is None else first
            np.testing.assert_array_equal(seen, first)  # the same level in every episode
        action = int(rng.integers(15))
        seen, reward, terminated, truncated, _ = ours.step(action)
        there, paid, over, cut, _ = theirs.step(np.array([action], np.int32))
        np.testing.assert_array_equal(seen, there[0].transpose(1, 2, 0))
        assert (reward, terminated, truncated) == (paid[0], over[0], cut[0])
        if terminated or truncated:
            theirs = None
    ours.close()
