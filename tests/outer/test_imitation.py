"""Imitation: labels of the episode under way, the gradient by hand, and who lives in training."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from innerloop.core import Box, Discrete, Plan, Spaces, replay
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.behaviour import behaviour, relived
from innerloop.outer.imitation import Imitation
from innerloop.tasks import Bandit, PointGoal
from innerloop.tasks.names import family
from innerloop.tasks.shown import Shown
from innerloop.worlds import DeviceWorld

FAMILY = family("probe-across")
INNER = Recurrent(Plan(1, 8, 2), FAMILY.spaces, width=8)
META = INNER.init(jax.random.key(0))
OUTER = Imitation(FAMILY, warmup=0.0, anneal=False, minibatches=1)


def lived(inner=INNER, count=16):
    tasks = FAMILY.sample(jax.random.key(1), count)
    return jax.jit(lambda key: DeviceWorld(FAMILY).live(inner, META, tasks, key)[0])(jax.random.key(2))


def test_labels_are_of_the_step_within_the_episode():
    lives = lived()
    labels = jax.vmap(OUTER.labels)(lives)
    arm = np.asarray(lives.task.params)
    first = np.asarray(lives.chunks.step.first)
    assert first[:, 0, ::2].all() and not first[:, 0, 1::2].any()
    np.testing.assert_allclose(labels[:, 0, ::2], np.broadcast_to(np.eye(2)[arm][:, None, None], (16, 4, 2, 2)))
    np.testing.assert_allclose(labels[:, 0, 1::2], 0.5)  # the second action of an episode decides nothing


def test_labels_know_what_was_earned_in_this_episode_alone():
    asked = []

    class Asking(type(FAMILY)):
        def optimal(self, task, obs, time, earned):
            asked.append((time, earned))
            return super().optimal(task, obs, time, earned)

    life = jax.tree.map(lambda x: x[0], lived())
    replace(OUTER, tasks=Asking()).labels(life)
    time, earned = asked[0]
    paid = np.asarray(life.chunks.reward)
    assert paid.sum() > 0
    np.testing.assert_array_equal(time[0, :, 0], [0, 1] * 4)
    np.testing.assert_allclose(earned[:, ::2], 0.0)
    np.testing.assert_allclose(earned[:, 1::2], paid[:, ::2])


@pytest.mark.parametrize("target", ["optimal", "recorded"])
def test_the_loss_is_the_mean_cross_entropy_of_sound_rows(target):
    outer = replace(OUTER, target=target)
    life = jax.tree.map(lambda x: x[0], lived())
    mask = life.chunks.mask.at[0, 3:5, 1].set(False)
    life = life._replace(chunks=life.chunks._replace(mask=mask))
    loss, metrics = outer.loss(INNER, META, life)
    log_p = np.asarray(jax.nn.log_softmax(replay(INNER, META, life)[0].dist.logits))
    wanted = outer.labels(life) if target == "optimal" else jax.nn.one_hot(life.chunks.action, 2)
    np.testing.assert_allclose(loss, -(np.asarray(wanted) * log_p).sum(-1)[np.asarray(mask)].mean(), rtol=1e-5)
    assert 0 <= metrics["accuracy"] <= 1


def test_an_update_makes_the_labels_likelier():
    outer, lives = replace(OUTER, lr=1e-2), lived()
    state = outer.init(INNER, META, FAMILY, lives, jax.random.key(0))
    update = jax.jit(outer.update, static_argnums=0)
    losses = []
    for _ in range(10):
        state, metrics = update(INNER, state, lives, jax.random.key(0))
        losses.append(float(metrics["loss"]))
    assert sorted(losses, reverse=True) == losses and losses[-1] < losses[0] - 0.003
    assert metrics["masked"] == 0


def test_of_a_box_the_recorded_action_is_made_likelier():
    tasks = PointGoal()
    inner = Recurrent(Plan(1, 6, 2), tasks.spaces, width=8)
    outer, meta = Imitation(tasks, target="recorded", lr=1e-2), inner.init(jax.random.key(0))
    outer.check(inner)
    actor = behaviour("uniform", inner)
    lives = jax.jit(lambda key: DeviceWorld(tasks).live(actor, meta, tasks.sample(key, 8), key)[0])(jax.random.key(0))
    assert (np.abs(lives.chunks.action) <= 1).all()
    state = outer.init(inner, meta, tasks, lives, jax.random.key(0))
    _, metrics = jax.jit(outer.update, static_argnums=0)(inner, state, lives, jax.random.key(0))
    assert "accuracy" not in metrics and metrics["masked"] == 0 and np.isfinite(metrics["loss"])


@pytest.mark.parametrize("name", ["uniform", "habitual", "mixed"])
def test_who_lives_draws_actions_that_the_learner_can_replay(name):
    actor = behaviour(name, INNER)
    assert actor.plan == INNER.plan and actor.spaces == INNER.spaces
    lives = lived(actor, 512)
    logits = lives.chunks.dist.logits
    assert np.isfinite(logits).all()
    own = jax.jit(jax.vmap(lambda life: replay(INNER, META, relived(INNER, META, life))[0].dist.logits))(lives)
    shares = np.asarray(jax.nn.softmax(logits))
    if name == "uniform":
        np.testing.assert_allclose(shares, 0.5, atol=1e-6)
    if name == "habitual":  # each stream has frequencies of its own, and keeps them
        np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :, :1], shares.shape), atol=1e-6)
        assert 0.2 < np.abs(shares[..., 0] - 0.5).mean() < 0.45
    if name == "mixed":
        mine = np.asarray(jax.nn.softmax(own))
        far = np.abs(shares - 0.5) <= np.abs(mine - 0.5) + 1e-6
        assert far.all() and np.abs(shares - mine).max() > 1e-4


def test_the_schedule_rises_and_falls_to_nothing():
    outer = Imitation(FAMILY, lr=1.0, warmup=0.1, epochs=2, minibatches=2).planned(10, 8)
    rates = np.array([float(outer._rate(i)) for i in range(41)])
    assert rates[0] == pytest.approx(0.25) and rates.argmax() == 3 and rates[40] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rates[3:]) < 0).all()


def test_what_cannot_be_labelled_is_refused():
    refused = [
        (Imitation(PointGoal()), PointGoal().spaces, "point-goal does not say what is optimal"),
        (Imitation(Shown(Bandit())), Shown(Bandit()).spaces, "shown:bandit-k5-n10 does not say"),
        (Imitation(FAMILY, target="optimum"), FAMILY.spaces, "Did you mean 'optimal'"),
        (Imitation(FAMILY, behaviour="random"), FAMILY.spaces, "accepted: learner, uniform, habitual, mixed"),
        (Imitation(FAMILY, behaviour="habitual"), Spaces(Discrete(2), Box((1,))), "discrete actions"),
    ]
    for outer, spaces, says in refused:
        with pytest.raises(ValueError, match=says):
            outer.check(Recurrent(Plan(1, 2, 1), spaces, width=8))
    with pytest.raises(ValueError, match=r"meta_batch \(10\).*minibatches \(4\)"):
        Imitation(FAMILY).planned(1, 10)
