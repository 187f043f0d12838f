"""The belief: what moves it and what does not, whose gradient reaches it, and how well it explains a trial."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Belief, Normal, Plan, per_task, replay
from innerloop.inner.belief_filter import BeliefFilter
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

FAMILY = find("grid-navi")
INNER = BeliefFilter(Plan(1, 30, 2), FAMILY.spaces, width=8, embed=6, latent=3, hidden=(8,), decoder=(8,), features=4)
META = INNER.init(jax.random.key(0))


def lived(inner, tasks=2, family=FAMILY):
    drawn = family.sample(jax.random.key(1), tasks)
    return jax.jit(lambda key: DeviceWorld(family).live(inner, META, drawn, key)[0])(jax.random.key(2))


LIVES = lived(INNER)


def beliefs(inner, lives):
    return jax.jit(lambda lives: per_task(lambda life: replay(inner, META, life)[0].extras, lives))(lives)


def test_the_prior_has_seen_nothing():
    step = jax.tree.map(lambda x: x[0, 0, 0], LIVES.chunks.step)
    start = INNER.begin(META, jax.random.key(3))
    here = INNER.observe(META, start, step).belief
    other = step._replace(obs=step.obs + 3, arrived=step.arrived + 3, action=step.action + 1, reward=step.reward + 1)
    elsewhere = INNER.observe(META, start, other).belief
    for a, b in zip(here[:2], elsewhere[:2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_belief_lives_on_across_episodes_and_ends_with_the_trial():
    inner = INNER.with_plan(Plan(1, 60, 1, episodes=2))
    lives = lived(inner)
    first, born = (np.asarray(x[:, 0, :, 0]) for x in (lives.chunks.step.first, lives.chunks.step.born))
    mean = np.asarray(beliefs(inner, lives).mean[:, 0, :, 0])
    assert first[0].nonzero()[0].tolist() == [0, 15, 30, 45] and born[0].nonzero()[0].tolist() == [0, 30]
    np.testing.assert_array_equal(mean[:, 30], mean[:, 0])
    assert np.all(np.any(mean[:, 15] != mean[:, 0], -1))


@pytest.mark.parametrize("through", [False, True])
def test_the_policys_gradient_reaches_the_filter_only_where_it_is_let_through(through):
    inner = replace(INNER, through_encoder=through)
    life = jax.tree.map(lambda x: x[0], LIVES)

    def score(meta):
        decision = replay(inner, meta, life)[0]
        return jnp.sum(decision.dist.log_prob(life.chunks.action)) + jnp.sum(decision.value)

    gradient = jax.grad(score)(META)
    moved = any(np.any(x != 0) for x in jax.tree.leaves(gradient.filter))
    assert moved == through
    assert all(not np.any(x) for x in jax.tree.leaves(gradient.decoder))
    assert all(np.any(x != 0) for x in jax.tree.leaves((gradient.policy, gradient.body)))


def test_training_beliefs_moves_neither_policy_nor_critic():
    life = jax.tree.map(lambda x: x[0], LIVES)

    def bound(meta):
        e = INNER.evidence(meta, life, jax.random.key(4))
        return e.rewards - e.kl

    gradient = jax.grad(bound)(META)
    assert all(not np.any(x) for x in jax.tree.leaves((gradient.policy, gradient.body, gradient.value)))
    assert all(np.any(x != 0) for x in jax.tree.leaves((gradient.filter.cell.hidden, gradient.decoder.reward.latent_out)))


def certain(meta):
    """With beliefs that all but fix the latent, so that one draw says it all."""
    bias = meta.filter.belief.bias.at[3:].set(-40.0)
    weight = meta.filter.belief.weight.at[:, 3:].set(0.0)
    return meta._replace(filter=meta.filter._replace(belief=replace(meta.filter.belief, weight=weight, bias=bias)))


def halves(net, latent, row):
    """What either half of a decoder with one output says: an offset, then features."""
    out = []
    for x, body, last in ((latent, net.latent, net.latent_out), (row, net.rows, net.rows_out)):
        for layer in (*body.layers, last):
            x = x @ np.asarray(layer.weight) + np.asarray(layer.bias)
            x = x if layer is last else np.maximum(x, 0)
        out.append(x)
    return out


@pytest.mark.parametrize("likelihood", ["normal", "sign"])
def test_evidence_is_that_of_every_belief_and_every_transition_of_its_trial(likelihood):
    """By hand, with two trials in a life and rows that are no transitions."""
    inner = replace(INNER, likelihood=likelihood, plan=Plan(1, 60, 1, episodes=2))
    life = jax.tree.map(lambda x: x[0], lived(inner))
    mask = life.chunks.mask.at[0, 7:10].set(False).at[0, 50].set(False)
    life = life._replace(chunks=life.chunks._replace(mask=mask))
    meta = certain(META)
    found = inner.evidence(meta, life, jax.random.key(5))

    steps = jax.tree.map(lambda x, last: jnp.concatenate([x[0], last[None]]), life.chunks.step, life.last)
    _, belief = inner.beliefs(meta, inner.begin(meta, jax.random.key(0)), steps)
    mean, log_var = np.asarray(belief.mean[:, 0]), np.asarray(belief.log_var[:, 0])
    arrived = np.asarray(steps.arrived[1:, 0]) / 2 - 1  # as the box is encoded
    reward, there = np.asarray(life.chunks.reward[0, :, 0]), np.asarray(mask[0, :, 0])
    trial = np.cumsum(np.asarray(steps.born[:, 0]))
    sums, divergences = [], []
    for t in range(61):
        if not (there[t] if t < 60 else there[59]):
            continue
        total = 0.0
        for i in range(60):
            if there[i] and trial[i] == trial[t]:
                z, x = halves(meta.decoder.reward, mean[t], arrived[i])
                out = float(z[0] + x[0] + z[1:] @ x[1:])
                if likelihood == "normal":
                    total -= (reward[i] - out) ** 2
                else:
                    total += np.log(1 / (1 + np.exp(-out if reward[i] > 0 else out)))
        sums.append(total)
        before = (np.zeros(3), np.zeros(3)) if t == 0 or trial[t] != trial[t - 1] else (mean[t - 1], log_var[t - 1])
        now, prior = (Normal(jnp.asarray(m), 0.5 * jnp.asarray(v)) for m, v in ((mean[t], log_var[t]), before))
        divergences.append(float(now.kl(prior)))
    np.testing.assert_allclose(found.rewards, np.mean(sums), rtol=1e-3)
    np.testing.assert_allclose(found.kl, np.mean(divergences), rtol=1e-3)
    assert found.states == 0


def test_what_a_row_without_a_transition_holds_does_not_count():
    life = jax.tree.map(lambda x: x[0], LIVES)
    mask = life.chunks.mask.at[0, 12].set(False)
    rows = life.chunks._replace(mask=mask)
    other = rows._replace(reward=rows.reward.at[0, 12].set(1e6))
    a, b = (INNER.evidence(META, life._replace(chunks=c), jax.random.key(6)) for c in (rows, other))
    np.testing.assert_allclose(a.rewards, b.rewards, rtol=1e-6)


def test_some_terms_and_decodes_estimate_all_of_them():
    life = jax.tree.map(lambda x: x[0], LIVES)
    meta = certain(META)
    whole = INNER.evidence(meta, life, jax.random.key(7))
    part = jax.jit(jax.vmap(lambda key: INNER.evidence(meta, life, key, terms=5, decodes=6)))
    found = part(jax.random.split(jax.random.key(8), 400))
    error = np.std(found.rewards) / 20
    assert abs(np.mean(found.rewards) - whole.rewards) < 4 * error
    np.testing.assert_allclose(found.kl, whole.kl, rtol=1e-5)


def test_states_are_explained_where_they_are_foretold():
    inner = replace(INNER, states=True, explains="transition")
    meta = inner.init(jax.random.key(0))
    life = jax.tree.map(lambda x: x[0], LIVES)
    gradient = jax.grad(lambda meta: inner.evidence(meta, life, jax.random.key(9)).states)(meta)
    assert np.any(gradient.decoder.state.rows_out.weight != 0)
    assert not np.any(gradient.decoder.reward.rows_out.weight)


def test_rewards_are_foreseen_from_where_one_arrives():
    inner = replace(INNER, likelihood="sign")
    belief = Belief(jnp.zeros(3), jnp.zeros(3))
    found = inner.foresee(META, belief, jnp.zeros((7, 2)))
    assert found.shape == (7,) and np.all((found > 0) & (found < 1))
    assert replace(INNER, explains="transition").foresee(META, belief, jnp.zeros((7, 2))) is None


def test_settings_that_make_no_sense_are_refused():
    for settings, said in (
        ({"likelihood": "gauss"}, "inner.likelihood"),
        ({"explains": "all"}, "inner.explains"),
        ({"latent": 0}, "latent"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(INNER, **settings).check()
