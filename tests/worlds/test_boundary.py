import gymnasium
import line_walk
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from innerloop.worlds.boundary import Leaf, Misfit, admit, flag, number, sound, transition

BOX = Leaf((), (2,), False, -0.1, 9.0)


def policy(obs):
    return (np.floor(1e4 * np.abs(np.sin(1e3 * obs[:, 0] + obs[:, 1]))) % 3).astype(np.int64)  # another path in every episode


def rows(mode, steps=60):
    """(obs, action, arrived, reward, terminated, truncated, first) of every row that is a transition, per environment."""
    venv = gymnasium.vector.SyncVectorEnv([line_walk.make] * 3, autoreset_mode=mode)
    for i, env in enumerate(venv.envs):
        line_walk.assign(env, (float(i), 0.4, 0))
    obs, _ = venv.reset(seed=0)
    obs, out = obs.copy(), [[] for _ in range(3)]
    first, ended, skipped = np.ones(3, bool), np.zeros(3, bool), 0
    for _ in range(steps):
        action = policy(obs)
        stepped, reward, terminated, truncated, info = venv.step(action)
        stepped, final, done = stepped.copy(), None, terminated | truncated
        if mode is AutoresetMode.SAME_STEP:
            final = stepped.copy()
            for i in np.flatnonzero(done):
                final[i] = info["final_obs"][i]
        elif mode is AutoresetMode.DISABLED:
            final = stepped.copy()
            if done.any():
                stepped = venv.reset(options={"reset_mask": done})[0].copy()
        got = transition(mode, [stepped], None if final is None else [final], reward, terminated, truncated, ended)
        for i in np.flatnonzero(got.mask):
            row = obs[i], action[i], got.arrived[0][i], got.reward[i], got.terminated[i], got.truncated[i], first[i]
            out[i].append(tuple(np.asarray(x).tolist() for x in row))
        skipped += int((~got.mask).sum())
        obs, first, ended = got.obs[0], np.where(got.mask, got.first, True), done
    venv.close()
    return out, skipped


def test_every_autoreset_mode_gives_the_same_transitions():
    same, none = rows(AutoresetMode.SAME_STEP)
    disabled, none_either = rows(AutoresetMode.DISABLED)
    following, skipped = rows(AutoresetMode.NEXT_STEP)
    assert none == none_either == 0 < skipped
    assert same == disabled
    for a, b in zip(same, following, strict=True):
        assert a[: len(b)] == b and len(b) > 40


def test_rows_know_both_ends_and_the_observation_before_the_reset():
    for i, stream in enumerate(rows(AutoresetMode.SAME_STEP, 200)[0]):
        assert any(row[4] for row in stream) and any(row[5] and not row[4] for row in stream)
        for before, after in zip(stream, stream[1:], strict=False):
            (_, t), _, arrived, reward, terminated, truncated, _ = before
            assert arrived[1] == t + 1 and reward == float(round(arrived[0]) == i)
            assert terminated == (abs(round(arrived[0])) == 3) and truncated == (arrived[1] == 7)
            assert after[6] == (terminated or truncated)
            assert after[0][1] == 0 if after[6] else after[0] == arrived


def test_same_step_needs_the_final_observations():
    no = np.zeros(1, bool)
    with pytest.raises(ValueError, match="needs the final observations"):
        transition(AutoresetMode.SAME_STEP, [np.zeros((1, 2))], None, np.zeros(1), no, no, no)


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "observation None"),
        (np.zeros(1), r"shape \(1,\), expected \(2,\)"),
        (np.zeros((1, 2)), r"shape \(1, 2\)"),
        (3.0, r"shape \(\)"),
        (["a", "b"], "type <U1"),
        ([[1], [2, 3]], "ragged"),
        (np.array([None, 1]), "type object"),
    ],
)
def test_misfits_are_refused(value, reason):
    with pytest.raises(Misfit, match=reason):
        admit(BOX, value, np.zeros(2, np.float32))


def test_what_fits_is_copied():
    out = np.zeros(2, np.float32)
    for value in ([1, 2], (1.0, 2.0), np.array([1, 2], np.uint8), np.array([1, 2], np.float64)):
        out[:] = 0
        admit(BOX, value, out)
        assert out.tolist() == [1, 2]
    nested = Leaf(("a", 1), (), True, 0, 4)
    cell = np.zeros((), np.int64)
    admit(nested, {"a": (0, np.int64(3))}, cell)
    assert cell == 3
    with pytest.raises(Misfit, match=r"without the entry \['a', 1\]"):
        admit(nested, {"b": 0}, cell)
    with pytest.raises(Misfit, match="expected integers"):
        admit(nested, {"a": (0, 1.5)}, cell)


def test_flags_are_bools_and_rewards_are_numbers():
    assert flag(True, "terminated") and flag(np.bool_(True), "x") and not flag(np.array(False), "x")
    for wrong in ("yes", 1, None, np.ones(2, bool), 1.0):
        with pytest.raises(Misfit, match="terminated is"):
            flag(wrong, "terminated")
    assert number(1) == number(np.float32(1)) == number(np.array(1.0)) == 1.0
    for wrong in ("1", None, np.ones(1), [1.0], 1j):
        with pytest.raises(Misfit, match="reward is"):
            number(wrong)


def test_numbers_are_judged_all_at_once():
    obs = np.array([[0, 0], [np.nan, 0], [0, np.inf], [9.5, 0], [-0.1, 9]], np.float32)  # -0.1 rounds outward in float32
    reward = np.array([0, 0, 0, 0, np.nan], np.float32)
    assert sound([BOX], [obs]) == {1: "observation is not finite", 2: "observation is not finite", 3: sound([BOX], [obs])[3]}
    assert "outside its space" in sound([BOX], [obs])[3]
    assert sound([BOX], [obs[:1]], reward[:1]) == {}
    assert sound([BOX], [obs], reward)[4] == "reward is not finite"
    choice = Leaf(("kind",), (), True, 0, 2)
    assert list(sound([choice], [np.array([0, 2, 3, -1, 2**40])])) == [2, 3, 4]


def test_bytes_stay_bytes_and_nothing_else_becomes_one():
    leaf, out = Leaf((), (2, 2, 1), False, 0, 255, "uint8"), np.zeros((2, 2, 1), np.uint8)
    assert leaf.dtype == np.uint8
    admit(leaf, np.full((2, 2, 1), 200, np.uint8), out)
    assert (out == 200).all() and not sound([leaf], [out[None]])
    for other in (np.full((2, 2, 1), 300), np.full((2, 2, 1), 0.5)):
        with pytest.raises(Misfit, match="expected uint8"):
            admit(leaf, other, out)
