"""What a day brings to a patient besides insulin: meals, and the errors of the sensor; both as simglucose 0.2.11 draws them.

Not the patient (`glucose_model.py`). Its random scenario: breakfast, lunch and dinner with probability 0.95, three snacks with
0.3, each at a minute from a truncated normal law and of a normal amount in whole grams. Its sensor, a Dexcom, reads every 3
minutes between 39 and 600 mg/dl; the error is drawn every 15 minutes (e ← 0.7 (e + N(0, 1)), e ~ N(0, 1) at first, bent by a
Johnson law) and is a cubic spline between, ten intervals at a time (after Breton and Kovatchev 2008).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import scipy.interpolate
from jax import Array

MINUTES = 15  # between two doses
LENGTH = 24 * 60 // MINUTES  # doses in a day
READINGS = 5  # of the sensor between two doses
BLOCK = 10  # intervals to a spline

CHANCE = np.array([0.95, 0.3, 0.95, 0.3, 0.95, 0.3])
EARLIEST, LATEST = 60 * np.array([5, 9, 10, 14, 16, 20]), 60 * np.array([9, 10, 14, 16, 20, 23])
USUAL, AROUND = 60 * np.array([7, 9.5, 12, 15, 18, 21.5]), np.array([60, 30, 60, 30, 60, 30])  # minutes
GRAMS, GRAMS_AROUND = np.array([45, 10, 70, 10, 80, 10]), np.array([10, 5, 10, 5, 10, 5])

MEMORY = 0.7  # of the sensor's error
GAMMA, LAMBDA, DELTA, XI = -0.5444, 15.9574, 1.6898, -5.47  # of the Johnson law, mg/dl
LOWEST, HIGHEST = 39.0, 600.0  # mg/dl that the sensor shows


class Menu(NamedTuple):
    """The meals of a day, [6]."""

    minute: Array  # int32, from midnight
    grams: Array  # of carbohydrate; 0 for a meal that is left out

    @classmethod
    def draw(cls, key: Array) -> Self:
        key_whether, key_when, key_grams = jax.random.split(key, 3)
        low, high = ((ends - USUAL) / AROUND for ends in (EARLIEST, LATEST))
        when = USUAL + AROUND * jax.random.truncated_normal(key_when, jnp.asarray(low), jnp.asarray(high))
        grams = jnp.maximum(jnp.round(GRAMS + GRAMS_AROUND * jax.random.normal(key_grams, (6,))), 0.0)
        taken = jax.random.bernoulli(key_whether, jnp.asarray(CHANCE))
        return cls(jnp.round(when).astype(jnp.int32), jnp.where(taken, grams, 0.0))

    def served(self, minute: Array) -> Array:
        """g in this minute of the day."""
        return jnp.sum(jnp.where(self.minute == minute, self.grams, 0.0))

    def coming(self, dose: Array) -> Array:
        """g in the minutes that dose number `dose` covers."""
        return jnp.sum(jnp.where(self.minute // MINUTES == dose, self.grams, 0.0))


def bent(e: Array) -> Array:
    """The Johnson law of the sensor's errors: a normal number to mg/dl."""
    return XI + LAMBDA * jnp.sinh((e - GAMMA) / DELTA)


@lru_cache
def spline() -> np.ndarray:
    """[BLOCK, READINGS, BLOCK + 1]: errors at the readings of each interval from those at its ends."""
    ends = np.arange(BLOCK + 1)
    through = scipy.interpolate.interp1d(ends, np.eye(BLOCK + 1), kind="cubic", axis=0)
    at = np.arange(1, BLOCK * READINGS + 1) / READINGS
    return through(at).reshape(BLOCK, READINGS, BLOCK + 1).astype(np.float32)


class Sensor(NamedTuple):
    """The errors of a sensor."""

    last: Array  # e at the end of the block
    errors: Array  # [BLOCK + 1], mg/dl at the ends of its intervals

    @classmethod
    def draw(cls, key: Array) -> Self:
        key_first, key_more = jax.random.split(key)
        first = jax.random.normal(key_first)
        return cls.block(first, bent(first), jax.random.normal(key_more, (BLOCK,)))

    @classmethod
    def block(cls, last: Array, error: Array, drawn: Array) -> Self:
        """The block after e = `last`, from what was drawn [BLOCK]."""
        es = []
        for i in range(BLOCK):
            last = MEMORY * (last + drawn[i])
            es.append(last)
        return cls(last, jnp.concatenate([error[None], bent(jnp.stack(es))]))

    def ahead(self, interval: Array, key: Array) -> tuple[Self, Array]:
        """The sensor after this interval of the day, and its errors there, [READINGS] mg/dl."""
        place = interval % BLOCK
        found = jnp.asarray(spline())[place] @ self.errors
        fresh = self.block(self.last, self.errors[-1], jax.random.normal(key, (BLOCK,)))
        return jax.tree.map(lambda new, old: jnp.where(place == BLOCK - 1, new, old), fresh, self), found

    @staticmethod
    def shown(glucose: Array) -> Array:
        """What it can show, mg/dl."""
        return jnp.clip(glucose, LOWEST, HIGHEST)
