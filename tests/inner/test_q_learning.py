"""Q-learning: its table by hand, a life in which it gets better, and that trials begin with nothing."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Discrete, Plan, Spaces, Step
from innerloop.inner.q_learning import QLearning
from innerloop.recipes import teachers
from innerloop.tasks import Bandit, PointGoal
from innerloop.tasks.dark_room import DarkRoom
from innerloop.worlds import DeviceWorld

SPACES = Spaces(Discrete(3), Discrete(2))


def step(obs, action, reward, arrived, born=False, terminated=False):
    one = lambda x, kind: jnp.full(1, x, kind)  # noqa: E731
    flags = one(born or terminated, bool), one(terminated, bool), one(born, bool)
    return Step(one(obs, jnp.int32), one(action, jnp.int32), one(reward, jnp.float32), one(arrived, jnp.int32), *flags)


def test_the_table_by_hand():
    inner = QLearning(Plan(1, 10, 1), SPACES, lr=0.5, discount=0.5, optimism=0.0, epsilon=0.2, least=0.1, explores=1.0)
    fast = inner.begin((), jax.random.key(0))
    fast = inner.observe((), fast, step(0, 0, 9.0, 0, born=True))  # nothing lies behind: nothing is learned
    assert not np.asarray(fast.weights).any()
    fast = inner.observe((), fast, step(1, 1, 1.0, 1))  # in 0, action 1 led to 1 and paid 1
    np.testing.assert_allclose(fast.weights[0], [[0, 0.5], [0, 0], [0, 0]])
    fast = inner.observe((), fast, step(0, 0, 0.0, 0))  # in 1, action 0 led to 0, whose best is 0.5
    np.testing.assert_allclose(fast.weights[0], [[0, 0.5], [0.125, 0], [0, 0]])
    fast = inner.observe((), fast, step(0, 1, 2.0, 1, terminated=True))  # 1 is worth 0.0625 but the episode is over
    np.testing.assert_allclose(fast.weights[0, 0, 1], 0.5 + 0.5 * (2.0 - 0.5))
    decision = inner.decide((), fast, jnp.zeros(1, jnp.int32))
    rate = 0.2 * (1 - 4 / 10)
    np.testing.assert_allclose(jnp.exp(decision.dist.logits[0]), [rate / 2, 1 - rate / 2], rtol=1e-6)
    np.testing.assert_allclose(decision.value, 1.25)
    anew = inner.observe((), fast, step(2, 0, 0.0, 2, born=True))
    assert not np.asarray(anew.weights).any() and anew.steps == 1


@dataclass(frozen=True)
class SmallRoom(DarkRoom):
    """Five by five."""

    side = 5


def test_it_gets_better_in_a_small_dark_room():
    room = SmallRoom()
    goals = np.array([[0, 0], [4, 4], [0, 3], [2, 4]] * 4, np.int32)
    tasks = room.sample(jax.random.key(0), len(goals))._replace(params=jnp.asarray(goals))
    inner = teachers.q_learning(room, 60)
    rewards = jax.jit(lambda key: DeviceWorld(room).live(inner, (), tasks, key)[0].chunks.reward)(jax.random.key(1))
    returns = np.asarray(rewards).reshape(len(goals), 60, room.horizon).sum(-1)
    best = np.asarray(room.length + 1 - np.maximum(np.abs(goals - 2).sum(1), 1))
    assert returns[:, :5].mean() < 0.35 * best.mean() and returns[:, -20:].mean() > 0.9 * best.mean()


def test_it_beats_chance_on_bandits():
    family = Bandit(5, 100)
    inner, chance = (make(family, 1) for make in (teachers.q_learning, teachers.random))
    tasks = family.sample(jax.random.key(0), 256)
    live = jax.jit(
        lambda inner, key: DeviceWorld(family).live(inner, (), tasks, key)[0].chunks.reward.sum() / 256, static_argnums=0
    )
    assert live(inner, jax.random.key(1)) > live(chance, jax.random.key(1)) + 15


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="discrete actions"):
        QLearning(Plan(1, 5, 1), PointGoal().spaces).check()
    with pytest.raises(ValueError, match="least ≤ epsilon"):
        replace(QLearning(Plan(1, 5, 1), SPACES), epsilon=0.01).check()
    QLearning(Plan(1, 5, 1), Spaces(Box((2,)), Discrete(2))).check()
