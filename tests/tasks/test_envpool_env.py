"""EnvPool's environments as a user's own: the pool's observations and rewards, step by step."""

import importlib.util

import numpy as np
import pytest

from innerloop.tasks import switching
from innerloop.tasks.names import family

INSTALLED = importlib.util.find_spec("envpool") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="the extra envpool is not installed")


@pytest.mark.skipif(INSTALLED, reason="the extra envpool is installed")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ValueError, match=r"pip install 'innerloop\[envpool\]'"):
        family("env:envpool:CartPole-v1").spaces  # noqa: B018


@needs_package
@pytest.mark.parametrize(
    ("name", "task"),
    [("CartPole-v1", {}), ("HalfCheetah-v4", {"forward_reward_weight": -1.0, "max_episode_steps": 300}), ("Pong-v5", {})],
)
def test_a_thousand_steps_are_the_pools(name: str, task: dict):
    import envpool

    ours = switching.maker(f"envpool:{name}")(**task)
    obs, _ = ours.reset(seed=3)
    seed = int(np.random.default_rng(3).integers(2**31))
    theirs = envpool.make_gymnasium(name, num_envs=1, num_threads=1, seed=seed, **task)
    seen, _ = theirs.reset()
    assert ours.observation_space.contains(obs)
    turned = (lambda x: np.moveaxis(x, 0, -1)) if name == "Pong-v5" else (lambda x: x)
    np.testing.assert_array_equal(obs, turned(seen[0]))
    ours.action_space.seed(0)
    for _ in range(1000):
        action = ours.action_space.sample()
        obs, reward, terminated, truncated, _ = ours.step(action)
        seen, paid, ended, cut, _ = theirs.step(np.asarray([action], np.int32 if name != "HalfCheetah-v4" else np.float64))
        np.testing.assert_array_equal(obs, turned(seen[0]))
        assert (reward, terminated, truncated) == (float(paid[0]), bool(ended[0]), bool(cut[0]))
        if terminated or truncated:
            np.testing.assert_array_equal(ours.reset()[0], turned(theirs.reset()[0][0]))
    ours.close()


@needs_package
def test_a_reset_with_a_seed_begins_alike_whatever_came_before():
    env = switching.maker("envpool:CartPole-v1")()
    first, _ = env.reset(seed=5)
    env.step(0)
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, env.reset(seed=6)[0])


@needs_package
def test_what_varies_is_an_option_of_the_pool():
    tasks = family("env:envpool:HalfCheetah-v4?forward_reward_weight=-1.0:1.0&max-steps=20")
    assert (tasks.horizon, tasks.on_device, tasks.size) == (20, False, -1)
    with pytest.raises(ValueError, match="no options gravity; accepted"):
        switching.maker("envpool:CartPole-v1")(gravity=3.0)
    with pytest.raises(ValueError, match="no options base_path"):
        switching.maker("envpool:CartPole-v1")(base_path="elsewhere")
    assert switching.maker("envpool:Catch-v0")().spec.max_episode_steps is None
    with pytest.raises(ValueError, match="nearest: CartPole"):
        family("env:envpool:CartPole-v9").spaces  # noqa: B018
