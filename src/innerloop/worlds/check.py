"""Walk a user's environment before anything compiles, and say in plain words what is wrong with it.

Not Gymnasium's own checker, which this calls first: this looks for what spoils adaptation.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np

LIMIT = 10_000  # steps after which an episode counts as endless
WALKS = 2  # episodes walked with random actions


def make_from(name: str) -> Any:
    """The function behind "package.module:make"; ValueError where there is none."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"--env takes package.module:make; given {name!r}.")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--env {name!r} cannot be imported: {error}.") from None
    finally:
        sys.path.remove("")


def check_environment(name: str) -> list[str]:
    """What is wrong with the environment that "package.module:make" makes; empty where nothing is."""
    make = make_from(name)
    try:
        env = make()
    except Exception as error:
        return [f"{name}() raised {type(error).__name__}: {error}. It must return a gymnasium.Env without arguments."]
    if not isinstance(env, gymnasium.Env):
        return [f"{name}() returned {type(env).__name__}; it must return a gymnasium.Env."]
    try:
        return _spaces(env) or _walk(env)
    finally:
        env.close()


def _spaces(env: gymnasium.Env) -> list[str]:
    problems = []
    action = getattr(env, "action_space", None)
    if not isinstance(action, (gymnasium.spaces.Discrete, gymnasium.spaces.Box)):
        problems.append(f"action_space is {action}; accepted are Discrete and Box.")
    elif isinstance(action, gymnasium.spaces.Box) and not np.all(np.isfinite([action.low, action.high])):
        problems.append("action_space is an unbounded Box; give finite bounds, so that actions can be clipped to them.")
    if isinstance(action, gymnasium.spaces.Discrete) and action.start != 0:
        problems.append(f"action_space begins at {action.start}; actions must count from 0.")
    if not isinstance(getattr(env, "observation_space", None), gymnasium.Space):
        problems.append("observation_space is missing.")
    return problems


def _fault(space: gymnasium.Space, obs: Any, where: str) -> list[str]:
    for leaf in _leaves(obs):
        array = np.asarray(leaf)
        if array.dtype == object:
            return [f"the observation {where} holds {leaf!r}, which is no array."]
        if not np.all(np.isfinite(array)):
            return [f"the observation {where} holds NaN or infinity."]
    if not space.contains(obs):
        given = (
            f"shape {np.shape(obs)}, dtype {getattr(np.asarray(obs), 'dtype', '?')}" if not isinstance(obs, dict) else "a dict"
        )
        return [f"the observation {where} ({given}) lies outside observation_space {space}."]
    return []


def _leaves(obs: Any) -> list[Any]:
    if isinstance(obs, dict):
        return [leaf for item in obs.values() for leaf in _leaves(item)]
    return [leaf for item in obs for leaf in _leaves(item)] if isinstance(obs, tuple) else [obs]


def _walk(env: gymnasium.Env) -> list[str]:
    """Random episodes, twice from the same seeds: what they show must be sound, and the same."""
    traces, problems = [], []
    for _ in range(2):
        trace: list[Any] = []
        env.action_space.seed(0)
        for episode in range(WALKS):
            problems = _episode(env, episode, trace)
            if problems:
                return problems
        traces.append(trace)
    for i, (one, two) in enumerate(zip(*traces, strict=False)):
        if not np.array_equal(np.asarray(one), np.asarray(two)):
            return [
                f"two walks with the same seeds and actions differ at row {i}: there is randomness outside reset(seed=…). "
                "Draw from self.np_random alone, or runs cannot be reproduced."
            ]
    return problems


def _episode(env: gymnasium.Env, seed: int, trace: list[Any]) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = env.reset(seed=seed)
    except Exception as error:
        return [f"reset(seed={seed}) raised {type(error).__name__}: {error}."]
    if not (isinstance(answer, tuple) and len(answer) == 2):
        return ["reset() must return (observation, info)."]
    problems = _fault(env.observation_space, answer[0], "after reset")
    for step in range(LIMIT):
        if problems:
            return problems
        action = env.action_space.sample()
        try:
            answer = env.step(action)
        except Exception as error:
            return [f"step({action!r}) raised {type(error).__name__}: {error}, at step {step}."]
        if not (isinstance(answer, tuple) and len(answer) == 5):
            return ["step() must return (observation, reward, terminated, truncated, info)."]
        obs, reward, terminated, truncated, _ = answer
        problems = _fault(env.observation_space, obs, f"at step {step}")
        if np.ndim(reward) != 0 or not np.isfinite(float(reward)):
            problems.append(f"the reward at step {step} is {reward!r}; it must be one finite number.")
        if not all(isinstance(flag, (bool, np.bool_)) for flag in (terminated, truncated)):
            problems.append(f"terminated and truncated at step {step} are {terminated!r} and {truncated!r}; both must be bool.")
        trace += [*(np.asarray(leaf) for leaf in _leaves(obs)), float(reward)] if not problems else []
        if terminated or truncated:
            return problems
    return [
        f"the episode of seed {seed} has not ended after {LIMIT} steps of random actions; wrap the environment in "
        "gymnasium.wrappers.TimeLimit."
    ]
