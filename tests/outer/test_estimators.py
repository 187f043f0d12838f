"""Meta-gradient estimators against exact enumeration: a bandit and a small tabular MDP, every experience there can be.

Nothing is sampled. Each estimator's mean is compared with what it should estimate, found here from the MDP's definition by
differentiating sums over all trajectories; MAML's and LVC's biases are asserted too. Float64.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from innerloop.core import Categorical, Chunk, Discrete, Lifetime, Plan, Spaces, Step, Task, birth, replay
from innerloop.inner.gradient import Gradient
from innerloop.outer.policy_gradient import PolicyGradient
from innerloop.outer.promp import ProMP

RATE = 1.5
OUTER = PolicyGradient(weights="return", discount=1.0)


class MDP(NamedTuple):
    """Two states, two actions, from state 0; `to` and `pays` [state, action]."""

    horizon: int
    to: np.ndarray
    pays: np.ndarray

    def trajectories(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States, actions and rewards of all of them, each [2^T, T]."""
        actions = np.array(list(itertools.product(range(2), repeat=self.horizon)))
        states = np.zeros_like(actions)
        for t in range(1, self.horizon):
            states[:, t] = self.to[states[:, t - 1], actions[:, t - 1]]
        return states, actions, self.pays[states, actions]


BANDIT = MDP(1, np.zeros((2, 2), int), np.array([[0.3, 1.0], [0.0, 0.0]]))
TABULAR = MDP(3, np.array([[0, 1], [1, 0]]), np.array([[0.2, -0.5], [1.5, 0.4]]))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


class Exact:
    """What is true of an MDP with a softmax policy of logits weight[state] + bias, by sums over its trajectories."""

    def __init__(self, mdp: MDP, **options):
        self.mdp = mdp
        self.states, self.actions, self.rewards = (jnp.asarray(x) for x in mdp.trajectories())
        self.to_go = jnp.cumsum(self.rewards[:, ::-1], 1)[:, ::-1]
        self.count = 2**mdp.horizon
        spaces = Spaces(Discrete(2), Discrete(2))
        given = {"lr": RATE, "later": 1.0, "discount": 1.0, "weights": "return", "hidden": ()} | options
        self.inner = Gradient(Plan(2, mdp.horizon, 1, restart=True), spaces, **given)
        net = jax.tree.map(lambda x: x.astype(float), self.inner.init(jax.random.key(0)))
        flat, self.net = ravel_pytree(net)
        self.theta = jnp.asarray(np.random.default_rng(4).normal(size=flat.size))
        # Action 1 is twice as likely as action 0 everywhere, so that these streams hold each trajectory in its proportion.
        self.thirds = flat.at[:].set(0.0).at[-1].set(math.log(2.0))
        self.proportional = jnp.repeat(
            jnp.arange(self.count), 2 ** jnp.sum(self.actions, 1), total_repeat_length=3**mdp.horizon
        )

    def log_probs(self, theta):
        """[2^T, T]"""
        head = self.net(theta).head.dense
        log_p = jax.nn.log_softmax(head.weight + jnp.broadcast_to(head.bias, (2, 2)))
        return log_p[self.states, self.actions]

    def chances(self, theta):
        return jnp.exp(jnp.sum(self.log_probs(theta), 1))

    def gain(self, theta):
        """Expected return of an episode."""
        return jnp.sum(self.chances(theta) * jnp.sum(self.rewards, 1))

    def stepped(self, theta, i):
        """One inner step on trajectory i alone: mean over its rows of ∇ log π times the reward to go."""
        return theta + RATE * jax.grad(lambda x: jnp.mean(self.log_probs(x)[i] * self.to_go[i]))(theta)

    def after(self, theta):
        """One inner step on the exact expectation."""
        return theta + RATE * jax.grad(self.gain)(theta) / self.mdp.horizon

    def paid(self, theta, steps):
        """Expected return after `steps` inner steps, each on one episode lived with what the one before made."""
        if steps == 0:
            return self.gain(theta)
        return sum(self.chances(theta)[i] * self.paid(self.stepped(theta, i), steps - 1) for i in range(self.count))

    def life(self, theta, which) -> Lifetime:
        """The life whose streams [K, N] lived these trajectories, recorded with the policies that `theta` adapts to."""
        k, n = which.shape
        t = self.mdp.horizon
        inner = self.inner.with_plan(Plan(k, t, n, restart=True))
        obs, action, reward = (x[which].transpose(0, 2, 1) for x in (self.states, self.actions, self.rewards))
        no = jnp.zeros((k, t, n), bool)
        zero = jnp.zeros((k, t, n))
        first = no.at[:, 0].set(True)
        step = Step(obs, jnp.zeros_like(action), zero, obs, first, no, no.at[0, 0].set(True))
        dist = Categorical(jnp.zeros((k, t, n, 2)))
        rows = Chunk(step, action, dist, zero, zero, reward, no, no.at[:, -1].set(True), obs, ~no)
        last = birth(inner.spaces, jnp.zeros(n, int), n)
        key, meta = jax.random.key(0), self.net(theta)
        life = Lifetime(rows, last, key, inner.begin(meta, key), jnp.asarray(True), Task(jnp.int32(-1), ()))
        for _ in range(k):  # each pass makes one more chunk's policies right
            dist = jax.lax.stop_gradient(replay(inner, meta, life)[0].dist)
            life = life._replace(chunks=life.chunks._replace(dist=dist, log_prob=dist.log_prob(action)))
        return life

    def mean_gradient(self, theta, steps, outer=OUTER):
        """The outer's ascent direction in units of the episode's return, in the mean over all lives of single episodes."""
        inner = self.inner.with_plan(Plan(steps + 1, self.mdp.horizon, 1, restart=True))

        def one(which):
            life = self.life(theta, which[:, None])
            batch = jax.tree.map(lambda x: x[None], life)
            gradient, _, bad = outer.gradient(inner, self.net(theta), batch)
            return jnp.exp(jnp.sum(life.chunks.log_prob)) * ravel_pytree(gradient)[0], bad

        every = jnp.array(list(itertools.product(range(self.count), repeat=steps + 1)))
        found, bad = jax.jit(lambda every: jax.lax.map(one, every))(every)
        assert not bad.any()
        return -self.mdp.horizon * jnp.sum(found, 0)

    def adapted(self, theta, which):
        """θ' after one library step on a chunk whose streams [N] lived these trajectories with `theta`; its derivative; and
        the same life re-evaluated at other parameters."""

        def run(x, life):
            inner = self.inner.with_plan(Plan(1, self.mdp.horizon, which.size, restart=True))
            return ravel_pytree(replay(inner, self.net(x), life, learn_last=True)[2].net)[0]

        life = self.life(theta, which[None])
        return run(theta, life), jax.jacobian(run)(theta, life), lambda x: run(x, life)


