"""Agents that learn each task from nothing, one long life in each: whose histories others learn from. Not meta-learners."""

from __future__ import annotations

from innerloop.core import Inner, Plan
from innerloop.inner.gradient import Gradient
from innerloop.inner.indifferent import Indifferent
from innerloop.inner.q_learning import QLearning
from innerloop.tasks.family import Family


def q_learning(family: Family, episodes: int) -> Inner:
    """Q-learning; where steps are the unit (bandits) nothing is to come, so nothing is discounted and noise is averaged."""
    plan = Plan(chunks=1, steps=family.horizon * episodes, streams=1)
    if family.unit == "step":
        return QLearning(plan, family.spaces, lr=0.2, discount=0.0, epsilon=0.1)
    return QLearning(plan, family.spaces)


def policy_gradient(family: Family, episodes: int) -> Inner:
    """A step of policy gradient after every episode; where steps are the unit, after every step."""
    if family.unit == "step":
        plan = Plan(chunks=family.horizon * episodes, steps=1, streams=1)
        return Gradient(plan, family.spaces, hidden=(), lr=0.5, later=1.0, weights="return", inherits=False)
    plan = Plan(chunks=episodes, steps=family.horizon, streams=1)
    return Gradient(plan, family.spaces, hidden=(64, 64), activation="tanh", lr=0.1, later=1.0, inherits=False)


def random(family: Family, episodes: int) -> Inner:
    """Uniformly random actions."""
    return Indifferent(Plan(chunks=1, steps=family.horizon * episodes, streams=1), family.spaces)
