"""The performance model: who acts when, what a choice follows from, and what it must not know."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Plan, live, replay
from innerloop.inner.feedforward import Feedforward
from innerloop.inner.gradient import Gradient
from innerloop.inner.performance_model import PerformanceModel
from innerloop.inner.recurrent import Recurrent
from innerloop.recipes.metamodel import make
from innerloop.tasks.names import family

FAMILY = family("semi-circle-dense")
PLAN = Plan(1, 40, 2)
P = 3
INNER = PerformanceModel(
    Feedforward(PLAN, FAMILY.spaces, hidden=(8,)),
    Recurrent(PLAN, FAMILY.spaces, width=8),
    PLAN,
    FAMILY.spaces,
    20,
    members=P,
    probe=3,
    width=8,
    embed=8,
    ensemble=2,
    hidden=(8,),
)
META = INNER.init(jax.random.key(0))
TASK = jax.tree.map(lambda x: x[0], FAMILY.sample(jax.random.key(1), 1))


def usual(*means):
    return META._replace(statistics=META.statistics._replace(usual=jnp.array(means)[:, None]))


def lived(inner, meta, key=2):
    return jax.jit(lambda key: live(inner, FAMILY, FAMILY.spaces, meta, TASK, key)[0])(jax.random.key(key))


def choices(inner, meta):
    """Members [T, N] of a life."""
    life = lived(inner, meta)
    return np.asarray(replay(inner, meta, life)[0].extras.member)[0]


@pytest.mark.parametrize("member", range(P + 1))
def test_alone_a_member_lives_as_it_would_by_itself(member):
    """The generalist is the last of them."""
    ours, theirs = lived(INNER, META._replace(forced=jnp.float32(member))), lived(*INNER.alone(META, member))
    np.testing.assert_allclose(ours.chunks.action, theirs.chunks.action, atol=1e-6)
    np.testing.assert_allclose(ours.chunks.value, theirs.chunks.value, atol=1e-6)


def test_the_probe_acts_first_and_alone():
    life = lived(INNER, META)
    decision, _, _ = replay(INNER, META, life)
    start = life.start.probe
    _, probes = INNER.prober.unroll(META.probe, start, jax.tree.map(lambda x: x[0], life.chunks.step))
    np.testing.assert_allclose(decision.dist.mean[0, :3], probes.dist.mean[:3], atol=1e-6)
    assert np.all(decision.extras.member[0, :3] == -1) and np.all(decision.extras.member[0, 3:] >= 0)
    assert not np.allclose(decision.dist.mean[0, 3:], probes.dist.mean[3:])


def test_without_predictions_the_choice_is_the_usual_one():
    meta = usual(-3.0, -1.0, -2.0)
    assert np.all(choices(replace(INNER, use="single", probe=0), meta) == 1)
    doubtful = meta._replace(statistics=meta.statistics._replace(doubt=jnp.array(-1.0)))
    assert np.all(choices(INNER, doubtful)[3:] == 1), "heads that disagree as never before are not believed"
    assert np.all(choices(replace(INNER, explores="single"), meta)[:3] == 1), "the best member is the probe"


def test_what_members_earn_corrects_what_is_predicted():
    """Two whole episodes of −10 against a prior of −5, all variances 1: the mean of three, by hand."""
    meta = usual(-5.0, -9.0, -9.0)
    fast = INNER.begin(meta, jax.random.key(0))
    seen, earned = jnp.zeros((2, P)).at[0, 0].set(2.0), jnp.zeros((2, P)).at[0, 0].set(-20.0)
    mean, deviation, _ = replace(INNER, blind=True).expected(meta, fast._replace(seen=seen, earned=earned))
    np.testing.assert_allclose(mean, [[-25.0 / 3.0, -9.0, -9.0], [-5.0, -9.0, -9.0]], rtol=1e-5)
    np.testing.assert_allclose(deviation[:, 0], [3.0**-0.5, 1.0], rtol=1e-5)


def test_a_member_is_credited_with_whole_episodes_of_its_own():
    inner = replace(INNER, use="single", probe=0)
    meta = usual(0.0, -1.0, -2.0)
    life = lived(inner, meta)
    fast = replay(inner, meta, life)[2]
    fast = inner.observe(meta, fast, life.last)
    returns = np.asarray(life.chunks.reward)[0].reshape(2, 20, 2).sum(1)  # two episodes in two streams
    np.testing.assert_array_equal(fast.seen, [[2, 0, 0], [2, 0, 0]])
    np.testing.assert_allclose(fast.earned[:, 0], returns.sum(0), rtol=1e-5)
    probed = replay(INNER, META, lived(INNER, META))[2]
    assert np.all(probed.seen == 0), "an episode that was begun by the probe is nobody's, and the second goes on"


def test_of_states_alone_rewards_are_not_read():
    inner = replace(INNER, reads="states")
    meta = inner.init(jax.random.key(0))
    steps = jax.tree.map(lambda x: x[0], lived(inner, meta).chunks.step)
    other = steps._replace(reward=steps.reward + 1.0, action=steps.action * 2.0, arrived=steps.arrived - 1.0)
    np.testing.assert_array_equal(inner.reads_of(meta, steps), inner.reads_of(meta, other))
    both = [INNER.reads_of(META, x) for x in (steps, other)]
    assert not np.allclose(*both)


@pytest.mark.parametrize("use", ["mix", "thompson", "ucb", "random", "mean"])
def test_every_use_lives(use):
    life = lived(replace(INNER, use=use), META)
    assert np.all(np.isfinite(life.chunks.log_prob))


def test_the_mean_policy_is_the_mean_of_all():
    inner = replace(INNER, use="mean", probe=0)
    fast, obs = inner.begin(META, jax.random.key(0)), jnp.ones((2, 2))
    each = [INNER.base.decide(jax.tree.map(lambda x, k=k: x[k], META.members), (), obs).dist.mean for k in range(P)]
    np.testing.assert_allclose(inner.decide(META, fast, obs).dist.mean, np.mean(each, 0), atol=1e-6)


def test_of_members_that_learn_the_chosen_one_does():
    plan = Plan(2, 20, 2, restart=True)
    inner = replace(INNER, base=Gradient(plan, FAMILY.spaces, hidden=(8,)), use="single", probe=0, generalist=False).with_plan(
        plan
    )
    meta = inner.init(jax.random.key(0))
    meta = meta._replace(statistics=meta.statistics._replace(usual=jnp.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])))
    fast = replay(inner, meta, lived(inner, meta))[2]
    moved = [
        any(
            np.any(a[k] != b[k])
            for a, b in zip(*map(jax.tree.leaves, (fast.members.net, lived(inner, meta).start.members.net)), strict=True)
        )
        for k in range(P)
    ]
    assert moved == [False, True, False] and fast.chunks == 1


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'thompson'"):
        replace(INNER, use="tompson").check()
    with pytest.raises(ValueError, match=r"inner.temperature is 0"):
        replace(INNER, temperature=0.0).check()
    recipe = make(FAMILY)
    with pytest.raises(ValueError, match="Recurrent is one model"):
        recipe.outer.check(recipe.inner.prober)