both = pytest.mark.parametrize("mdp", [BANDIT, TABULAR], ids=["bandit", "tabular"])
MDPS = {"bandit": BANDIT, "tabular": TABULAR}


@both
@pytest.mark.parametrize("estimator", ["vpg", "lvc", "dice"])
def test_the_inner_steps_mean_and_that_of_its_derivative(mdp, estimator):
    """The step is the policy gradient for all three. Its derivative's mean is I + α Hessian for DiCE; LVC lacks the cross
    terms between the steps of an episode, VPG all products of scores."""
    exact = Exact(mdp, estimator=estimator)
    theta, chances = exact.theta, exact.chances(exact.theta)
    step, slope = jax.jit(lambda: jax.lax.map(lambda i: exact.adapted(theta, i[None])[:2], jnp.arange(exact.count)))()
    size = RATE / mdp.horizon
    moved = jnp.einsum("i,ij->j", chances, step) - theta
    np.testing.assert_allclose(moved, size * jax.grad(exact.gain)(theta), atol=1e-10)

    score = jax.jacobian(exact.log_probs)(theta)  # [2^T, T, P]
    weight = jnp.einsum("i,it->it", chances, exact.to_go)
    without = jnp.einsum("it,itpq->pq", weight, jax.hessian(exact.log_probs)(theta))
    squares = jnp.einsum("it,itp,itq->pq", weight, score, score)
    past = jnp.cumsum(score, 1) - score
    crossed = jnp.einsum("it,itp,itq->pq", weight, score, past)
    crossed += crossed.T
    hessian = jax.hessian(exact.gain)(theta)
    np.testing.assert_allclose(without + squares + crossed, hessian, atol=1e-10)  # the theory holds of this MDP
    expected = {"vpg": without, "lvc": without + squares, "dice": hessian}[estimator]
    found = (jnp.einsum("i,ipq->pq", chances, slope) - jnp.eye(theta.size)) / size
    np.testing.assert_allclose(found, expected, atol=1e-10)
    biased = estimator == "vpg" or (estimator == "lvc" and mdp.horizon > 1)
    assert (jnp.abs(found - hessian).max() > 0.02) == biased


@both
@pytest.mark.parametrize("estimator", ["vpg", "lvc", "dice", "first order"])
def test_the_meta_gradient_of_adaptation_to_exact_experience(mdp, estimator):
    """With all trajectories as streams, in proportion to their chances, the inner step is the exact one, θ' = θ + α ∇J. The
    outer's mean is then the gradient of J(θ') for DiCE, and for LVC where episodes have one step; FOMAML's is ∇J at θ'."""
    first = estimator == "first order"
    exact = Exact(mdp, **({"first_order": True} if first else {"estimator": estimator}))
    theta, streams = exact.thirds, exact.proportional
    inner = exact.inner.with_plan(Plan(2, mdp.horizon, streams.size, restart=True))
    after = exact.after(theta)

    def one(i):
        life = exact.life(theta, jnp.stack([streams, jnp.full(streams.size, i)]))
        gradient, _, _ = OUTER.gradient(inner, exact.net(theta), jax.tree.map(lambda x: x[None], life))
        return exact.chances(after)[i] * ravel_pytree(gradient)[0]

    found = -mdp.horizon * jnp.sum(jax.jit(lambda: jax.lax.map(one, jnp.arange(exact.count)))(), 0)
    truth = jax.grad(lambda x: exact.gain(exact.after(x)))(theta)
    plain = jax.grad(exact.gain)(after)
    assert jnp.abs(truth - plain).max() > 0.02
    if first:
        np.testing.assert_allclose(found, plain, atol=1e-10)
    elif estimator == "dice" or (estimator == "lvc" and mdp.horizon == 1):
        np.testing.assert_allclose(found, truth, atol=1e-10)
    else:
        assert jnp.abs(found - truth).max() > 0.005


