"""What varies between highways: how dense the traffic is, how its drivers behave, and what the passenger wants.

Not the highway (`highway.py`, `highway_car.py`). Free of JAX: worker processes read it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

VEHICLES, SEEN, SECONDS, SUBSTEPS = 20, 5, 30, 5  # others on the road; rows of an observation; of an episode; a second
MOST_LANES = 4
PAID = 10  # s between two payments
SPEEDS = (10.0, 15.0, 20.0, 25.0, 30.0)  # m/s that the agent's car may keep: slow enough to stay behind whoever brakes
PUBLISHED_SPEEDS = (20.0, 25.0, 30.0)  # highway-fast-v0's own
FIRST, SLOW, FAST = 25.0, 20.0, 30.0  # m/s at first; from where to where speed is worth something
EGO_SPACING = 1.5  # behind the last of the others, in the units of 1 / density
FAR, FASTEST = 200.0, 80.0  # metres and m/s that are 1 in an observation

# The pieces from which a regime's numbers are drawn, in training and beyond it; density by its logarithm.
RANGES = {
    "lanes": ((2, 4), (2, 4)),  # whole, both ends included
    "density": ((0.7, 1.4), (1.4, 2.0)),
    "aggression": ((0.0, 1.0), (1.0, 1.5)),
    "speed": ((-0.5, 1.5), (-0.5, 1.5)),
    "lane": ((-1.0, 1.0), (-1.0, 1.0)),
    "collision": ((1.0, 5.0), (1.0, 5.0)),
}


class Regime(NamedTuple):
    """One task."""

    lanes: Any  # int
    density: Any  # of traffic; 1 is highway-env's
    aggression: Any  # of its drivers; 0.5 is highway-env's
    speed: Any  # worth of a second at FAST; linear from 0 at SLOW
    lane: Any  # worth of a second on the rightmost lane; linear from 0 on the leftmost
    collision: Any  # what a collision costs


PUBLISHED = Regime(3, 1.0, 0.5, 0.4, 0.1, 1.0)  # highway-fast-v0's own, but for the rescaling of its reward


class Drivers(NamedTuple):
    """Constants of the Intelligent Driver Model (Treiber et al. 2000) and of MOBIL (Kesting et al. 2007), of all cars alike."""

    headway: Any  # time gap that is kept, s
    politeness: Any  # what others' gain counts in a change of lanes, in [0, 1]
    imposed: Any  # deceleration that a change of lanes may force on the follower, m/s²
    gap: Any = 10.0  # between the centres of cars at rest: the paper's s0 and a car's length, m
    comfort: Any = 3.0  # acceleration, m/s²
    braking: Any = 5.0  # comfortable deceleration, m/s²
    gain: Any = 0.2  # in acceleration, for which lanes are changed, m/s²
    patience: Any = 1.0  # between two thoughts of changing lanes, s


def drivers(aggression: Any) -> Drivers:
    """At an aggression of 0.5 the constants of highway-env; at 1 half the headway, and twice the braking that is forced on
    others; at 0 the reverse, and half of others' gain counts."""
    factor = 2.0 ** (2.0 * aggression - 1.0)
    away = 0.5 - aggression
    return Drivers(headway=1.5 / factor, politeness=away * (away > 0), imposed=2.0 * factor)
