"""PEARL's outer: whose gradient reaches what, what ends and what does not, and what the replay of each task holds."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan
from innerloop.equations.soft import soft_target
from innerloop.inner.posterior_sampling import PosteriorSampling
from innerloop.inner.recurrent import Recurrent
from innerloop.outer import task_replay
from innerloop.outer.pearl import PEARL
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

FAMILY = find("semi-circle-pearl")
INNER = PosteriorSampling(Plan(1, 40, 1), FAMILY.spaces, latent=3, hidden=(8,), encoder=(8,))
OUTER = PEARL(pool=6, capacity=64, replays=3, batch=3, rows=16, context_rows=8, hidden=(8,), tasks=FAMILY)
META = INNER.init(jax.random.key(0))
TASKS = FAMILY.sample(jax.random.key(1), 3)


def lived(tasks, key):
    return jax.jit(lambda tasks, key: DeviceWorld(FAMILY).live(INNER, META, tasks, key)[0])(tasks, key)


LIVES = lived(TASKS, jax.random.key(2))
EXAMPLE = jax.eval_shape(lambda x: x, LIVES)
FIRST = OUTER.init(INNER, META, FAMILY, EXAMPLE, jax.random.key(3))


def zero(tree):
    return all(not np.any(x) for x in jax.tree.leaves(tree))


def test_the_target_ends_with_termination_only():
    reward, q, log_prob = jnp.array([1.0, 1.0]), jnp.array([2.0, 2.0]), jnp.array([-0.5, -0.5])
    found = soft_target(reward, jnp.array([True, False]), q, log_prob, 0.9, jnp.asarray(0.2))
    np.testing.assert_allclose(found, [1.0, 1.0 + 0.9 * (2.0 + 0.2 * 0.5)])


def test_a_truncated_row_is_stored_as_one_that_did_not_end():
    rows, mask = task_replay.transitions(jax.tree.map(lambda x: x[0], LIVES))
    assert bool(LIVES.chunks.truncated[0].any()) and not rows.terminated.any() and mask.all()


def test_the_critics_loss_reaches_encoder_and_critics_and_not_the_policy():
    state = FIRST._replace(memory=task_replay.store(FIRST.memory, jnp.arange(3), LIVES)[0])
    at = jnp.arange(3)
    data = task_replay.draw(state.memory, at, 16, jax.random.key(4)), task_replay.draw(state.memory, at, 8, jax.random.key(5))
    gradient, _ = jax.grad(lambda x: OUTER.losses(INNER, x, state, data, jax.random.key(6)), has_aux=True)(
        (META, FIRST.critics)
    )
    meta, critics = gradient
    assert zero(meta.policy) and not zero(meta.encoder) and not zero(critics)


def test_one_latent_stands_for_all_rows_of_a_task():
    state = FIRST._replace(memory=task_replay.store(FIRST.memory, jnp.arange(3), LIVES)[0])
    data = (task_replay.draw(state.memory, jnp.arange(3), 16, jax.random.key(4)),) * 2
    _, (latent, _) = OUTER.losses(INNER, (META, FIRST.critics), state, data, jax.random.key(6))
    assert latent.shape == (3, 3)


def test_reward_scale_is_for_the_critics_alone():
    state = FIRST._replace(memory=task_replay.store(FIRST.memory, jnp.arange(3), LIVES)[0])
    rows = task_replay.draw(state.memory, jnp.arange(3), 16, jax.random.key(4))
    rows = rows._replace(reward=jnp.ones_like(rows.reward))

    def found(outer):
        return outer.losses(INNER, (META, FIRST.critics), state, (rows, rows), jax.random.key(6))[1]

    (a, told_a), (b, told_b) = found(OUTER), found(replace(OUTER, reward_scale=7.0))
    np.testing.assert_array_equal(a, b)
    assert told_a["critic_loss"] != told_b["critic_loss"] and told_a["belief_kl"] == told_b["belief_kl"]


def test_each_task_keeps_its_own_and_the_oldest_go():
    memory = task_replay.empty(FAMILY.sample(jax.random.key(7), 4), EXAMPLE, 50)
    at = jnp.array([2, 0, 3])
    memory, unsound = task_replay.store(memory, at, LIVES)
    assert memory.stored.tolist() == [40, 0, 40, 40] and not unsound.any()
    np.testing.assert_array_equal(memory.rows.reward[2, :40], LIVES.chunks.reward[0].ravel())
    later = lived(TASKS, jax.random.key(8))
    memory, _ = task_replay.store(memory, at, later)
    assert memory.stored.tolist() == [80, 0, 80, 80]
    kept = np.sort(np.asarray(memory.rows.arrived[0, :, 0]))
    both = np.concatenate([np.asarray(x.chunks.next_obs[1, 0, :, 0, 0]) for x in (LIVES, later)])
    np.testing.assert_array_equal(kept, np.sort(both[-50:]))


def test_the_context_is_of_the_last_life_only():
    memory = task_replay.empty(FAMILY.sample(jax.random.key(7), 3), EXAMPLE, 200)
    at = jnp.arange(3)
    memory, _ = task_replay.store(memory, at, LIVES)
    later = lived(TASKS, jax.random.key(8))
    memory, _ = task_replay.store(memory, at, later)
    for lately in (True, False):
        rows = task_replay.draw(memory, at, 300, jax.random.key(9), lately=lately)
        for i in range(3):
            found = set(np.asarray(rows.arrived[i, :, 0]).tolist())
            new = set(np.asarray(later.chunks.next_obs[i, 0, :, 0, 0]).tolist())
            assert (found <= new) == lately


def test_a_life_that_is_not_finite_is_left_out():
    memory = task_replay.empty(FAMILY.sample(jax.random.key(7), 3), EXAMPLE, 200)
    broken = LIVES._replace(chunks=LIVES.chunks._replace(reward=LIVES.chunks.reward.at[1, 0, 3].set(jnp.nan)))
    memory, unsound = task_replay.store(memory, jnp.arange(3), broken)
    assert unsound.tolist() == [False, True, False] and memory.stored.tolist() == [40, 0, 40]


def test_the_pool_is_lived_in_turn_and_nothing_is_learned_before_all_of_it_has_been():
    state = FIRST
    update = jax.jit(lambda state, lives, key: OUTER.update(INNER, state, lives, key))
    moved = []
    for i in range(3):
        meta, tasks = OUTER.propose(state, TASKS, jax.random.key(0))
        np.testing.assert_array_equal(tasks.params, FIRST.memory.tasks.params[(3 * i + np.arange(3)) % 6])
        state, metrics = update(state, lived(tasks, jax.random.key(i)), jax.random.key(20 + i))
        moved.append(not zero(jax.tree.map(lambda a, b: a - b, state.meta, meta)))
        assert metrics["masked"] == 0
    assert moved == [False, True, True] and state.memory.stored.tolist() == [80, 80, 80, 40, 40, 40]


def test_shaped_rewards_are_for_critics_and_must_be_offered():
    replace(OUTER, shaped=True).check(INNER)
    with pytest.raises(ValueError, match="offers no shaped reward"):
        replace(OUTER, shaped=True, tasks=find("point-goal")).check(INNER)
    with pytest.raises(ValueError, match=r"Recurrent is told none \(Inner\.infer, Inner\.act\); accepted: PosteriorSampling"):
        OUTER.check(Recurrent(Plan(1, 40, 1), FAMILY.spaces))
    with pytest.raises(ValueError, match=r"outer\.pool"):
        OUTER.planned(10, 7)