@pytest.mark.parametrize(("name", "steps"), [("bandit", 1), ("bandit", 2), ("bandit", 5), ("tabular", 1), ("tabular", 2)])
def test_e_maml_estimates_the_whole_gradient_and_maml_a_part_of_it(name, steps):
    """E[J(θ')] over the experience that θ lives, after 1 to 5 inner steps on one episode each: MAML lacks Σ ∇log π(τ) J(θ')."""
    exact = Exact(MDPS[name])
    theta = exact.theta
    truth = jax.jit(jax.grad(lambda x: exact.paid(x, steps)))(theta)
    np.testing.assert_allclose(exact.mean_gradient(theta, steps, replace(OUTER, exploration=1.0)), truth, atol=1e-9)
    maml = exact.mean_gradient(theta, steps)
    assert jnp.abs(maml - truth).max() > 0.02
    if steps == 1:
        kept = sum(
            exact.chances(theta)[i] * jax.grad(lambda x, i=i: exact.gain(exact.stepped(x, i)))(theta)
            for i in range(exact.count)
        )
        np.testing.assert_allclose(maml, kept, atol=1e-10)


def test_the_other_tasks_are_a_baseline_without_bias():
    """Two lives of the bandit side by side: each one's reward is compared with the other's, and the mean stays the truth."""
    exact = Exact(BANDIT)
    theta, outer = exact.theta, replace(OUTER, exploration=1.0)

    def pair(which):
        lives = jax.vmap(lambda w: exact.life(theta, w[:, None]))(which)
        gradient, _, _ = outer.gradient(exact.inner, exact.net(theta), lives)
        return jnp.exp(jnp.sum(lives.chunks.log_prob)) * ravel_pytree(gradient)[0]

    every = jnp.array(list(itertools.product(range(2), repeat=4))).reshape(-1, 2, 2)
    found = -jnp.sum(jax.jit(lambda: jax.lax.map(pair, every))(), 0)
    np.testing.assert_allclose(found, jax.grad(lambda x: exact.paid(x, 1))(theta), atol=1e-10)


@pytest.mark.parametrize("estimator", ["vpg", "lvc"])
def test_only_the_ratio_to_the_sampling_policy_stays_right_where_the_parameters_have_moved(estimator):
    """Pulls in proportion to their chances: re-evaluated elsewhere, LVC's step is the exact one from there, and so is its
    derivative; the log-likelihood's is neither. ProMP's outer takes several steps on the same lives."""
    exact = Exact(BANDIT, estimator=estimator)
    _, _, run = exact.adapted(exact.thirds, exact.proportional)
    right = jnp.allclose(run(exact.theta), exact.after(exact.theta), atol=1e-10)
    straight = jnp.allclose(jax.jacobian(run)(exact.theta), jax.jacobian(exact.after)(exact.theta), atol=1e-10)
    assert right == straight == (estimator == "lvc")


@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_at_the_sampling_parameters_each_outer_has_ratio_1_and_kl_0_in_every_task(clip):
    """And ProMP's gradient is then that of the plain policy gradient, clipped or not."""
    exact = Exact(TABULAR, estimator="lvc")
    outer = ProMP(clip=clip, weights="return", discount=1.0)
    lives = jax.vmap(lambda w: exact.life(exact.theta, w[:, None]))(jnp.array([[0, 3], [5, 6], [7, 1]]))
    meta = exact.net(exact.theta)
    for i in range(3):
        life = jax.tree.map(lambda x, i=i: x[i], lives)
        credit = exact.to_go[jnp.array([3, 6, 1])[i]][:, None]
        slope, metrics = jax.grad(lambda m: outer.loss(exact.inner, m, life, credit, jnp.float64(0.1)), has_aux=True)(meta)  # noqa: B023
        assert metrics["kl"] == 0 and metrics["inner_kl"] == 0 and metrics["clipped"] == 0
        np.testing.assert_allclose(metrics["surrogate"], -jnp.mean(credit), atol=1e-12)  # ratio 1
        alone = jax.tree.map(lambda x: x[None], life)
        plain, aux, _ = OUTER.gradient(exact.inner, meta, alone)
        assert aux["kl_at_start"] == 0
        np.testing.assert_allclose(aux["surrogate"], -jnp.mean(credit), atol=1e-12)
        if clip:
            np.testing.assert_allclose(ravel_pytree(slope)[0], ravel_pytree(plain)[0], atol=1e-12)
