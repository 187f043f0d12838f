"""A vector environment of one is stepped as the environment in it, in every autoreset mode."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from innerloop.tasks.names import family
from innerloop.tasks.single import single
from innerloop.worlds.check import check_environment


def cartpole():
    return gymnasium.make("CartPole-v1", max_episode_steps=20)


def vector(mode="SAME_STEP", count=1):
    return SyncVectorEnv([cartpole] * count, autoreset_mode=AutoresetMode[mode])


def pair():
    return vector(count=2)


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_a_thousand_random_steps_are_the_same(mode):
    mine, original, rng = single(vector(mode)), cartpole(), np.random.default_rng(0)
    assert (mine.observation_space, mine.action_space) == (original.observation_space, original.action_space)
    over, episodes = True, 0
    for _ in range(1000):
        if over:
            episodes += 1
            np.testing.assert_array_equal(mine.reset(seed=episodes)[0], original.reset(seed=episodes)[0])
        action = int(rng.integers(2))
        obs, reward, terminated, truncated, _ = mine.step(action)
        seen, earned, ended, cut, _ = original.step(action)
        np.testing.assert_array_equal(obs, seen)
        assert (reward, terminated, truncated) == (earned, ended, cut)
        over = ended or cut
    assert episodes > 40
    mine.close()


def test_it_is_a_family_like_others():
    name = f"env:{__name__}:vector?max-steps=20"
    assert family(name).horizon == 20
    assert check_environment(f"{__name__}:vector", [{"mode": "SAME_STEP"}, {"mode": "DISABLED"}], 20).problems == []


def test_more_than_one_is_refused():
    with pytest.raises(ValueError, match="accepted: an Env, or a vector environment of one"):
        single(pair())
    with pytest.raises(ValueError, match="a vector environment of 2"):
        assert family(f"env:{__name__}:pair").spaces
