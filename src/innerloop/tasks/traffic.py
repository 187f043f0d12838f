"""Cars on a straight highway: a bicycle model, the controllers that steer it, and the drivers of all cars but the agent's.

Not the task, the observation or the reward (`highway.py`). Car following is the Intelligent Driver Model (Treiber, Hennecke
and Helbing 2000, Phys. Rev. E 62), changing lanes is MOBIL (Kesting, Treiber and Helbing 2007, Transportation Research Record
1999); all else, the order in which things happen included, is highway-env 1.12's (Leurent 2018), of which its test says that
it agrees step by step. Lanes are 4 m wide, and number 0 is the leftmost. Of V cars the first is the agent's.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.tasks.collision import LENGTH, collide
from innerloop.tasks.regime import MOST_LANES, SPEEDS, Drivers

WIDTH, LIMIT, FASTEST, HARDEST = 4.0, 30.0, 40.0, 6.0  # of a lane, m; the law's and the cars' speeds, m/s; acceleration, m/s²
STEER = jnp.pi / 3  # most, rad
KP_SPEED, KP_HEADING, KP_LATERAL = 1 / 0.6, 1 / 0.2, 1 / 0.6  # gains of the controllers, 1/s
LEFT, IDLE, RIGHT, FASTER, SLOWER = range(5)  # actions


class Cars(NamedTuple):
    """Leaves [V]; metres, m/s, rad, s."""

    x: Array
    y: Array
    heading: Array
    speed: Array
    goal: Array  # the speed that is wanted
    lane: Array  # int32, the closest one
    target: Array  # int32, the one that is steered for
    timer: Array  # since a driver last thought of changing lanes
    exponent: Array  # δ of the IDM, each driver's own
    crashed: Array  # bool
    struck: Array  # bool: a collision will move it in the next moment
    push: tuple[Array, Array]  # by so much along x and y


def _not_zero(x: Array) -> Array:
    return jnp.where(jnp.abs(x) > 1e-2, x, jnp.where(x >= 0, 1e-2, -1e-2))


def lane_of(y: Array, lanes: Array) -> Array:
    """The closest of the lanes that there are; int32 [V]."""
    number = jnp.arange(MOST_LANES)
    away = jnp.abs(y[:, None] - WIDTH * number[None].astype(y.dtype))
    return jnp.argmin(jnp.where(number[None] < lanes, away, jnp.inf), -1).astype(jnp.int32)


def steering(cars: Cars) -> Array:
    """The angle that brings each car to its lane, rad [V]: position to lateral speed to heading to the wheel."""
    speed = _not_zero(cars.speed)
    lateral = cars.y - WIDTH * cars.target
    wanted = jnp.arcsin(jnp.clip(-KP_LATERAL * lateral / speed, -1.0, 1.0))
    rate = KP_HEADING * _wrapped(jnp.clip(wanted, -jnp.pi / 4, jnp.pi / 4) - cars.heading)
    slip = jnp.arcsin(jnp.clip(LENGTH / 2 / speed * rate, -1.0, 1.0))
    return jnp.clip(jnp.arctan(2.0 * jnp.tan(slip)), -STEER, STEER)


def _wrapped(angle: Array) -> Array:
    return (angle + jnp.pi) % (2.0 * jnp.pi) - jnp.pi


def move(cars: Cars, steer: Array, acceleration: Array, lanes: Array, dt: float) -> Cars:
    """One moment of the bicycle model. Crashed cars brake, and those that were struck are pushed aside."""
    steer = jnp.where(cars.crashed, 0.0, steer)
    acceleration = jnp.where(cars.crashed, -cars.speed, acceleration)
    acceleration = jnp.where(cars.speed > FASTEST, jnp.minimum(acceleration, FASTEST - cars.speed), acceleration)
    acceleration = jnp.where(cars.speed < -FASTEST, jnp.maximum(acceleration, -FASTEST - cars.speed), acceleration)
    slip = jnp.arctan(0.5 * jnp.tan(steer))
    push_x, push_y = (jnp.where(cars.struck, push, 0.0) for push in cars.push)
    y = cars.y + cars.speed * jnp.sin(cars.heading + slip) * dt + push_y
    return cars._replace(
        x=cars.x + cars.speed * jnp.cos(cars.heading + slip) * dt + push_x,
        y=y,
        heading=cars.heading + cars.speed * jnp.sin(slip) / (LENGTH / 2) * dt,
        speed=cars.speed + acceleration * dt,
        lane=lane_of(y, lanes),
        timer=cars.timer + dt,
        crashed=cars.crashed | cars.struck,
        struck=jnp.zeros_like(cars.struck),
    )


def hit(cars: Cars, dt: float) -> Cars:
    """The agent's car against all others: who has collided, and who will within a moment. (Others never collide with each
    other, as in highway-fast.)"""
    now, soon, give = collide(cars.x, cars.y, cars.heading, cars.speed, dt)
    last = len(soon) - 1 - jnp.argmax(soon[::-1])  # who comes later in the list has the say

    def pushed(give: Array, old: Array) -> Array:
        own = jnp.where(jnp.any(soon), give[last] / 2, old[0])
        return jnp.concatenate([own[None], jnp.where(soon, -give / 2, old[1:])])

    return cars._replace(
        crashed=cars.crashed | jnp.concatenate([jnp.any(now)[None], now]),
        struck=cars.struck | jnp.concatenate([jnp.any(soon)[None], soon]),
        push=(pushed(give[0], cars.push[0]), pushed(give[1], cars.push[1])),
    )


class _Pairs(NamedTuple):
    """What the drivers' model says of each car behind each other, [V, V]."""

    brake: Array  # acceleration that car i loses because of car j ahead, m/s²
    gap: Array  # distance that i wants to j, m
    ahead: Array  # of j before i, m


