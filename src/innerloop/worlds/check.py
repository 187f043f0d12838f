"""Walk a user's environment before anything compiles, and say in plain words what is wrong with it.

Not Gymnasium's own checker: this looks for what spoils adaptation, and steps the environment in several tasks to find it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from innerloop.tasks.single import single
from innerloop.tasks.switching import Acting, maker, plain

LIMIT = 10_000  # steps after which an episode counts as endless
SEEDS = (0, 1, 0)  # of the episodes walked in one environment; the last must repeat the first


class Findings(NamedTuple):
    """What was found: `problems` spoil training, `remarks` may be as they should."""

    problems: list[str]
    remarks: list[str]


class _Wrong(Exception):
    """A problem, in words."""


Rows = list[tuple[np.ndarray, ...]]


def check_environment(source: str, tasks: Sequence[dict[str, Any]] = ({},), limit: int = 0) -> Findings:
    """Walk the environments that "package.module:make" makes for some tasks.

    Args:
        tasks: arguments of `make`, of one task each; the more they differ, the better.
        limit: steps after which episodes are cut; 0: they end by themselves.

    Raises:
        ValueError: `source` cannot be imported.
    """
    make = maker(source)
    try:
        spaces, traces = {}, {}
        for number, task in enumerate(tasks):
            env = _made(make, source, task)
            try:
                spaces[number] = _spaces(env)
                traces[number] = _walked(env, limit, SEEDS)
            finally:
                env.close()
            again = _made(make, source, task)
            try:
                _repeatable(traces[number], _walked(again, limit, SEEDS[:1]), task)
            finally:
                again.close()
        return Findings([], _alike(tasks, spaces, traces))
    except _Wrong as wrong:
        return Findings([str(wrong)], [])


def _call(task: dict[str, Any]) -> str:
    return f"make({', '.join(f'{name}={value!r}' for name, value in task.items())})"


def _made(make: Any, source: str, task: dict[str, Any]) -> Any:
    if not callable(make):
        raise _Wrong(f"{source} is {make!r:.80}; it must be a function that returns a gymnasium.Env.")
    try:
        env = single(make(**task))
    except TypeError as error:
        known = "its arguments are those that --vary, or `varies` or `tasks` of the function, name"
        raise _Wrong(f"{_call(task)} raised TypeError: {error}; {known}.") from None
    except Exception as error:
        raise _Wrong(f"{_call(task)} raised {type(error).__name__}: {error}.") from None
    if not isinstance(env, gymnasium.Env):
        raise _Wrong(f"{_call(task)} returned {type(env).__name__}; it must return a gymnasium.Env.")
    return env


def _spaces(env: Any) -> tuple[Any, Any]:
    found = []
    for name, read in (("observation_space", plain), ("action_space", Acting)):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            raise _Wrong(f"{name} is {space!r:.80}; it must be a gymnasium.Space.")
        try:
            read(space)
        except ValueError as error:
            raise _Wrong(str(error)) from None
        found.append(space)
    return found[0], found[1]


def _walked(env: Any, limit: int, seeds: Sequence[int]) -> list[Rows]:
    """An episode of random actions for each seed, the same actions for the same seed."""
    episodes = []
    for seed in seeds:
        env.action_space.seed(seed)
        episodes.append(_episode(env, seed, limit))
    return episodes


def _episode(env: Any, seed: int, limit: int) -> Rows:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = env.reset(seed=seed)
    except Exception as error:
        raise _Wrong(f"reset(seed={seed}) raised {type(error).__name__}: {error}.") from None
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise _Wrong("reset() must return (observation, info).")
    rows = [_observed(env.observation_space, answer[0], "after reset")]
    for step in range(limit or LIMIT):
        action = env.action_space.sample()
        try:
            answer = env.step(action)
        except Exception as error:
            raise _Wrong(f"step({action!r}) raised {type(error).__name__}: {error}, at step {step}.") from None
        if not (isinstance(answer, tuple) and len(answer) == 5):
            raise _Wrong("step() must return (observation, reward, terminated, truncated, info).")
        obs, reward, terminated, truncated, _ = answer
        seen = _observed(env.observation_space, obs, f"at step {step}")
        if reward is None or np.shape(reward) != ():
            raise _Wrong(f"the reward at step {step} is {reward!r:.80}; it must be one number.")
        if not np.isfinite(float(reward)):
            raise _Wrong(f"the reward at step {step} is {reward!r:.80}; it must be finite.")
        if not all(isinstance(flag, (bool, np.bool_)) for flag in (terminated, truncated)):
            raise _Wrong(f"terminated and truncated at step {step} are {terminated!r} and {truncated!r}; both must be bool.")
        rows.append((*seen, np.asarray(float(reward))))
        if terminated or truncated:
            return rows
    if limit:
        return rows
    raise _Wrong(
        f"the episode of seed {seed} has not ended after {LIMIT:,} steps of random actions; give --max-steps, or wrap the "
        "environment in gymnasium.wrappers.TimeLimit."
    )


def _observed(space: Any, obs: Any, where: str) -> tuple[np.ndarray, ...]:
    """Copies of an observation's arrays, which must be sound."""
    leaves = [np.array(leaf) for leaf in _leaves(obs)]
    for leaf in leaves:
        if leaf.dtype == object:
            raise _Wrong(f"the observation {where} holds {leaf!r:.80}, which is no array of numbers.")
        if leaf.dtype.kind in "fc" and not np.all(np.isfinite(leaf)):
            raise _Wrong(f"the observation {where} holds NaN or infinity.")
    if not space.contains(obs):
        given = "a dict" if isinstance(obs, dict) else f"shape {np.shape(obs)}, dtype {np.asarray(obs).dtype}"
        raise _Wrong(f"the observation {where} ({given}) lies outside observation_space {space}.")
    return tuple(leaves)


