"""CartPole, MountainCar, Acrobot and Pendulum: the dynamics of Gymnasium's classic control, in JAX.

Not families (`projected.py` and `hidden_physics.py` make them): no task, no clock. Constants, equations and integrators are
those of Gymnasium's `CartPole-v0` and -v1, `MountainCar-v0`, `Acrobot-v1` and `Pendulum-v1` (Barto et al. 1983; Moore 1990;
Sutton 1996), in float32 in place of float64; a test steps both side by side. The state is a vector, the reward is for the step
just taken.

`Physics` changes what Gymnasium keeps constant; `NOMINAL` is as there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, Discrete
from innerloop.core.spaces import Space


class Physics(NamedTuple):
    """Factors of what Gymnasium has, and a friction, of which it has none; scalars. Each machine says what they mean."""

    gravity: Array | float
    mass: Array | float
    length: Array | float
    friction: Array | float


NOMINAL = Physics(1.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Control(ABC):
    """One of the four; unbatched and jittable."""

    length: ClassVar[int]  # steps after which Gymnasium truncates
    width: ClassVar[int]  # of the observation
    action: ClassVar[Space]
    friction: ClassVar[float]  # a large one, in units of the machine's own
    varies: ClassVar[tuple[str, ...]] = Physics._fields  # what of Physics it has

    @abstractmethod
    def start(self, key: Array) -> Array:
        """The state of a new episode."""

    @abstractmethod
    def step(self, state: Array, action: Array, physics: Physics = NOMINAL) -> tuple[Array, Array, Array]:
        """state, reward, terminated"""

    def observe(self, state: Array) -> Array:
        """What is seen of a state, [width]."""
        return state


@dataclass(frozen=True)
class CartPole(Control):
    """Keep a pole upright on a cart: push left or right; 1 a step; ends beyond 2.4 or 12 degrees. State x, ẋ, θ, θ̇. Mass and
    length are the pole's; friction acts on the cart, in newtons at 1 m/s."""

    length: ClassVar[int] = 200  # as CartPole-v0; v1 has 500 and is else the same
    width: ClassVar[int] = 4
    action: ClassVar[Space] = Discrete(2)
    friction: ClassVar[float] = 2.0

    def start(self, key: Array) -> Array:
        return jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)

    def step(self, state: Array, action: Array, physics: Physics = NOMINAL) -> tuple[Array, Array, Array]:
        _, x_dot, theta, theta_dot = state
        mass, length = 0.1 * physics.mass, 0.5 * physics.length  # half the pole's
        total = 1.0 + mass
        force = jnp.where(action == 1, 10.0, -10.0) - physics.friction * x_dot
        cos, sin = jnp.cos(theta), jnp.sin(theta)
        push = (force + mass * length * theta_dot**2 * sin) / total
        theta_acc = (9.8 * physics.gravity * sin - cos * push) / (length * (4.0 / 3.0 - mass * cos**2 / total))
        x_acc = push - mass * length * theta_acc * cos / total
        after = state + 0.02 * jnp.stack([x_dot, x_acc, theta_dot, theta_acc])
        fell = (jnp.abs(after[0]) > 2.4) | (jnp.abs(after[2]) > 12 * 2 * jnp.pi / 360)
        return after, jnp.ones(()), fell


@dataclass(frozen=True)
class MountainCar(Control):
    """Swing a weak car out of a valley: push left, not, right; −1 a step; ends at the summit. State position, velocity. The
    engine's push is divided by mass; friction takes that share of the velocity in a step."""

    length: ClassVar[int] = 200
    width: ClassVar[int] = 2
    action: ClassVar[Space] = Discrete(3)
    friction: ClassVar[float] = 0.005
    varies: ClassVar[tuple[str, ...]] = ("gravity", "mass", "friction")

    def start(self, key: Array) -> Array:
        return jnp.stack([jax.random.uniform(key, minval=-0.6, maxval=-0.4), jnp.zeros(())])

    def step(self, state: Array, action: Array, physics: Physics = NOMINAL) -> tuple[Array, Array, Array]:
        position, velocity = state
        push, slope = (action - 1) * 0.001 / physics.mass, 0.0025 * physics.gravity * jnp.cos(3.0 * position)
        velocity = jnp.clip((1.0 - physics.friction) * velocity + push - slope, -0.07, 0.07)
        position = jnp.clip(position + velocity, -1.2, 0.6)
        velocity = jnp.where((position == -1.2) & (velocity < 0.0), 0.0, velocity)
        return jnp.stack([position, velocity]), -jnp.ones(()), (position >= 0.5) & (velocity >= 0.0)


