"""Walk a JAX environment before anything compiles at length, and say in plain words what is wrong with it.

Not for environments on the host: that is `check.py`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Box, Discrete
from innerloop.core.spaces import parts
from innerloop.tasks.traced import Traced, flat
from innerloop.worlds.check import Findings

TASKS, STEPS = 3, 200  # walked; an episode that goes on for longer is left


class _Wrong(Exception):
    """A problem, in words."""


def check_traced(family: Traced) -> Findings:
    """An episode of random actions in some tasks of the family.

    Raises:
        ValueError: the environment cannot be made, or nothing says how long an episode is.
    """
    horizon, spaces = family.horizon, family.spaces
    tasks = family.sample(jax.random.key(0), TASKS)
    try:
        _traceable(family, jax.tree.map(lambda x: x[0], tasks))
        reset, step = jax.jit(family.reset), jax.jit(family.step)
        walks = [
            _walked(reset, step, jax.tree.map(lambda x, i=i: x[i], tasks), spaces, min(horizon, STEPS)) for i in range(TASKS)
        ]
    except _Wrong as wrong:
        return Findings([str(wrong)], [])
    remarks = []
    if family.variation and all(np.array_equal(walks[0], walk) for walk in walks[1:]):
        remarks.append(
            f"nothing that an agent sees or earns differed between {TASKS} tasks in an episode of random actions. Where "
            "rewards are rare that may be right; else the environment drops what varies."
        )
    return Findings([], remarks)


def _traceable(family: Traced, task: Any) -> None:
    """Whether JAX can trace it, and every step gives what its spaces say."""
    key = jax.random.key(0)
    action = family.spaces.action.zeros()
    try:
        state, obs = jax.eval_shape(family.reset, task, key)
        after, again, reward, *ends = jax.eval_shape(family.step, task, state, action, key)
    except Exception as error:  # whatever a user's code raises
        raise _Wrong(
            f"JAX cannot trace it: {type(error).__name__}: {' '.join(str(error).split())[:300]} What varies, the state and the "
            "action are arrays that are being traced: no `if` on their values, no NumPy on them, a state of one structure."
        ) from None
    if jax.tree.structure(after) != jax.tree.structure(state):
        raise _Wrong("the state after a step has another structure than after a reset.")
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        if new.shape != old.shape:
            raise _Wrong(f"a part of the state has the shape {old.shape} after a reset and {new.shape} after a step.")
    if reward.shape or any(end.shape for end in ends):
        raise _Wrong(f"reward and done must be single numbers; their shapes are {reward.shape} and {ends[0].shape}.")
    if jax.tree.map(jnp.shape, obs) != jax.tree.map(jnp.shape, again):
        raise _Wrong("an observation after a step has another shape than after a reset.")


def _walked(reset: Any, step: Any, task: Any, spaces: Any, steps: int) -> np.ndarray:
    """Everything that was seen and earned, one row each; [T, …]"""
    rng = np.random.default_rng(0)
    state, obs = reset(task, jax.random.key(1))
    rows = [np.append(_sound(spaces.obs, obs, "after reset()"), 0.0)]
    for number in range(steps):
        if isinstance(spaces.action, Discrete):
            action: Any = np.int32(rng.integers(spaces.action.n))
        else:
            action = rng.uniform(-1.0, 1.0, spaces.action.shape).astype(np.float32)
        state, obs, reward, terminated, truncated = step(task, state, action, jax.random.key(number))
        if not np.isfinite(reward):
            raise _Wrong(f"the reward of step {number + 1} is {float(reward)}.")
        rows.append(np.append(_sound(spaces.obs, obs, f"after step {number + 1}"), reward))
        if terminated or truncated:
            break
    return np.stack(rows)


def _sound(space: Any, obs: Any, where: str) -> np.ndarray:
    for part, value in parts(space, obs):
        value = np.asarray(value)
        if not np.all(np.isfinite(value)):
            raise _Wrong(f"the observation {where} holds NaN or infinity.")
        low, high = (part.low, part.high) if isinstance(part, Box) else (0, part.n - 1)
        if np.any(value < low) or np.any(value > high):
            raise _Wrong(f"the observation {where} has values from {value.min()} to {value.max()}, outside its space, {part}.")
    return np.asarray(flat(obs, space))
