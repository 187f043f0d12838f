"""A discovered rule gives the targets and losses that the published implementation gives (`benchmarks/disco_reference.py`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Categorical, Chunk, Discrete, Plan, Spaces, Step
from innerloop.inner.discovered_rule import DiscoveredRule, Moments
from innerloop.nets.disco import DiscoNet, Outlook, from_arrays
from innerloop.run.rule_file import read_rule

REFERENCE = dict(np.load(Path(__file__).with_name("disco_reference.npz")))
T, N, A = 5, 3, 4
SMALL = DiscoveredRule(
    Plan(2, T, N),
    Spaces(Discrete(3), Discrete(A)),
    predictions=6,
    width=5,
    life_width=3,
    hidden=(8, 8),
    model_width=8,
    head_width=8,
    bins=7,
    largest=4.0,
)


def rule() -> DiscoNet:
    return from_arrays({name.removeprefix("rule/"): x for name, x in REFERENCE.items() if name.startswith("rule/")})


def outlooks(of: str, update: int) -> tuple[Outlook, Outlook]:
    """At the observations of the rows, and at those that followed."""
    whole = Outlook(*(jnp.asarray(REFERENCE[f"{update}/{of}/{name}"]) for name in ("logits", "y", "z", "aux_pi", "q")))
    return jax.tree.map(lambda x: x[:-1], whole), jax.tree.map(lambda x: x[1:], whole)


def chunk(update: int) -> Chunk:
    action, logits, terminal, reward = (REFERENCE[f"{update}/{x}"] for x in ("action", "behaviour", "terminal", "reward"))
    action, dist, no = jnp.asarray(action[:-1]), Categorical(jnp.asarray(logits[:-1])), jnp.zeros((T, N), bool)
    obs, reward = jnp.zeros((T, N), jnp.int32), jnp.asarray(reward)
    step = Step(obs, action, reward, obs, no, no, no)
    log_prob = dist.log_prob(action)
    return Chunk(step, action, dist, log_prob, 0 * reward, reward, jnp.asarray(terminal), no, obs, ~no)


def same(ours: Any, name: str) -> None:
    """Both are float32, in which the squashing of values loses a digit or two."""
    np.testing.assert_allclose(ours, REFERENCE[name], rtol=1e-3, atol=5e-4)


def test_targets_and_losses_are_the_published_ones():
    net, moments = rule(), Moments.empty()
    held = net.born()
    for update in range(2):
        seen = (*outlooks("now", update), *outlooks("slow", update))
        life = chunk(update)
        row, q_target, moments = SMALL.row(life, *seen, moments)
        made, held = net.targets(held, row, *seen)
        for name, ours in {"pi": made.policy, "y": made.y, "z": made.z, "q_target": q_target}.items():
            same(ours, f"{update}/made/{name}")
        same(row.normalised, f"{update}/made/normalized_adv")
        same(SMALL.losses(seen[0], life, made, q_target, seen[1].policy), f"{update}/losses")


def test_rows_that_are_no_transitions_change_nothing():
    """A chunk with rows of nonsense at its end, masked, is the chunk without them."""
    net, seen = rule(), (*outlooks("now", 0), *outlooks("slow", 0))
    whole = chunk(0)
    cut = [jax.tree.map(lambda x: x[:-2], part) for part in (whole, *seen)]
    spoilt = whole._replace(mask=whole.mask.at[-2:].set(False), reward=whole.reward.at[-2:].set(jnp.nan))
    results = []
    for life, outlook in ((cut[0], cut[1:]), (spoilt, seen)):
        row, q_target, moments = SMALL.row(life, *outlook, Moments.empty())
        made, held = net.targets(net.born(), row, *outlook)
        results.append((jax.tree.map(lambda x: x[:3], (made, q_target)), held, moments))
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_file_holds_the_net_that_is_saved(tmp_path: Path):
    path = tmp_path / "rule.npz"
    np.savez(path, **{name.removeprefix("rule/"): x for name, x in REFERENCE.items() if name.startswith("rule/")})  # pyright: ignore
    loaded = from_arrays(read_rule(path).weights)
    like = jax.eval_shape(SMALL.init, jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), loaded) == jax.tree.map(lambda x: (x.shape, x.dtype), like)
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(rule()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_agent_moves_towards_what_pays():
    """Not a test of the rule, whose weights are random here: of the value head, which follows the rewards by itself."""
    inner = replace(SMALL, lr=1e-2)
    meta = inner.init(jax.random.key(0))
    life = chunk(0)._replace(reward=jnp.full((T, N), 2.0), terminated=jnp.ones((T, N), bool))
    fast = inner.begin(meta, jax.random.key(1))
    learn = jax.jit(lambda fast: inner.learn(meta, fast, life, jax.random.key(2)))
    for _ in range(600):
        fast = learn(fast)
    q = inner._values(inner.outlook(fast.net, life.step.obs).q)
    taken = jnp.take_along_axis(q, life.action[..., None], -1)
    np.testing.assert_allclose(taken, 2.0, atol=0.2)


def test_actions_that_are_not_discrete_are_refused():
    inner = DiscoveredRule(Plan(2, T, N), Spaces(Discrete(3), Box((1,), -1.0, 1.0)))
    with pytest.raises(ValueError, match="Discrete"):
        inner.check()