def _pairs(cars: Cars, ways: Drivers) -> _Pairs:
    cos, sin = jnp.cos(cars.heading), jnp.sin(cars.heading)
    towards = cos[:, None] * cos[None] + sin[:, None] * sin[None]
    closing = cars.speed[:, None] - cars.speed[None] * towards
    root = 2.0 * (ways.comfort * ways.braking) ** 0.5
    gap = ways.gap + cars.speed[:, None] * ways.headway + cars.speed[:, None] * closing / root
    ahead = cars.x[None] - cars.x[:, None]
    return _Pairs(ways.comfort * (gap / _not_zero(ahead)) ** 2, gap, ahead)


def _neighbours(cars: Cars, ahead: Array) -> tuple[Array, Array, Array, Array]:
    """On the lane to the left of each car, on its own and on the one to the right: who is ahead of it, int32 [V, 3], and
    whether anyone is, bool [V, 3]; who is behind, and whether anyone is. Cars between two lanes are on both."""
    count = len(cars.x)
    numbers = jnp.arange(count)[None, :, None]
    away = ahead.T[None]  # of car j before car i, here and below [3, j, i]: a CPU reduces over j for several i at once
    off_centre = cars.y[None, :, None] - WIDTH * (cars.lane[None, None] + jnp.arange(-1, 2)[:, None, None])
    on = (jnp.abs(off_centre) <= WIDTH / 2 + 1.0) & ~jnp.eye(count, dtype=bool)[None]

    def nearest(distance: Array) -> tuple[Array, Array]:
        least = jnp.min(distance, 1, keepdims=True)
        which = jnp.max(jnp.where(distance == least, numbers, 0), 1)
        return which.T, (least[:, 0] < jnp.inf).T

    front, has_front = nearest(jnp.where(on & (away >= 0), away, jnp.inf))
    rear, has_rear = nearest(jnp.where(on & (away < 0), -away, jnp.inf))
    return front, has_front, rear, has_rear


