import numpy as np
import pytest

from innerloop.evaluate import robot_oracle


def test_point_goal_ends_on_arrival():
    goals = np.array([[0.25, 0.0], [0.3, -0.4], [0.105, 0.0]])
    by_hand = [-(0.15 + 0.05), -(np.hypot(0.2, 0.3) + np.hypot(0.1, 0.2) + 0.1), -0.005]
    assert robot_oracle.best_returns(goals, 100, robot_oracle.dense, robot_oracle.NEAR) == pytest.approx(by_hand)


def test_no_random_walk_beats_the_known_goal_policy():
    rng = np.random.default_rng(0)
    goals = rng.uniform(-0.5, 0.5, (50, 2))
    best = robot_oracle.best_returns(goals, 20, robot_oracle.dense)
    for _ in range(50):
        xy = np.zeros((50, 2))
        total = np.zeros(50)
        for _ in range(20):
            aim = goals - xy + rng.normal(0, 0.03, (50, 2))
            xy = xy + np.clip(aim, -0.1, 0.1)
            total -= np.hypot(*(xy - goals).T)
        assert np.all(total <= best + 1e-12)


def test_sparse_reward_is_paid_within_the_radius():
    # Goal (1, 0): distance 0.2 after 8 steps, then 0.1, then 0 for the rest of 20.
    got = robot_oracle.best_returns(np.array([[1.0, 0.0]]), 20, robot_oracle.sparse)[0]
    assert got == pytest.approx(0.8 + 0.9 + 11.0)


def test_quadrature_has_converged():
    assert robot_oracle.point_goal(300) == pytest.approx(robot_oracle.point_goal(1000), abs=5e-6)


def test_values_lie_where_they_must():
    assert -2.29 < robot_oracle.point_goal() < 0  # the paper's trained oracle is below the optimum
    assert 11.0 < robot_oracle.semi_circle_pearl() < 20.0
    assert robot_oracle.semi_circle_varibad() == pytest.approx(robot_oracle.semi_circle_pearl() + 80.0, abs=0.3)


@pytest.mark.parametrize("name", ["point-goal", "semi-circle-pearl", "semi-circle-varibad", "semi-circle-dense"])
def test_agrees_with_the_family(name):
    names = pytest.importorskip("innerloop.tasks.names")
    import jax

    from innerloop.evaluate import oracles

    family = names.family(name).split("test")
    count = 20 if name == "semi-circle-pearl" else 20_000
    returns = np.asarray(family.best(family.sample(jax.random.key(0), count)), np.float64)
    reference = oracles.load(name)
    assert reference["trial"] == family.episodes
    slack = 1e-4 if name == "semi-circle-pearl" else float(3 * returns.std() / count**0.5)
    assert returns.mean() == pytest.approx(reference["oracle"]["total"] / reference["trial"], abs=slack)
