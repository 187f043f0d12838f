"""[9] Meta-gradients against finite differences in float64, and estimators against exact enumeration on small bandits.

Each estimator is compared with what it should estimate, and MAML's with its known bias: it takes no gradient through
the law of the experience that `learn` saw.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from registry import CASES, Case, lived

from innerloop.core import Box, Categorical, Chunk, Discrete, Lifetime, Plan, Spaces, Step, Task, birth, replay
from innerloop.inner.discovered_rule import DiscoveredRule
from innerloop.inner.gradient import Gradient, GradientFast, PolicyNet
from innerloop.inner.recurrent import Recurrent
from innerloop.nets.layers import Dense, Head, Perceptron
from innerloop.outer.ppo import PPO

SPACES = Spaces(Box((1,), -1.0, 1.0), Discrete(2))
PAYS = np.array([0.3, 1.0])  # of the two arms, always
plain = [c for c in CASES if not any(word in c.name for word in ("scratch", "random", "oracle", "no adap"))]
# First order, DiCE's magic box and a discovered rule, which reads its agent's policy as given, are not the derivative of what
# they compute, on purpose.
adaptive = [
    c
    for c in plain
    if not getattr(c.inner, "first_order", False)
    and getattr(c.inner, "estimator", "") != "dice"
    and not isinstance(c.inner, DiscoveredRule)
]


def wide(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, tree)


def moved(tree, along, size):
    return jax.tree.map(lambda x, d: x + size * d, tree, along)


@pytest.mark.parametrize("case", adaptive, ids=repr)
def test_the_meta_gradient_is_that_of_finite_differences(case: Case):
    """Through the whole life: `begin`, every `learn` that is followed by decisions, and every decision and value."""
    made, inner = lived(case), case.inner
    if hasattr(inner, "through_encoder"):  # else no gradient passes the belief, on purpose
        inner = replace(inner, through_encoder=True)
    life = jax.tree.map(lambda x: x[0], made.lives)
    with jax.enable_x64(True):
        meta, life64 = wide(made.meta), life._replace(chunks=wide(life.chunks), last=wide(life.last), start=wide(life.start))

        @jax.jit
        def objective(meta):
            decision, ahead, _ = replay(inner, meta, life64)
            fit = decision.dist.log_prob(life64.chunks.action)
            weight = jnp.cos(jnp.arange(fit.size, dtype=float)).reshape(fit.shape)
            return jnp.sum(weight * fit) + jnp.sum(decision.value**2) + jnp.sum(decision.dist.entropy()) + jnp.sum(ahead)

        rng = np.random.default_rng(0)
        meta = jax.tree.map(lambda x: x + 0.05 * rng.normal(size=x.shape), meta)  # off the kinks of ReLU at zero biases
        gradient = jax.jit(jax.grad(objective))(meta)
        for _ in range(3):
            along = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), meta)
            for name in ("obs", "reward"):  # statistics are carried, not learned
                if getattr(meta, name, None) is not None:
                    along = along._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(meta, name))})
            up, down = (moved(meta, along, size) for size in (1e-6, -1e-6))
            slope = (objective(up) - objective(down)) / 2e-6
            exact = sum(jnp.sum(g * d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(along), strict=True))
            assert abs(exact - slope) < 1e-5 * (1 + abs(slope))


def test_first_order_drops_the_second_order():
    """The negative control: without the gradient through the inner gradient, finite differences disagree."""
    case = next(c for c in CASES if getattr(c.inner, "first_order", False))
    made = lived(case)
    life = jax.tree.map(lambda x: x[0], made.lives)

    def objective(inner):
        return jax.jit(jax.grad(lambda m: jnp.sum(replay(inner, m, life)[0].dist.log_prob(life.chunks.action)[1])))

    first, second = objective(case.inner)(made.meta), objective(replace(case.inner, first_order=False))(made.meta)
    assert max(float(jnp.abs(a - b).max()) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)) > 1e-3


def recorded(plan: Plan, actions, rewards, log_probs, dist, values=None) -> Lifetime:
    """A life in a bandit from its actions, rewards, log-probabilities and logits, all [K, T, N, ...]."""
    k, t, n = plan[:3]
    zeros, no = jnp.zeros((k, t, n)), jnp.zeros((k, t, n), bool)
    actions, rewards = jnp.asarray(actions, jnp.int32), jnp.asarray(rewards, float)
    flat_a, flat_r = actions.reshape(k * t, n), rewards.reshape(k * t, n)
    before = jnp.concatenate([jnp.zeros((1, n), jnp.int32), flat_a[:-1]]).reshape(k, t, n)
    got = jnp.concatenate([jnp.zeros((1, n)), flat_r[:-1]]).reshape(k, t, n)
    obs = jnp.zeros((k, t, n, 1))
    born = no.at[0, 0].set(True)
    step = Step(obs, before, got, obs, born, no, born)
    values = zeros if values is None else values
    chunk = Chunk(step, actions, dist, log_probs, values, rewards, no, no, obs, ~no)
    task = Task(jnp.int32(-1), jnp.zeros(()))
    last = birth(SPACES, jnp.zeros((n, 1)), n)
    return Lifetime(chunk, last, jax.random.key(0), (), jnp.asarray(True), task)


def test_maml_estimates_the_gradient_after_adaptation_and_not_that_of_the_experience():
    """Log-likelihood MAML on a bandit of two arms: two pulls, one inner step on reward-to-go, one pull that counts.

    Enumerated over all experience, the estimator's mean is Σ_a π_θ(a) ∇_θ J(θ − α ∇L(θ; a)), derived here by hand; the true
    gradient of E[J(θ')] has a second term, Σ_a ∇π_θ(a) J(θ'(a)), which the estimator leaves out.
    """
    rate, theta = 0.7, np.array([0.2, -0.4])
    with jax.enable_x64(True):
        inner = Gradient(Plan(2, 1, 2), SPACES, hidden=(), lr=rate, weights="return")

        def meta(logits):
            return PolicyNet(Perceptron(()), Head(Dense(jnp.zeros((1, 2)), logits), None))

        def pi(logits):
            return np.exp(logits) / np.exp(logits).sum()

        def after(logits, pulls):
            """θ' by hand: ∇ log π(a) = e_a − π, averaged over the pulls."""
            step = sum(PAYS[a] * (np.eye(2)[a] - pi(logits)) for a in pulls) / len(pulls)
            return logits + rate * step

        def gain(logits):
            return pi(logits) @ PAYS

        def slope(f, at, eps=1e-6):
            return np.array([(f(at + eps * e) - f(at - eps * e)) / (2 * eps) for e in np.eye(2)])

        @jax.jit
        def estimate(logits, pulls, plays):
            """∇ Σ log π_θ'(a') r(a') by the library, for one outcome of the experience and of the pull that counts."""

            def objective(logits):
                actions = jnp.stack([pulls[None], plays[None]])
                zero = jnp.zeros((2, 1, 2))
                life = recorded(Plan(2, 1, 2), actions, jnp.asarray(PAYS)[actions], zero, Categorical(jnp.zeros((2, 1, 2, 2))))
                life = life._replace(start=GradientFast(jax.tree.map(jnp.zeros_like, meta(logits)), jnp.int32(0)))
                decision, _, _ = replay(inner, meta(logits), life)
                log_prob = decision.dist.log_prob(actions)[1, 0]
                return jnp.mean(log_prob * jnp.asarray(PAYS)[plays])

            return jax.grad(objective)(logits)

        mean, adapted, truth = np.zeros(2), np.zeros(2), 0.0
        for pulls in itertools.product(range(2), repeat=2):
            chance = np.prod(pi(theta)[list(pulls)])
            later = pi(after(theta, pulls))
            for plays in itertools.product(range(2), repeat=2):
                found = np.asarray(estimate(jnp.asarray(theta), jnp.array(pulls), jnp.array(plays)))
                mean += chance * np.prod(later[list(plays)]) * found
            adapted += chance * slope(lambda x, pulls=pulls: gain(after(x, pulls)), theta)

    def expected(logits):
        return sum(np.prod(pi(logits)[list(p)]) * gain(after(logits, p)) for p in itertools.product(range(2), repeat=2))

    truth = slope(expected, theta)
    np.testing.assert_allclose(mean, adapted, atol=1e-8)
    assert np.abs(truth - adapted).max() > 0.01  # the bias is there: exploration is not paid for
    score = np.zeros(2)
    for pulls in itertools.product(range(2), repeat=2):
        score += slope(lambda x, pulls=pulls: np.prod(pi(x)[list(pulls)]), theta) * gain(after(theta, pulls))
    np.testing.assert_allclose(truth, adapted + score, atol=1e-7)


def test_the_inner_surrogate_has_the_right_gradient_and_the_wrong_curvature():
    """In the mean over experience: its gradient is that of −J; its Hessian lacks Σ_a r ∇π ∇log πᵀ, the other known bias."""
    theta = jnp.array([0.2, -0.4])
    pays = jnp.asarray(PAYS, jnp.float32)

    def gain(logits):
        return jax.nn.softmax(logits) @ pays

    def surrogate(logits):
        return -jnp.sum(jax.lax.stop_gradient(jax.nn.softmax(theta)) * pays * jax.nn.log_softmax(logits))

    inner = Gradient(Plan(1, 1, 1), SPACES, hidden=(), lr=1.0, weights="return")
    net = PolicyNet(Perceptron(()), Head(Dense(jnp.zeros((1, 2)), theta), None))

    def learned(arm):
        life = recorded(Plan(1, 1, 1), [[[arm]]], [[[PAYS[arm]]]], jnp.zeros((1, 1, 1)), Categorical(jnp.zeros((1, 1, 1, 2))))
        rows = jax.tree.map(lambda x: x[0], life.chunks)
        return inner.learn(net, GradientFast(net, jnp.int32(0)), rows, jax.random.key(0)).net.head.dense.bias - theta

    step = sum(jax.nn.softmax(theta)[a] * learned(a) for a in range(2))
    np.testing.assert_allclose(step, jax.grad(gain)(theta), atol=1e-6)
    np.testing.assert_allclose(step, -jax.grad(surrogate)(theta), atol=1e-6)
    assert jnp.abs(jax.hessian(gain)(theta) + jax.hessian(surrogate)(theta)).max() > 0.05


def test_rl2_with_ppo_estimates_the_gradient_of_the_trials_return():
    """A GRU in a bandit of two arms, two pulls: PPO's gradient at the sampling parameters, enumerated over all trials, is
    the slope of the expected return over the trial's length, found by differences of a forward pass written out here."""
    with jax.enable_x64(True):
        inner = Recurrent(Plan(1, 2, 1), SPACES, width=4)
        meta = wide(inner.init(jax.random.key(2)))
        chances = jnp.array([0.2, 0.9])
        outer = PPO(discount=1.0, gae_lambda=1.0, value_weight=0.0)
        trials = [(a, r, b, s) for a in range(2) for r in range(2) for b in range(2) for s in range(2)]

        def forward(meta, a, r, b, s):
            """Both decisions of a trial and its chance, by observe and decide alone."""
            fast = inner.begin(meta, jax.random.key(0))
            step = birth(SPACES, jnp.zeros((1, 1)), 1)
            fast = inner.observe(meta, fast, step)
            one = inner.decide(meta, fast, step.obs)
            no = jnp.zeros(1, bool)
            then = Step(step.obs, jnp.array([a], jnp.int32), jnp.array([float(r)]), step.obs, no, no, no)
            fast = inner.observe(meta, fast, then)
            two = inner.decide(meta, fast, step.obs)
            pays = lambda arm, won: jnp.where(won, chances[arm], 1 - chances[arm])  # noqa: E731
            log_one, log_two = one.dist.log_prob(jnp.array([a])), two.dist.log_prob(jnp.array([b]))
            return one, two, (jnp.exp(log_one + log_two) * pays(a, r) * pays(b, s))[0]

        @jax.jit
        def expected(meta):
            return sum(forward(meta, *t)[2] * (t[1] + t[3]) for t in trials)

        @jax.jit
        def mean_estimate(meta):
            total = jax.tree.map(jnp.zeros_like, meta)
            for a, r, b, s in trials:
                one, two, chance = forward(meta, a, r, b, s)
                stack = lambda x, y: jnp.stack([x, y])[None]  # noqa: E731
                dist = jax.tree.map(stack, one.dist, two.dist)
                actions, rewards = jnp.array([a, b]).reshape(1, 2, 1), jnp.array([r, s], float).reshape(1, 2, 1)
                life = recorded(inner.plan, actions, rewards, dist.log_prob(actions), dist, stack(one.value, two.value))
                life = life._replace(start=inner.begin(meta, jax.random.key(0)))
                batch = jax.tree.map(lambda x: x[None], life)
                state = outer.init(inner, meta, None, batch, jax.random.key(0))
                advantage, _, _ = outer.advantages(inner, state, batch)

                def loss(meta, life=life, advantage=advantage):
                    decision, _, _ = replay(inner, meta, life)
                    ratio = jnp.exp(decision.dist.log_prob(life.chunks.action) - life.chunks.log_prob)
                    return jnp.mean(ratio * advantage.reshape(ratio.shape))

                total = jax.tree.map(lambda t, g, c=chance: t + c * g, total, jax.grad(loss)(meta))
            return total

        found = mean_estimate(meta)
        rng = np.random.default_rng(0)
        for _ in range(4):
            along = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), meta)
            up, down = (moved(meta, along, size) for size in (1e-5, -1e-5))
            slope = (expected(up) - expected(down)) / 2e-5
            exact = 2 * sum(jnp.sum(g * d) for g, d in zip(jax.tree.leaves(found), jax.tree.leaves(along), strict=True))
            assert abs(slope) > 1e-3 and abs(exact - slope) < 1e-4 * abs(slope) + 1e-6
