"""Atari: flavours that no two splits share, and ale-py's own environment behind the steps."""

import importlib.util
from itertools import product

import jax
import numpy as np
import pytest

from innerloop.core import Discrete
from innerloop.tasks import atari_env, flavours
from innerloop.tasks.atari_env import AtariEnv, Flavour, assign, smaller
from innerloop.tasks.family import SPLITS
from innerloop.tasks.names import family

needs_package = pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason="the extra atari is not installed")
GAMES = flavours.listed()["games"]


@pytest.mark.skipif(importlib.util.find_spec("ale_py") is not None, reason="the extra atari is installed")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ValueError, match=r"pip install 'innerloop\[atari\]'"):
        family("atari-freeway").spaces  # noqa: B018


def test_no_flavour_stands_in_two_splits():
    assert len(GAMES) == 64
    for name, told in GAMES.items():
        splits = flavours.game(name).splits
        assert all(splits) and len({one for split in splits for one in split}) == sum(map(len, splits))
        assert flavours.dealt(name, sorted(Flavour(*one) for which in SPLITS for one in told[which])) == dict(
            zip(SPLITS, map(list, splits), strict=True)
        )


@pytest.mark.parametrize("kind", ["", "-buttons"])
def test_splits_draw_their_own_flavours(kind):
    env, counts = family(f"atari-freeway{kind}-t50"), []
    for which, given in zip(SPLITS, flavours.game("freeway").splits, strict=True):
        tasks = env.split(which).sample(jax.random.key(0), 2 * len(given))
        drawn = [flavours.game("freeway").flavours[i] for i in tasks.params.flavour.tolist()]
        assert sorted(drawn) == sorted(given * 2)
        assert (np.sort(tasks.params.order, -1) == np.arange(3)).all()
        counts.append(len({tuple(row) for row in tasks.params.order.tolist()}))
        assert (tasks.index == (tasks.params.flavour if not kind else -1)).all()
    assert counts == [1, 1, 1] if not kind else max(counts) > 3


def test_names_hold_game_length_and_episodes():
    env = family("atari-tic-tac-toe-3d-t30-n5")
    assert (env.game, env.horizon, env.episodes, env.name) == ("tic-tac-toe-3d", 30, 5, "atari-tic-tac-toe-3d-t30-n5")
    assert family("atari-galaxian-t200-n3").name == "atari-galaxian"
    assert family("atari-galaxian-buttons-n2").kind == "-buttons"
    assert family("atari-galaxian-buttons-k10-t40").k == 10


def test_a_picture_needs_two_frames():
    with pytest.raises(ValueError, match="a step of 1 frame; accepted: 2"):
        family("atari-galaxian-k1")


@pytest.mark.parametrize(("wrong", "near"), [("atari-freway", "Did you mean 'freeway'?"), ("atari-pitfall", "three flavours")])
def test_a_game_without_flavours_is_told(wrong, near):
    with pytest.raises(ValueError, match="no Atari game of this name") as caught:
        family(wrong)
    assert near in str(caught.value) and "space-invaders" in str(caught.value)


def test_a_pixel_is_the_mean_of_its_block():
    screen = np.random.default_rng(0).integers(0, 256, (214, 160), np.uint8)
    blocks = screen[:210].reshape(42, 5, 40, 4).astype(float).mean((1, 3))
    assert smaller(screen).shape == (42, 40, 1) and smaller(screen).dtype == np.uint8
    np.testing.assert_array_equal(smaller(screen)[..., 0], np.floor(blocks + 0.5))


@needs_package
@pytest.mark.parametrize("name", ["freeway", "air_raid"])
def test_what_the_data_file_says_is_the_packages(name):
    ale = atari_env.console(name)
    known = flavours.game(name)
    assert known.screen == ale.getScreenDims() and known.actions == len(ale.getMinimalActionSet())
    every = product(ale.getAvailableModes(), ale.getAvailableDifficulties())
    assert sorted(known.flavours) == sorted(Flavour(*one) for one in every)
    assert importlib.import_module("ale_py").__version__ == flavours.listed()["ale_py"]


@needs_package
@pytest.mark.parametrize(("flavour", "skip"), [(Flavour(0, 0), 4), (Flavour(8, 1), 5)])
def test_a_thousand_steps_are_the_packages(flavour, skip):
    # The package's own environment one frame at a time, given the actions that stickiness left.
    from ale_py.env import AtariEnv as Theirs

    rng, order = np.random.default_rng(3), np.array([3, 1, 5, 0, 2, 4])
    ours, there = AtariEnv("space_invaders", 10**6, skip), None
    ours.become(flavour, order)
    theirs = Theirs("space_invaders", *flavour, obs_type="grayscale", frameskip=1, repeat_action_probability=0.0)
    ended, scored = 0, 0.0
    for step in range(1000):
        if there is None:
            seen, _ = ours.reset(seed=step)
            there, _ = theirs.reset(seed=0)
            sticks, held = np.random.default_rng(np.random.SeedSequence(step)), 0
            np.testing.assert_array_equal(seen, smaller(there))
        action = int(rng.integers(6))
        seen, reward, terminated, truncated, _ = ours.step(action)
        total, frames = 0.0, []
        for stuck in sticks.random(skip) < 0.25:
            held = held if stuck else order[action]
            there, paid, over, _, _ = theirs.step(held)
            frames.append(there)
            total += paid
        np.testing.assert_array_equal(seen, smaller(np.maximum(frames[-2], frames[-1])))
        assert (reward, terminated, truncated) == (total, over, False)
        scored += reward
        if terminated:
            there, ended = None, ended + 1
    assert ended and scored


@needs_package
def test_an_episode_is_its_task_seed_and_actions():
    # Whatever was played before, and on whichever console.
    known = flavours.game("freeway")
    settings = [(i, np.arange(3)) for i in (0, 5)]

    def episode(env, setting, seed):
        assign(known.flavours, env, type("Params", (), dict(zip(("flavour", "order"), setting, strict=True))))
        rows = [env.reset(seed=seed)[0]]
        for step in range(60):
            obs, reward, *_ = env.step(1 if step % 5 else 0)
            rows.append(np.append(obs, reward))
        return np.concatenate([row.ravel() for row in rows])

    one, two = AtariEnv("freeway", 60), AtariEnv("freeway", 60)
    first = episode(one, settings[0], 1)
    np.testing.assert_array_equal(episode(two, settings[0], 1), first)
    other = episode(one, settings[1], 1)
    assert not np.array_equal(other, first)
    np.testing.assert_array_equal(episode(one, settings[0], 1), first)
    assert not np.array_equal(episode(one, settings[0], 2), first)  # other frames stick


@needs_package
def test_a_life_holds_bytes_and_its_length():
    from innerloop.core import Plan
    from innerloop.inner.recurrent import Recurrent
    from innerloop.worlds import HostWorld

    env = family("atari-galaxian-buttons-t5")
    assert env.spaces.obs.image and env.spaces.action == Discrete(6)
    inner = Recurrent(Plan(1, 12, 1), env.spaces, width=8)
    world = HostWorld(env, workers=0)
    life, _ = world.live(inner, inner.init(jax.random.key(0)), env.sample(jax.random.key(1), 2), jax.random.key(2))
    assert life.chunks.step.obs.dtype == life.chunks.next_obs.dtype == np.uint8 and not world.faults
    assert life.chunks.step.obs.shape == (2, 1, 12, 1, 42, 40, 1)
    assert np.flatnonzero(life.chunks.truncated[0, 0, :, 0]).tolist() == [4, 9]
    world.close()
