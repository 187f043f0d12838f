"""A point on the plane that is to find a goal: the motion that point-goal and the semi-circles share.

Not a family by itself: the law of the goals, the reward and the horizon are each family's own.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Spaces, Task
from innerloop.tasks.family import Family

STRIDE = 0.1  # the longest move along each axis in one step; action 1


class Position(NamedTuple):
    """Where an episode stands: `xy` float [2] and steps taken int32."""

    xy: Array
    time: Array


@dataclass(frozen=True)
class PointRobot(Family):
    """Starts at the origin; an action in [-1, 1]², clipped to it, moves by 0.1 of itself; the observation is the position.

    The reward falls on the position after the move. Params: the goal, float [2].
    """

    @property
    def spaces(self) -> Spaces:
        return Spaces(Box((2,)), Box((2,), -1.0, 1.0))

    @abstractmethod
    def reward(self, distance: Array) -> Array:
        """Reward at this distance from the goal; must not rise with it."""

    def arrives(self, gap: Array) -> Array:
        """Whether the episode terminates at `gap` = position - goal [..., 2]. Default: never."""
        return jnp.zeros(gap.shape[:-1], bool)

    def pays(self, goal: Array, xy: Array) -> Array:
        """Reward at a position, both [..., 2]; [...]."""
        return self.reward(length(xy - goal))

    def best(self, task: Task) -> Array:
        """Return of one episode of the policy that moves as near to the goal as it can at every step; [...].

        It is optimal: each axis comes as near as it can at every step at once, so every distance is the least possible
        at that step and the end, where there is one, is the earliest.
        """
        goal = task.params

        def advance(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
            xy, running = carry
            xy = move(xy, (goal - xy) / STRIDE)
            reward = jnp.where(running, self.reward(length(xy - goal)), 0.0)
            return (xy, running & ~self.arrives(xy - goal)), reward

        start = (jnp.zeros_like(goal), jnp.ones(goal.shape[:-1], bool))
        return jnp.sum(jax.lax.scan(advance, start, None, self.horizon)[1], axis=0)

    def reset(self, task: Task, key: Array) -> tuple[Position, Array]:
        origin = jnp.zeros(2)
        return Position(origin, jnp.zeros((), jnp.int32)), origin

    def step(self, task: Task, state: Position, action: Array, key: Array) -> tuple[Position, Array, Array, Array, Array]:
        xy, time = move(state.xy, action), state.time + 1
        gap = xy - task.params
        return Position(xy, time), xy, self.reward(length(gap)), self.arrives(gap), time >= self.horizon


def move(xy: Array, action: Array) -> Array:
    """The position after an action; float [..., 2]."""
    return xy + STRIDE * jnp.clip(action, -1.0, 1.0)


def length(gap: Array) -> Array:
    """Euclidean length of [..., 2]."""
    return jnp.sqrt(jnp.sum(jnp.square(gap), axis=-1))
