"""Outers of adapted policies: what one update of the policy gradient, ProMP and Reptile is."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from innerloop.core import Plan, replay
from innerloop.inner.gradient import Gradient
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.policy_gradient import PolicyGradient
from innerloop.outer.promp import ProMP
from innerloop.outer.reptile import Reptile
from innerloop.tasks import PointGoal
from innerloop.worlds import DeviceWorld

FAMILY = PointGoal()
INNER = Gradient(Plan(3, 6, 3, restart=True), FAMILY.spaces, hidden=(3,), activation="tanh", lr=0.5, estimator="lvc")
META = INNER.init(jax.random.key(0))


@pytest.fixture(scope="module")
def lives():
    tasks = FAMILY.sample(jax.random.key(1), 4)
    return jax.jit(lambda key: DeviceWorld(FAMILY).live(INNER, META, tasks, key, learn_last=False)[0])(jax.random.key(2))


def updated(outer, lives, times=1):
    state = outer.init(INNER, META, FAMILY, lives, jax.random.key(0))
    for _ in range(times):
        state, metrics = jax.jit(lambda state: outer.update(INNER, state, lives, jax.random.key(0)))(state)
    return state, metrics


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0])


def test_promps_steps_improve_the_surrogate_and_move_the_policy_before_adaptation(lives):
    state, metrics = updated(ProMP(lr=3e-3), lives)
    assert metrics["kl_at_start"] < 1e-6 and abs(metrics["surrogate"]) < 1e-5
    assert metrics["improvement"] > 0 and metrics["kl"] > 0 and metrics["inner_kl"] > 0
    assert state.coefficient == pytest.approx(5e-4)
    _, held = updated(ProMP(lr=3e-3, inner_kl=1e3), lives)
    assert held["inner_kl"] < metrics["inner_kl"]


def test_one_step_of_promp_is_one_of_the_plain_policy_gradient(lives):
    one, other = updated(ProMP(steps=1), lives)[0], updated(PolicyGradient(), lives)[0]
    np.testing.assert_allclose(flat(one.meta), flat(other.meta), atol=1e-6)


def test_the_coefficient_follows_the_measured_kl(lives):
    outer = ProMP(adaptive=True, inner_kl=1.0, lr=1e-5)
    assert updated(outer, lives)[0].coefficient == 0.5
    assert updated(replace(outer, target_kl=1e-12), lives)[0].coefficient == 2.0
    with pytest.raises(ValueError, match=r"outer\.steps is 1; it must be at least 2"):
        replace(outer, steps=1).check(INNER)


def test_reptile_moves_a_part_of_the_way_to_the_mean_of_the_adapted(lives):
    state, metrics = updated(Reptile(lr=0.3), lives)
    adapted = jax.vmap(lambda life: replay(INNER, META, life, learn_last=True)[2])(lives)
    assert (adapted.steps == 3).all()
    mean = flat(jax.tree.map(lambda x: jnp.mean(x, 0), adapted.net))
    np.testing.assert_allclose(flat(state.meta), flat(META) + 0.3 * (mean - flat(META)), atol=1e-6)
    np.testing.assert_allclose(metrics["moved"], 0.3 * np.linalg.norm(mean - flat(META)), rtol=1e-5)


@pytest.mark.parametrize(
    "inner",
    [replace(INNER, adapts="context", context=2), Recurrent(Plan(1, 6, 1), FAMILY.spaces, width=4)],
    ids=["context", "memory"],
)
def test_reptile_refuses_inners_that_adapt_none_of_meta(inner):
    Reptile().check(INNER)
    with pytest.raises(ValueError, match="adapts none of its own"):
        Reptile().check(inner)


def test_experience_before_adaptation_is_credited_only_where_there_is_some():
    with pytest.raises(ValueError, match="no experience before"):
        PolicyGradient(exploration=1.0).check(INNER.with_plan(Plan(1, 6, 3)))
