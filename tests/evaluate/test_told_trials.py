"""Trials told step by step agree with what was lived; beliefs and what they foretell reach the page."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Belief, Inner, Plan
from innerloop.evaluate.trials import EPISODES, TASKS, tell
from innerloop.inner.gradient import Gradient
from innerloop.inner.recurrent import Recurrent
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld

GRID = find("grid-navi")


class Believing(Recurrent):
    """A memory that says something of a latent, and of the rewards."""

    unroll = Inner.unroll

    def decide(self, meta, fast, obs):
        seen = jnp.sum(obs, -1, keepdims=True)
        mean = jnp.concatenate([seen, -seen], -1)
        return super().decide(meta, fast, obs)._replace(extras=Belief(mean, jnp.zeros_like(mean)))

    def foresee(self, meta, belief, arrived):
        return arrived[:, 0] + belief.mean[0]


def test_episodes_are_told_from_their_start_with_what_is_possible():
    inner = Recurrent(Plan(1, GRID.horizon * GRID.episodes, 1), GRID.spaces, width=8)
    told = tell(inner, inner.init(jax.random.key(0)), GRID, DeviceWorld(GRID), "episode", jax.random.key(1))
    assert len(told["tasks"]) == TASKS and len(told["places"]) == 21 and told["side"] == 1.0
    for task in told["tasks"]:
        goal = told["places"].index(task["goal"])
        assert [e["number"] for e in task["episodes"]] == [0, 0, 0, *range(1, EPISODES)]
        assert [e["steps"] for e in task["episodes"][:3]] == [5, 10, 15]
        for e in task["episodes"]:
            path = np.array(e["path"])
            assert len(path) == e["steps"] + 1 and path[0].tolist() == [0, 0]
            assert np.abs(np.diff(path, axis=0)).sum(1).max() <= 1
            assert e["possible"][goal] == 1 and e["believed"] is None
            met = {tuple(xy) for xy in e["path"][1:]} - {tuple(task["goal"])}
            assert all(not e["possible"][i] for i, place in enumerate(told["places"]) if tuple(place) in met)
        assert task["belief"] is None


def test_beliefs_are_those_of_the_moment():
    inner = Believing(Plan(1, GRID.horizon * GRID.episodes, 1), GRID.spaces, width=8)
    told = tell(inner, inner.init(jax.random.key(0)), GRID, DeviceWorld(GRID), "episode", jax.random.key(1))
    for task in told["tasks"]:
        belief, first = task["belief"], task["episodes"][0]
        assert (
            belief["step"] == list(range(60)) and np.shape(belief["mean"]) == (60, 2) and np.all(np.array(belief["std"]) == 1)
        )
        now = sum(first["path"][-1])
        assert belief["mean"][5] == [now, -now]
        assert first["believed"] == [x + now for x, _ in told["places"]]


def test_learners_by_gradient_steps_are_told_chunk_by_chunk():
    family = find("point-goal")
    inner = Gradient(Plan(3, family.horizon, 2, True), family.spaces, hidden=(8,))
    told = tell(inner, inner.init(jax.random.key(0)), family, DeviceWorld(family), "gradient step", jax.random.key(1))
    for task in told["tasks"]:
        assert [e["number"] for e in task["episodes"]] == [0, 1, 2]
        assert all(e["possible"] is None for e in task["episodes"])


def test_there_is_nothing_to_tell_of_a_bandit():
    family = find("bandit-k5-n10")
    inner = Recurrent(Plan(1, 10, 1), family.spaces, width=8)
    assert tell(inner, inner.init(jax.random.key(0)), family, DeviceWorld(family), "step", jax.random.key(1)) is None