def think(cars: Cars, ways: Drivers, lanes: Array) -> tuple[Cars, Array]:
    """What the drivers want: their lanes, and accelerations [V] by the IDM. The first car's are not its driver's."""
    pairs = _pairs(cars, ways)
    front, has_front, rear, has_rear = _neighbours(cars, pairs.ahead)
    rows = jnp.arange(len(cars.x))[:, None]
    ratio = jnp.maximum(cars.speed, 0.0) / jnp.abs(_not_zero(jnp.clip(cars.goal, 0.0, LIMIT)))
    free = ways.comfort * (1.0 - ratio**cars.exponent)
    # Of those behind, as this driver thinks of them: by its own exponent.
    behind = ways.comfort * (1.0 - ratio[rear] ** cars.exponent[:, None])
    mine = free[:, None] - jnp.where(has_front, pairs.brake[rows, front], 0.0)  # [V, 3], on each of the lanes
    theirs = jnp.where(has_rear, behind - jnp.where(has_front, pairs.brake[rear, front], 0.0), 0.0)  # without this car
    after_me = jnp.where(has_rear, behind - pairs.brake[rear, rows], 0.0)  # with this car before them
    safe = after_me >= -ways.imposed
    gain = mine - mine[:, 1:2] + ways.politeness * (after_me - theirs + theirs[:, 1:2] - after_me[:, 1:2])
    there = jnp.stack([cars.lane > 0, cars.lane < 0, cars.lane + 1 < lanes], -1)  # the middle one is no change
    moving = (jnp.abs(cars.speed) >= 1.0)[:, None]
    better = there & moving & safe & (gain >= ways.gain)

    changing = cars.lane != cars.target
    awake = ~cars.crashed & (jnp.arange(len(cars.x)) > 0)
    thinks = awake & ~changing & (cars.timer > ways.patience)
    wish = jnp.where(better[:, 2], cars.lane + 1, jnp.where(better[:, 0], cars.lane - 1, cars.lane))
    target = _aborted(cars, jnp.where(thinks, wish, cars.target), pairs, awake & changing)
    # A driver between two lanes minds both.
    side = 1 + jnp.clip(target - cars.lane, -1, 1)
    acceleration = jnp.minimum(mine[:, 1], jnp.take_along_axis(mine, side[:, None], 1)[:, 0])
    timer = jnp.where(thinks, 0.0, cars.timer)
    return cars._replace(target=target, timer=timer), jnp.clip(acceleration, -HARDEST, HARDEST)


def _aborted(cars: Cars, target: Array, pairs: _Pairs, changing: Array) -> Array:
    """Targets after those who are changing lanes have looked whether another is on its way there, close ahead; then they go
    back. They look one after another, and see what those before them have decided: the only answer that agrees with itself."""
    count = len(target)
    close = (pairs.ahead > 0) & (pairs.ahead < pairs.gap) & (cars.lane[None] != cars.target[:, None])
    close &= changing[:, None] & ~jnp.eye(count, dtype=bool)
    earlier = jnp.tri(count, k=-1, dtype=bool)  # [i, j]: j has decided before i

    def decide(decided: Array) -> Array:
        seen = jnp.where(earlier, decided[None], cars.target[None])
        back = jnp.any(close & (seen == cars.target[:, None]), -1)
        return jnp.where(back, cars.lane, target)

    def unsettled(both: tuple[Array, Array]) -> Array:
        return jnp.any(both[0] != both[1])

    first = decide(target)
    return jax.lax.while_loop(unsettled, lambda both: (both[1], decide(both[1])), (target, first))[1]


def command(cars: Cars, action: Array, lanes: Array, speeds: tuple[float, ...] = SPEEDS) -> Cars:
    """The agent's action: another lane, or another of the speeds that its car can keep."""
    step, most = (speeds[-1] - speeds[0]) / (len(speeds) - 1), len(speeds) - 1
    nearest = jnp.clip(jnp.round((cars.speed[0] - speeds[0]) / step), 0, most)
    faster = (action == FASTER).astype(nearest.dtype) - (action == SLOWER).astype(nearest.dtype)
    speed = speeds[0] + step * jnp.clip(nearest + faster, 0, most)
    goal = jnp.where(faster != 0, speed, cars.goal[0])
    lane = jnp.clip(cars.target[0] + (action == RIGHT) - (action == LEFT), 0, lanes - 1).astype(jnp.int32)
    reachable = jnp.abs(cars.y[0] - WIDTH * lane) <= 2.0 * WIDTH
    lane = jnp.where(reachable, lane, cars.target[0])
    return cars._replace(goal=cars.goal.at[0].set(goal), target=cars.target.at[0].set(lane))


def second(cars: Cars, action: Array, ways: Drivers, lanes: Array, substeps: int, speeds: tuple[float, ...] = SPEEDS) -> Cars:
    """One second of traffic, in `substeps` moments, under one action of the agent; `speeds`: evenly spaced, m/s."""
    dt = 1.0 / substeps

    def moment(cars: Cars, _: None) -> tuple[Cars, None]:
        cars, wanted = think(cars, ways, lanes)
        wanted = wanted.at[0].set(KP_SPEED * (cars.goal[0] - cars.speed[0]))
        return hit(move(cars, steering(cars), wanted, lanes, dt), dt), None

    return jax.lax.scan(moment, command(cars, action, lanes, speeds), None, substeps)[0]