@dataclass(frozen=True)
class Acrobot(Control):
    """Swing a double pendulum up by its elbow: torque −1, 0, 1; −1 a step, 0 at the last; ends above the line. State θ₁, θ₂,
    their velocities; seen are cosine and sine of each angle and both velocities. Mass and length are each link's, whose inertia
    grows with the mass and the length's square; friction is a torque in each joint, at 1 rad/s."""

    length: ClassVar[int] = 500
    width: ClassVar[int] = 6
    action: ClassVar[Space] = Discrete(3)
    friction: ClassVar[float] = 0.2

    def start(self, key: Array) -> Array:
        return jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1)

    def observe(self, state: Array) -> Array:
        one, two, one_dot, two_dot = state
        return jnp.stack([jnp.cos(one), jnp.sin(one), jnp.cos(two), jnp.sin(two), one_dot, two_dot])

    def step(self, state: Array, action: Array, physics: Physics = NOMINAL) -> tuple[Array, Array, Array]:
        torque = (action - 1).astype(jnp.float32)
        square = physics.mass * physics.length**2  # m l², which every term but gravity's has, and the inertia too
        weight = 9.8 * physics.gravity * physics.mass * physics.length

        def change(state: Array) -> Array:  # the book's equations: links of length and mass 1, inertia 1
            one, two, one_dot, two_dot = state
            d1 = square * (0.25 + 1.25 + jnp.cos(two) + 2.0)
            d2 = square * (0.25 + 0.5 * jnp.cos(two) + 1.0)
            phi2 = 0.5 * weight * jnp.cos(one + two - jnp.pi / 2.0)
            phi1 = -square * (0.5 * two_dot**2 * jnp.sin(two) + two_dot * one_dot * jnp.sin(two))
            phi1 += 1.5 * weight * jnp.cos(one - jnp.pi / 2.0) + phi2 + physics.friction * one_dot
            pull = 0.5 * square * one_dot**2 * jnp.sin(two) + phi2 + physics.friction * two_dot
            two_acc = (torque + d2 / d1 * phi1 - pull) / (1.25 * square - d2**2 / d1)
            return jnp.stack([one_dot, two_dot, -(d2 * two_acc + phi1) / d1, two_acc])

        k1 = change(state)
        k2 = change(state + 0.1 * k1)
        k3 = change(state + 0.1 * k2)
        k4 = change(state + 0.2 * k3)
        one, two, one_dot, two_dot = state + 0.2 / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        one, two = _around(one), _around(two)
        one_dot, two_dot = jnp.clip(one_dot, -4 * jnp.pi, 4 * jnp.pi), jnp.clip(two_dot, -9 * jnp.pi, 9 * jnp.pi)
        up = -jnp.cos(one) - jnp.cos(two + one) > 1.0
        return jnp.stack([one, two, one_dot, two_dot]), jnp.where(up, 0.0, -1.0), up


@dataclass(frozen=True)
class Pendulum(Control):
    """Swing a pendulum up and hold it: torque in ±2; −(θ² + 0.1 θ̇² + 0.001 u²) a step; never ends. State θ, θ̇; seen are its
    cosine, sine and velocity. Friction is a torque in the joint, at 1 rad/s."""

    length: ClassVar[int] = 200
    width: ClassVar[int] = 3
    action: ClassVar[Space] = Box((1,), -2.0, 2.0)
    friction: ClassVar[float] = 0.1

    def start(self, key: Array) -> Array:
        return jax.random.uniform(key, (2,), minval=-1.0) * jnp.array([jnp.pi, 1.0])

    def observe(self, state: Array) -> Array:
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def step(self, state: Array, action: Array, physics: Physics = NOMINAL) -> tuple[Array, Array, Array]:
        theta, theta_dot = state
        torque = jnp.clip(action[0], -2.0, 2.0)
        cost = _around(theta) ** 2 + 0.1 * theta_dot**2 + 0.001 * torque**2
        fall = 15.0 * physics.gravity / physics.length * jnp.sin(theta)
        turn = 3.0 / (physics.mass * physics.length**2) * (torque - physics.friction * theta_dot)
        theta_dot = jnp.clip(theta_dot + (fall + turn) * 0.05, -8.0, 8.0)
        return jnp.stack([theta + theta_dot * 0.05, theta_dot]), -cost, jnp.zeros((), bool)


def _around(angle: Array) -> Array:
    """The same angle in [−π, π)."""
    return (angle + jnp.pi) % (2.0 * jnp.pi) - jnp.pi
