"""PEARL's outer: whose gradients reach the encoder, what ends a target, what rewards are scaled, and a bit-exact restart."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan, Transitions
from innerloop.inner.posterior_sampling import PosteriorSampling
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.soft_actor_critic import SoftActorCritic
from innerloop.outer.task_memory import transitions
from innerloop.recipes.pearl import make
from innerloop.run import checkpoint
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

FAMILY = family("semi-circle-pearl")
INNER = PosteriorSampling(Plan(1, 40, 1), FAMILY.spaces, latent=3, hidden=(8,), embed=(8,))
OUTER = SoftActorCritic(
    FAMILY, pool=6, capacity=60, replays=2, task_batch=3, batch=4, context=5, hidden=(8,), reward_scale=10.0, temperature=0.0
)
META = INNER.init(jax.random.key(0))


@pytest.fixture(scope="module")
def lived():
    tasks = FAMILY.sample(jax.random.key(1), 2)
    lives = jax.jit(lambda key: DeviceWorld(FAMILY).live(INNER, META, tasks, key)[0])(jax.random.key(0))
    return OUTER.init(INNER, META, FAMILY, lives, jax.random.key(2)), lives


def batch(terminated=False):
    key = jax.random.key(5)
    some = lambda n: jax.random.normal(jax.random.fold_in(key, n), (3, 4, 2))  # noqa: E731
    rows = Transitions(some(0), jnp.tanh(some(1)), some(2)[..., 0], some(3), jnp.full((3, 4), terminated))
    return rows, (rows, jnp.ones((3, 4), bool))


def loss(outer, state, learned, rows, context, target=None):
    tasks = jax.tree.map(lambda x: x[:3], state.tasks)
    return outer.loss(INNER, learned, state.target if target is None else target, tasks, rows, context, jax.random.key(9))


def reaches(tree):
    return any(np.abs(x).max() > 0 for x in jax.tree.leaves(tree))


def test_the_encoder_learns_from_the_critics_and_the_kl_alone(lived):
    state, _ = lived
    rows, context = batch()
    outer = replace(OUTER, kl_weight=0.0)
    names = ("critic_loss", "policy_loss", "kl")
    slope = {n: jax.grad(lambda x, n=n: loss(outer, state, x, rows, context)[1][n])(state.learned) for n in names}
    assert {n: reaches(g.meta.encoder) for n, g in slope.items()} == {"critic_loss": True, "policy_loss": False, "kl": True}
    assert {n: reaches(g.meta.body) for n, g in slope.items()} == {"critic_loss": False, "policy_loss": True, "kl": False}
    assert {n: reaches(g.critics) for n, g in slope.items()} == {"critic_loss": True, "policy_loss": False, "kl": False}
    whole = jax.grad(lambda x: loss(outer, state, x, rows, context)[0])(state.learned)
    np.testing.assert_allclose(whole.meta.head.weight, slope["policy_loss"].meta.head.weight, rtol=1e-5)
    assert whole.log_alpha != 0


def test_what_follows_counts_but_after_a_termination(lived):
    """A target critic that is 100 everywhere moves the loss of rows that go on, and not that of rows that terminated."""
    state, _ = lived
    high = state.target._replace(head=replace(state.target.head, bias=state.target.head.bias + 100.0))
    for terminated in (False, True):
        rows, context = batch(terminated)
        one, other = (loss(OUTER, state, state.learned, rows, context, t)[1]["critic_loss"] for t in (state.target, high))
        assert (one == other) == terminated


def test_truncations_are_not_stored_as_ends(lived):
    state, lives = lived
    assert lives.chunks.truncated.any()
    after, _ = jax.jit(OUTER.update, static_argnums=0)(INNER, state, lives, jax.random.key(0))
    assert not after.memory.rows.terminated.any() and (after.memory.stored[:2] == 40).all()
    np.testing.assert_array_equal(after.context.stored[:3], [40, 40, 0])


def test_rewards_are_scaled_in_the_target_and_not_in_the_context(lived):
    state, _ = lived
    rows, context = batch(True)
    one = loss(OUTER, state, state.learned, rows, context)[1]
    scaled = rows._replace(reward=10.0 * rows.reward)
    other = loss(replace(OUTER, reward_scale=1.0), state, state.learned, scaled, context)[1]
    np.testing.assert_allclose(one["critic_loss"], other["critic_loss"], rtol=1e-5)
    assert one["kl"] == other["kl"]
    again = loss(OUTER, state, state.learned, rows, (context[0]._replace(reward=10.0 * context[0].reward), context[1]))[1]
    assert again["kl"] != one["kl"]


def test_a_privileged_reward_is_the_critics_alone(lived):
    state, _ = lived
    rows, context = batch(True)
    outer = replace(OUTER, privileged=True)
    other = rows._replace(reward=rows.reward + 1.0)
    assert loss(outer, state, state.learned, rows, context)[0] == loss(outer, state, state.learned, other, context)[0]
    gap = np.asarray(rows.arrived) - np.asarray(state.tasks.params)[:3, None]
    wanted = -np.linalg.norm(gap, axis=-1).T
    turned = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows)
    np.testing.assert_allclose(outer._reward(jax.tree.map(lambda x: x[:3], state.tasks), turned), wanted, rtol=1e-5)


def test_all_training_tasks_have_their_turn_and_stay_the_same(lived):
    state, lives = lived
    seen = []
    for count in range(3):
        seen.append(OUTER.propose(state._replace(count=jnp.int32(count)), lives.task, jax.random.key(0))[1].index)
    np.testing.assert_array_equal(np.concatenate(seen), state.tasks.index)


def test_a_task_that_is_not_finite_is_left_out(lived):
    state, lives = lived
    broken = lives._replace(chunks=lives.chunks._replace(reward=lives.chunks.reward.at[1, 0, 3, 0].set(jnp.nan)))
    after, metrics = jax.jit(OUTER.update, static_argnums=0)(INNER, state, broken, jax.random.key(0))
    assert metrics["masked"] == 0.5
    np.testing.assert_array_equal(after.memory.stored[:2], [40, 0])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(after.learned))


def test_a_run_that_was_saved_goes_on_bit_for_bit(tmp_path):
    recipe = make(FAMILY, 10_000)
    recipe = replace(recipe, inner=INNER, outer=replace(OUTER, privileged=True), meta_batch=2)
    made = Trainer(recipe, FAMILY, DeviceWorld(FAMILY))
    carried = made.iterate(made.first(0))[0]
    checkpoint.save(tmp_path, 1, carried, extra={})
    back, _ = checkpoint.restore(tmp_path, jax.eval_shape(lambda: made.first(0)))
    assert checkpoint.digest(made.iterate(back)[0]) == checkpoint.digest(made.iterate(carried)[0])


def test_of_a_few_alternatives_all_are_valued(lived):
    """Critics that hold one action of a grid for worth 100 pull the policy towards it; the encoder learns from them alone."""
    fam = family("grid-navi")
    inner = PosteriorSampling(Plan(1, 30, 1), fam.spaces, latent=3, hidden=(8,), embed=(8,))
    outer = replace(OUTER, tasks=fam, kl_weight=0.0)
    meta, tasks = inner.init(jax.random.key(0)), fam.sample(jax.random.key(1), 2)
    lives = jax.jit(lambda key: DeviceWorld(fam).live(inner, meta, tasks, key)[0])(jax.random.key(0))
    state = outer.init(inner, meta, fam, lives, jax.random.key(2))
    assert state.target.head.bias.shape == (2, fam.spaces.action.n)
    key = jax.random.key(5)
    some = jax.tree.map(lambda x: x[:3], state.tasks)
    full, _ = transitions(lives)
    rows = jax.tree.map(lambda x: jnp.tile(x[:1, :4], (3, *[1] * (x.ndim - 1))), full)

    def parts(learned, name):
        return outer.loss(inner, learned, state.target, some, rows, (rows, jnp.ones((3, 4), bool)), key)[1][name]

    slope = jax.grad(lambda learned: parts(learned, "critic_loss"))(state.learned)
    assert reaches(slope.meta.encoder) and reaches(slope.critics) and not reaches(slope.meta.body)
    rich = state.learned.critics._replace(head=replace(state.learned.critics.head, bias=jnp.zeros((2, 5)).at[:, 3].set(100.0)))
    pull = jax.grad(lambda learned: parts(learned, "policy_loss"))(state.learned._replace(critics=rich))
    assert np.argmin(pull.meta.head.bias) == 3 and not reaches(pull.meta.encoder) and not reaches(pull.critics)
    after, metrics = jax.jit(outer.update, static_argnums=0)(inner, state, lives, jax.random.key(0))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((after.learned, metrics)))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="Recurrent infers nothing"):
        OUTER.check(Recurrent(Plan(1, 8, 1), FAMILY.spaces))
    with pytest.raises(ValueError, match="point-goal has no reward for those who know"):
        replace(OUTER, tasks=family("point-goal"), privileged=True).check(INNER)
    with pytest.raises(ValueError, match=r"outer.pool \(6 training tasks\)"):
        OUTER.planned(1, 7)
