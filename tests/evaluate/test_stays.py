"""Three known policies show the three textbook patterns."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.evaluate import two_step
from innerloop.tasks import TwoStep

ENV, FIRMNESS = TwoStep(), 3.0


def model_free(values, action, place, reward):
    """An action is worth what it was just paid. (Only just: longer memories blur the pattern, Akam et al. 2015.)"""
    return jnp.full(2, 0.5).at[action].set(reward)


def model_based(values, action, place, reward):
    """A place is worth what it just paid, and an action what its places are worth."""
    return jnp.full(2, 0.5).at[place].set(reward)


def none(values, action, place, reward):
    return values


@jax.jit
def _chosen(values, key):
    return jax.random.categorical(key, FIRMNESS * values).astype(jnp.int32)


def chunks(update, lives=300, planning=False):
    """Lives of a policy as an evaluation records them, leaves [B, 1, T, 1]."""
    tasks = ENV.sample(jax.random.key(0), lives)
    law = jnp.array([[0.8, 0.2], [0.2, 0.8]])

    def trial(carry, key):
        task, state, values = carry
        keys = jax.random.split(key, 3)
        action = _chosen(law @ values if planning else values, keys[0])
        reached, obs, *_ = ENV.step(task, state, action, keys[1])
        over, _, reward, *_ = ENV.step(task, reached, action, keys[2])
        rows = (jnp.stack([state.place, obs]), jnp.stack([action, action]), jnp.stack([0.0, reward]))
        return (task, over, update(values, action, obs - 1, reward)), rows

    def life(task, key):
        start = (task, ENV.reset(task, key)[0], jnp.full(2, 0.5))
        return jax.lax.scan(trial, start, jax.random.split(key, ENV.n))[1]

    obs, action, reward = jax.jit(jax.vmap(life))(tasks, jax.random.split(jax.random.key(1), lives))
    obs, action, reward = (np.asarray(x).reshape(lives, 1, -1, 1) for x in (obs, action, reward))
    first = np.zeros(obs.shape, bool)
    first[:, :, 0] = True
    step = SimpleNamespace(obs=obs, first=first)
    return SimpleNamespace(step=step, action=action, reward=reward, mask=np.ones(obs.shape, bool))


def effects(found):
    return {name: (value["lo"], value["hi"]) for name, value in found["effects"].items()}


def test_a_habit_shows_in_reward():
    found = two_step.analysis(two_step.counts(chunks(model_free)))
    assert effects(found)["reward"][0] > 0.1
    lo, hi = effects(found)["reward × transition"]
    assert lo < 0.0 < hi < 0.03


def test_a_plan_shows_in_the_interaction():
    found = two_step.analysis(two_step.counts(chunks(model_based, planning=True)))
    stay = {name: value["mean"] for name, value in found["stay"].items()}
    assert effects(found)["reward × transition"][0] > 0.1
    lo, hi = effects(found)["reward"]
    assert lo < 0.0 < hi < 0.03
    assert min(stay["rewarded, common"], stay["unrewarded, rare"]) > max(stay["rewarded, rare"], stay["unrewarded, common"])


def test_chance_shows_nothing():
    found = two_step.analysis(two_step.counts(chunks(none)))
    assert all(lo < 0.01 and hi > -0.01 and hi - lo < 0.03 for lo, hi in effects(found).values())
    assert all(abs(value["mean"] - 0.5) < 0.03 for value in found["stay"].values())
    assert found["lives"] == 300 and found["trials"] == 300 * 99
    common = sum(value["trials"] for name, value in found["stay"].items() if name.endswith("common"))
    assert common / found["trials"] == pytest.approx(0.8, abs=0.01)
    assert "reward × transition" in two_step.shown(found)


def test_trials_are_counted_by_hand_and_masked_rows_are_not():
    # 0 → 0 rewarded (common), 0 again → 1 (rare) unrewarded, then 1.
    rows = {"obs": [0, 1, 0, 2, 0, 1], "action": [0, 0, 0, 1, 1, 0], "reward": [0, 1, 0, 0, 0, 1]}
    obs, action, reward = (np.asarray(rows[name]).reshape(1, 1, 6, 1) for name in rows)
    step = SimpleNamespace(obs=obs, first=np.zeros(obs.shape, bool))
    mask = np.ones(obs.shape, bool)
    made = SimpleNamespace(step=step, action=action, reward=reward, mask=mask)
    assert two_step.counts(made)[0].tolist() == [[1, 1], [0, 0], [0, 0], [1, 0]]
    mask[:, :, 3] = False
    assert two_step.counts(made)[0].tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="at least two lives"):
        two_step.analysis(np.ones((1, 4, 2)))
    with pytest.raises(ValueError, match="no trial was rewarded, rare"):
        two_step.analysis(np.array([[[1, 1], [0, 0], [1, 1], [1, 1]]] * 3))
