"""Random tabular MDPs (RL²'s): values of the known-MDP optimum, of random actions, and of posterior sampling (PSRL).

Not the environment (`tasks/tabular_mdp.py`). Definition (Duan et al. 2016, RL²): 10 states, 5 actions, episodes of 10
steps from state 0; transitions from flat Dirichlets, mean rewards from N(1, 1), unit Gaussian reward noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from innerloop.evaluate.statistics import Interval, over_tasks

STATES, ACTIONS, HORIZON = 10, 5, 10
RANDOM = HORIZON * 1.0  # exact: blind actions meet mean rewards of expectation 1, whatever the transitions

_BATCH = 5_000


class Tables(NamedTuple):
    """MDPs: `transition` [B, S, A, S], rows summing to 1; `reward` [B, S, A], mean rewards."""

    transition: np.ndarray
    reward: np.ndarray


def draw(rng: np.random.Generator, size: int) -> Tables:
    """MDPs from the family's law; a flat Dirichlet is exponentials over their sum."""
    weights = rng.standard_exponential((size, STATES, ACTIONS, STATES))
    return Tables(weights / weights.sum(-1, keepdims=True), rng.normal(1.0, 1.0, (size, STATES, ACTIONS)))


def plan(mdp: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Finite-horizon value iteration: the value from state 0 [B], and the optimal actions [H, B, S]."""
    size = mdp.reward.shape[0]
    rows = mdp.transition.reshape(size, STATES * ACTIONS, STATES)
    value = np.zeros((size, STATES))
    actions = np.empty((HORIZON, size, STATES), np.int64)
    for t in reversed(range(HORIZON)):
        q = mdp.reward + (rows @ value[..., None]).reshape(size, STATES, ACTIONS)
        actions[t] = q.argmax(-1)
        value = q.max(-1)
    return value[:, 0], actions


def value_of(mdp: Tables, actions: np.ndarray) -> np.ndarray:
    """Exact value from state 0 [B] of the deterministic policy `actions` [H, B, S]."""
    size = mdp.reward.shape[0]
    task, state = np.arange(size)[:, None], np.arange(STATES)[None]
    value = np.zeros((size, STATES))
    for t in reversed(range(HORIZON)):
        ahead = (mdp.transition[task, state, actions[t]] @ value[..., None])[..., 0]
        value = mdp.reward[task, state, actions[t]] + ahead
    return value[:, 0]


def known_mdp(instances: int, seed: int = 0) -> Interval:
    """Mean over fresh MDPs of the return per episode of the policy that knows the MDP; an upper bound for any learner."""
    rng = np.random.default_rng(seed)
    values = [plan(draw(rng, size))[0] for size in _sizes(instances)]
    return over_tasks(np.concatenate(values))


def psrl(episodes: int, instances: int, seed: int = 0) -> tuple[Interval, Interval]:
    """Posterior sampling (Strens 2000; Osband et al. 2013): each episode plans in one MDP drawn from the posterior.

    The posterior is exact: Dirichlet(1 + visits) and, for unit noise under N(1, 1), N((1 + Σ r) / (1 + m), 1 / (1 + m))
    after m visits. The value of each plan in the true MDP is recorded in place of its sampled return (Rao-Blackwell).

    Returns:
        Mean return of each episode [episodes], and of the total, with 95 % intervals over tasks.
    """
    if episodes < 1:
        raise ValueError(f"psrl(episodes={episodes}): accepted is a number ≥ 1")
    rng = np.random.default_rng(seed)
    returns = np.concatenate([_posterior_sampling(rng, size, episodes) for size in _sizes(instances)])
    return over_tasks(returns), over_tasks(returns.sum(axis=1))


def _posterior_sampling(rng: np.random.Generator, size: int, episodes: int) -> np.ndarray:
    """Plans' values [size, episodes] on fresh MDPs."""
    mdp, task = draw(rng, size), np.arange(size)
    laws = mdp.transition.cumsum(-1)
    alpha = np.ones((size, STATES, ACTIONS, STATES))  # 1 + visits of (s, a, s')
    summed = np.ones((size, STATES, ACTIONS))  # the prior's mean 1 counts as one reward seen
    returns = np.empty((size, episodes))
    for episode in range(episodes):
        weights = rng.standard_gamma(alpha)
        seen = alpha.sum(-1) - STATES + 1.0
        reward = rng.normal(summed / seen, 1.0 / np.sqrt(seen))
        _, actions = plan(Tables(weights / weights.sum(-1, keepdims=True), reward))
        returns[:, episode] = value_of(mdp, actions)
        state = np.zeros(size, np.int64)
        for t in range(HORIZON):
            action = actions[t, task, state]
            summed[task, state, action] += mdp.reward[task, state, action] + rng.standard_normal(size)
            ahead = (rng.random((size, 1)) >= laws[task, state, action, :-1]).sum(-1)
            alpha[task, state, action, ahead] += 1.0
            state = ahead
    return returns


def _sizes(instances: int) -> list[int]:
    if instances < 2:
        raise ValueError(f"instances={instances}: accepted is a number ≥ 2, for an interval needs two tasks")
    return [_BATCH] * (instances // _BATCH) + [instances % _BATCH] * bool(instances % _BATCH)
