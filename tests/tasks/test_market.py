"""Market making: wealth is accounted for, dynamic programming is what acting earns, and nothing earns more."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks import market
from innerloop.tasks.market import LENGTH, MOST, PENALTY, QUOTES, RANGES, Desk, Regime
from innerloop.tasks.names import family

FAMILY = family("market-making")
REGIME = Regime(*(jnp.float32(x) for x in (0.8, 0.7, 1.0, 0.2, 0.3)))


def test_regimes_of_training_and_beyond_do_not_overlap():
    for env, at in ((FAMILY, 0), (family("market-making-beyond"), 1)):
        drawn = jax.jit(lambda key, env=env: env.split("test").sample(key, 3000))(jax.random.key(0)).params._asdict()
        for name, pieces in RANGES.items():
            x = np.asarray(drawn[name])
            inside = [(x >= low - 1e-5) & (x <= high + 1e-5) for low, high in pieces[at]]
            assert np.any(inside, 0).all(), name
            assert all(0.8 / len(inside) < part.mean() < 1.2 / len(inside) for part in inside), name


def test_the_reward_is_the_change_of_wealth_less_the_penalty():
    task, step = Task(jnp.int32(-1), REGIME), jax.jit(FAMILY.step)
    state, cash, mid, total = Desk(jnp.int32(0), jnp.int32(0)), 0.0, 100.0, 0.0
    wealth = 0.0
    for t in range(LENGTH):
        action = (7 * t) % len(QUOTES)
        state, obs, reward, _, over = step(task, state, jnp.int32(action), jax.random.key(t))
        _, _, move, bid, ask = np.asarray(obs)
        cash += ask * (mid + QUOTES[action, 1]) - bid * (mid - QUOTES[action, 0])
        mid += move
        before, wealth = wealth, cash + int(state.inventory) * mid
        assert float(reward) == pytest.approx(wealth - before - PENALTY * int(state.inventory) ** 2, abs=2e-3)
        total += float(reward)
        assert bool(over) == (t == LENGTH - 1)
    assert abs(int(state.inventory)) <= MOST


def test_quotes_are_taken_as_often_as_is_said_and_not_beyond_the_limit():
    task = Task(jnp.int32(-1), REGIME)
    keys = jax.random.split(jax.random.key(0), 20_000)
    for inventory, action in itertools.product((0, MOST, -MOST), (0, 8, 24)):
        state = Desk(jnp.int32(inventory), jnp.int32(3))
        seen = jax.vmap(FAMILY.step, (None, None, None, 0))(task, state, jnp.int32(action), keys)[1]
        expected = 0.8 * np.exp(-0.7 * QUOTES[action]) * [inventory < MOST, inventory > -MOST]
        np.testing.assert_allclose(np.asarray(seen[:, 3:]).mean(0), expected, atol=0.015)


def test_values_are_those_of_all_plans_of_a_short_end():
    """The last two steps by hand: the best first quote, and for each outcome the best second."""
    chances = lambda q, a: np.asarray(market._taken(REGIME, jnp.int32(q), QUOTES[a]))  # noqa: E731

    def worth(q: int, a: int, left: int) -> float:
        found = 0.0
        for bid, ask in itertools.product((0, 1), (0, 1)):
            p = np.prod([c if hit else 1 - c for c, hit in zip(chances(q, a), (bid, ask), strict=True)])
            after = q + bid - ask
            paid = bid * QUOTES[a, 0] + ask * QUOTES[a, 1] + after * (0.2 + 0.3 * (ask - bid)) - PENALTY * after**2
            later = max(worth(after, b, left - 1) for b in range(len(QUOTES))) if left > 1 else 0.0
            found += p * (paid + later)
        return float(found)

    values = np.asarray(market._values(REGIME))
    for q in (-2, 0, 3):
        for a in (0, 7, 18):
            assert values[-1, q + MOST, a] == pytest.approx(worth(q, a, 1), abs=1e-4)
    assert values[-2, MOST, 7] == pytest.approx(worth(0, 7, 2), abs=1e-4)


def test_a_known_drift_is_worth_something():
    still, up = (float(FAMILY.best(Task(jnp.int32(-1), REGIME._replace(drift=jnp.float32(x))))) for x in (0.0, 0.3))
    assert up > still + 5
