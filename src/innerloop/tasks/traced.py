"""A JAX environment as a family on the device: `env:gymnax:CartPole-v1?gravity=5:15`, `env:brax:package.module:make?…`.

Not the environments, nor how each kind of them is stepped: that is one file for each in SIMULATORS. What varies are values
that JAX may trace: fields of gymnax's parameters, arguments of brax's, or of a class or function of one's own. An environment
of one's own needs no package, only one of the two interfaces.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.core.spaces import parts
from innerloop.outside import imported
from innerloop.tasks.own import Facts, Own
from innerloop.tasks.varying import Choice, Varies, told_by

SIMULATORS = {  # prefix of the name: module:class
    "gymnax": "innerloop.tasks.gymnax_env:Gymnax",
    "brax": "innerloop.tasks.brax_env:Brax",
    "playground": "innerloop.tasks.brax_env:Playground",
    "navix": "innerloop.tasks.navix_env:Navix",
}


class Simulator(Protocol):
    """An environment of one task, made as `Kind(name, task, max_steps)`: the name after the prefix, the values that vary
    (numbers, or arrays that are being traced), and the steps after which an episode is cut (0: its own number). ValueError
    where it cannot be made. Unbatched, pure and jittable; an episode that ended does not begin anew by itself."""

    spaces: Spaces
    limit: int  # steps in an episode; 0: not known

    def reset(self, key: Array) -> tuple[Any, Any]:
        """state, obs"""
        ...

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        """state, obs, reward, done, whether it was only cut"""
        ...


def kind_of(source: str) -> str:
    """The prefix of a JAX environment's name; "" for all others."""
    prefix = source.partition(":")[0]
    return prefix if prefix in SIMULATORS else ""


def made(source: str, task: dict[str, Any], max_steps: int = 0) -> Simulator:
    """The environment of a task; ValueError, saying what is accepted, where it cannot be made."""
    prefix, _, name = source.partition(":")
    module, _, kind = SIMULATORS[prefix].partition(":")
    try:
        return getattr(importlib.import_module(module), kind)(name, task, max_steps)
    except ValueError as error:
        raise ValueError(f"--env {source}: {error}") from None


def own(name: str) -> Any:
    """What "package.module:make" names; None for the name of a package's environment."""
    return imported(name, "--env") if ":" in name else None


@cache
def _facts(source: str, task: tuple[tuple[str, Any], ...], max_steps: int) -> Facts:
    simulator = made(source, dict(task), max_steps)
    return Facts(simulator.spaces, simulator.limit)


@cache
def _told(source: str) -> Any:
    make = own(source.partition(":")[2])
    return () if make is None else told_by(make)


@dataclass(frozen=True)
class Traced(Own):
    """Tasks are dealt and drawn as those of `Own`; the environment is traced with each task's values."""

    on_device = True

    @property
    def variation(self) -> Varies | tuple[dict[str, Any], ...]:
        return self.given or _told(self.source)

    @property
    def _facts(self) -> Facts:
        for name, x in self.varies:
            if isinstance(x, Choice):
                _options(name, x.options)
        return _facts(self.source, tuple(self.corners()[-1].items()), self.max_steps)

    def values(self, params: Array) -> dict[str, Any]:
        """A task's values by name, from its params [P]; jittable."""
        if self.listed:
            row = params[0].astype(jnp.int32)
            return {name: _options(name, [one[name] for one in self.listed])[row] for name in self.listed[0]}
        return {name: self._value(name, x, params[i]) for i, (name, x) in enumerate(self.varies)}

    def _value(self, name: str, x: Any, param: Array) -> Array:
        if isinstance(x, Choice):
            return _options(name, x.options)[param.astype(jnp.int32)]
        return jnp.round(param).astype(jnp.int32) if x.whole else param

    def reset(self, task: Task, key: Array) -> tuple[Any, Any]:
        with jax.numpy_rank_promotion("allow"):
            state, obs = made(self.source, self.values(task.params), self.max_steps).reset(key)
        return (_strong(state), jnp.zeros((), jnp.int32)), seen(self.spaces.obs, obs)

    def step(self, task: Task, state: Any, action: Array, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        before, time = state
        with jax.numpy_rank_promotion("allow"):
            simulator = made(self.source, self.values(task.params), self.max_steps)
            now, obs, reward, done, cut = simulator.step(before, action, key)
        late = (time + 1 >= self.horizon) | jnp.asarray(cut, bool)
        alike = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), now, before)  # what a scan carries keeps its types
        ended = jnp.asarray(done, bool) & ~late
        return (alike, time + 1), seen(self.spaces.obs, obs), jnp.asarray(reward, jnp.float32), ended, late


def _options(name: str, options: Any) -> Array:
    try:
        with jax.ensure_compile_time_eval():
            return jnp.asarray(options)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is one of {options!r:.80}; what JAX traces are numbers, or arrays of one shape.") from None


def _strong(state: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype), state)


def seen(space: Any, obs: Any) -> Any:
    """An observation in the types and shapes of its space."""
    if isinstance(space, dict):
        return {name: seen(part, obs[name]) for name, part in space.items()}
    if isinstance(space, tuple):
        return tuple(seen(part, x) for part, x in zip(space, obs, strict=True))
    return (
        jnp.asarray(obs, jnp.int32) if isinstance(space, Discrete) else jnp.reshape(jnp.asarray(obs, space.dtype), space.shape)
    )


def space_of(space: Any) -> Any:
    """A space that has `n`, `low`, `high` and `shape`, or `spaces`, as gymnax's and Gymnasium's do, as one of ours."""
    inside = getattr(space, "spaces", None)
    if isinstance(inside, dict):
        return {name: space_of(part) for name, part in inside.items()}
    if inside is not None:
        return tuple(space_of(part) for part in inside)
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    if not all(hasattr(space, field) for field in ("low", "high", "shape")):
        raise ValueError(f"its space {space!r:.80} cannot be read; accepted: Discrete, Box, and a Dict or Tuple of them.")
    low, high = jnp.asarray(space.low), jnp.asarray(space.high)
    shape = tuple(int(n) for n in space.shape)
    alike = bool(jnp.all(jnp.isfinite(low)) & jnp.all(jnp.isfinite(high)) & (jnp.ptp(low) == 0) & (jnp.ptp(high) == 0))
    return Box(shape, float(jnp.min(low)), float(jnp.max(high))) if alike else Box(shape)


def fitting(space: Any, low: Any, high: Any) -> tuple[Box, Any]:
    """The Box that an agent acts in, and what makes its action one of `space`'s: where bounds are finite, ±1 in every entry."""
    shape = tuple(int(n) for n in space.shape)
    low, high = jnp.broadcast_to(jnp.asarray(low, jnp.float32), shape), jnp.broadcast_to(jnp.asarray(high, jnp.float32), shape)
    if not bool(jnp.all(jnp.isfinite(low)) & jnp.all(jnp.isfinite(high))):
        return Box(shape), lambda action: action
    return Box(shape, -1.0, 1.0), lambda action: low + (jnp.clip(action, -1.0, 1.0) + 1.0) * 0.5 * (high - low)


def flat(obs: Any, space: Any) -> Array:
    """All numbers of an observation, [...], float32: to compare it, or to see whether it is finite."""
    return jnp.concatenate([jnp.ravel(x).astype(jnp.float32) for _, x in parts(space, obs)])
