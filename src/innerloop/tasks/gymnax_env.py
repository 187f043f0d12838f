"""Environments of the gymnax interface: those of the package, and classes of one's own that have it.

Not the family (`traced.py`). The interface: `reset(key, params) → (obs, state)`, `step(key, state, action, params) → (obs,
state, reward, done, info)`, or with terminated and truncated in place of `done`; `observation_space(params)`,
`action_space(params)`; and `default_params`, a dataclass, NamedTuple or dict, whose fields are what may vary. Where there are
`reset_env` and `step_env` they are used, because `step` of the package begins anew by itself. The package pins other versions
of JAX and Gymnasium than this one may use; a class of one's own does not need it.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Spaces
from innerloop.tasks.traced import fitting, own, space_of

LIMIT = "max_steps_in_episode"


@cache
def _made(name: str) -> tuple[Any, Any]:
    """The environment, and its default parameters."""
    make = own(name)
    with jax.ensure_compile_time_eval():  # arrays of theirs must not be born inside a trace
        if make is not None:
            env = make() if callable(make) else make
            return env, getattr(env, "default_params", {})
        try:
            gymnax = importlib.import_module("gymnax")
        except ImportError as missing:
            raise ValueError(
                f"the package gymnax cannot be imported ({missing}): pip install 'innerloop[gymnax]', in an environment of its "
                "own, since it pins older versions of JAX and Gymnasium."
            ) from None
        if name not in gymnax.registered_envs:
            near = difflib.get_close_matches(name, gymnax.registered_envs, 1, 0.4)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"gymnax has no {name!r}.{hint} It has: {', '.join(gymnax.registered_envs)}.")
        return gymnax.make(name)


def _fields(params: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(params):
        return {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    return dict(params) if isinstance(params, dict) else params._asdict() if hasattr(params, "_asdict") else {}


def _replaced(params: Any, values: dict[str, Any]) -> Any:
    if isinstance(params, dict):
        return params | values
    return params._replace(**values) if hasattr(params, "_replace") else dataclasses.replace(params, **values)


class Gymnax:
    """See `traced.Simulator`."""

    def __init__(self, name: str, task: dict[str, Any], max_steps: int = 0):
        self._env, params = _made(name)
        fields = _fields(params)
        for field in task:
            if field == LIMIT:
                raise ValueError(f"{LIMIT} is no task; cut episodes by --max-steps.")
            if field not in fields:
                near = difflib.get_close_matches(field, fields, 1, 0.4)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise ValueError(f"it has no parameter {field!r}.{hint} Accepted: {', '.join(fields) or 'none'}.")
            if not jnp.can_cast(jnp.asarray(task[field]).dtype, jnp.asarray(fields[field]).dtype, "same_kind"):
                raise ValueError(
                    f"its parameter {field} is {fields[field]!r}, a whole number; give whole ones, such as 2:6 or 2,4."
                )
        values: dict[str, Any] = {field: jnp.asarray(value, jnp.asarray(fields[field]).dtype) for field, value in task.items()}
        values |= {LIMIT: max_steps} if max_steps and LIMIT in fields else {}
        self._params = _replaced(params, values) if values else params
        self.limit = int(max_steps or fields.get(LIMIT, 0))
        with jax.ensure_compile_time_eval():
            action = self._env.action_space(params)
            acting, self._acted = (space_of(action), None) if hasattr(action, "n") else fitting(action, action.low, action.high)
            self.spaces = Spaces(space_of(self._env.observation_space(params)), acting)

    def reset(self, key: Array) -> tuple[Any, Any]:
        obs, state = getattr(self._env, "reset_env", self._env.reset)(key, self._params)
        return state, obs

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        action = action if self._acted is None else self._acted(action)
        step = getattr(self._env, "step_env", self._env.step)
        obs, state, reward, *ends, _ = step(key, state, action, self._params)
        cut = ends[1] if len(ends) == 2 else jnp.zeros((), bool)
        return state, obs, reward, ends[0], cut