def _leaves(obs: Any) -> list[Any]:
    if isinstance(obs, dict):
        return [leaf for item in obs.values() for leaf in _leaves(item)]
    return [leaf for item in obs for leaf in _leaves(item)] if isinstance(obs, tuple) else [obs]


def _same(one: Rows, two: Rows) -> bool:
    return len(one) == len(two) and all(
        len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in zip(one, two, strict=True)
    )


def _repeatable(walk: list[Rows], again: list[Rows], task: dict[str, Any]) -> None:
    if not _same(walk[0], again[0]):
        raise _Wrong(
            "two environments of the same task, reset with the same seed and given the same actions, went different ways: "
            "there is randomness outside reset(seed=…). Draw from self.np_random alone, or runs cannot be reproduced."
        )
    if not _same(walk[0], walk[-1]):
        of = f" (its task was {_call(task)})" if task else ""
        raise _Wrong(
            "an episode with the same seed and actions went another way after other episodes: reset() forgets something, its "
            f"task perhaps, or leaves something over{of}."
        )


def _alike(tasks: Sequence[dict[str, Any]], spaces: dict[int, Any], traces: dict[int, list[Rows]]) -> list[str]:
    """Problems and remarks about tasks beside each other."""
    for i, j in itertools.combinations(range(len(tasks)), 2):
        if spaces[i] != spaces[j]:
            raise _Wrong(
                f"{_call(tasks[i])} has the spaces {spaces[i]}, and {_call(tasks[j])} {spaces[j]}; all tasks must share them."
            )
    if len(tasks) > 1 and all(_same(a, b) for one in traces.values() for a, b in zip(traces[0], one, strict=True)):
        walked = f"{len(set(SEEDS))} episodes of random actions"
        return [
            f"nothing that an agent sees or earns differed between {len(tasks)} tasks in {walked}. Where rewards are rare that "
            "may be right; else make() or reset() drops the task."
        ]
    return []
