import itertools

import numpy as np
import pytest

from innerloop.evaluate import mdp_oracle


def test_plan_is_at_least_every_stationary_policy_and_its_own_value():
    mdp = mdp_oracle.draw(np.random.default_rng(0), 3)
    best, actions = mdp_oracle.plan(mdp)
    assert np.allclose(mdp_oracle.value_of(mdp, actions), best)
    for choice in itertools.product(range(2), repeat=6):
        stationary = np.tile(np.array([*choice, 2, 3, 4, 0]), (10, 3, 1))
        assert np.all(mdp_oracle.value_of(mdp, stationary) <= best + 1e-12)


def test_value_of_counts_rewards_along_a_deterministic_chain():
    transition = np.zeros((1, 10, 5, 10))
    transition[0, np.arange(10), :, (np.arange(10) + 1) % 10] = 1.0
    reward = np.tile(np.arange(10.0)[None, :, None], (1, 1, 5))
    assert mdp_oracle.value_of(mdp_oracle.Tables(transition, reward), np.zeros((10, 1, 10), np.int64))[0] == 45.0


def test_known_mdp_is_21_83_per_episode():
    got = mdp_oracle.known_mdp(20_000)
    assert abs(got.mean - 21.8325) < 0.0099 + 1.5 * (got.hi - got.mean)


def test_blind_actions_earn_ten_per_episode():
    mdp = mdp_oracle.draw(np.random.default_rng(1), 20_000)
    values = mdp_oracle.value_of(mdp, np.random.default_rng(2).integers(0, 5, (10, 20_000, 10)))
    assert values.mean() == pytest.approx(mdp_oracle.RANDOM, abs=0.08)


def test_psrl_starts_blind_and_learns():
    curve, total = mdp_oracle.psrl(10, 2_000)
    assert curve.mean[0] == pytest.approx(10.0, abs=0.3)
    assert np.all(np.diff(curve.mean) > -0.1)
    assert total.mean == pytest.approx(curve.mean.sum()) == pytest.approx(133.7, abs=1.5)


def test_psrl_posterior_is_exact(monkeypatch):
    # Under an exact posterior, planned values average to the known-MDP optimum in every episode.
    planned, plan = [], mdp_oracle.plan

    def watched(mdp):
        values, actions = plan(mdp)
        planned.append(values.mean())
        return values, actions

    monkeypatch.setattr(mdp_oracle, "plan", watched)
    mdp_oracle.psrl(8, 3_000)
    assert np.allclose(planned, 21.83, atol=0.2)
