"""Action distributions: pytrees that sample, score and compare themselves.

Not networks: a head in `nets/` makes their parameters. Leading axes are free; every method broadcasts over them.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
from jax import Array

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Dist(Protocol):
    """A distribution over one action; also a pytree, since the recorded one is needed for the KL."""

    def sample(self, key: Array) -> Array: ...
    def mode(self) -> Array: ...
    def log_prob(self, action: Array) -> Array: ...
    def entropy(self) -> Array: ...
    def kl(self, other: Self) -> Array:
        """KL(self ‖ other), nats."""
        ...


class Categorical(NamedTuple):
    """Over int32 actions; `logits` float [..., A], unnormalised log-probabilities (never softmax outputs)."""

    logits: Array

    def sample(self, key: Array) -> Array:
        return jax.random.categorical(key, self.logits, axis=-1).astype(jnp.int32)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        return jnp.take_along_axis(jax.nn.log_softmax(self.logits), action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)

    def kl(self, other: Categorical) -> Array:
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


class Normal(NamedTuple):
    """Independent normals over float actions [..., D]; sums, never averages, over D."""

    mean: Array
    log_std: Array

    def sample(self, key: Array) -> Array:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> Array:
        return self.mean

    def log_prob(self, action: Array) -> Array:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z * z - self.log_std - _HALF_LOG_2PI, axis=-1)

    def entropy(self) -> Array:
        return jnp.sum(self.log_std + 0.5 + _HALF_LOG_2PI, axis=-1)

    def kl(self, other: Normal) -> Array:
        ratio = jnp.exp(2.0 * (self.log_std - other.log_std))
        gap = ((self.mean - other.mean) * jnp.exp(-other.log_std)) ** 2
        return jnp.sum(other.log_std - self.log_std + 0.5 * (ratio + gap - 1.0), axis=-1)


class Uniform(NamedTuple):
    """Independent uniforms over [low, high] per entry; the random baseline on boxes. Leaves float [..., D]."""

    low: Array
    high: Array

    def sample(self, key: Array) -> Array:
        return jax.random.uniform(key, self.low.shape, self.low.dtype) * (self.high - self.low) + self.low

    def mode(self) -> Array:
        return 0.5 * (self.low + self.high)

    def log_prob(self, action: Array) -> Array:
        inside = jnp.all((action >= self.low) & (action <= self.high), axis=-1)
        return jnp.where(inside, -self.entropy(), -jnp.inf)

    def entropy(self) -> Array:
        return jnp.sum(jnp.log(self.high - self.low), axis=-1)

    def kl(self, other: Uniform) -> Array:
        inside = jnp.all((self.low >= other.low) & (self.high <= other.high), axis=-1)
        return jnp.where(inside, other.entropy() - self.entropy(), jnp.inf)


_NODES = (0.381186990207322, 1.15719371244678, 1.98165675669584, 2.93063742025724)  # Gauss–Hermite, 8 points: the positive half
_WEIGHTS = (0.373012257679077, 0.117239907661759, 0.00963522012078826, 0.000112614538375368)  # over √π: they sum to ½


class TanhNormal(NamedTuple):
    """tanh of independent normals, stretched to [low, high]; leaves float [..., D]. `mean` and `log_std` are those before the
    tanh. `entropy` integrates over 8 points of Gauss and Hermite; all else is exact."""

    mean: Array
    log_std: Array
    low: Array
    high: Array

    def _squash(self, u: Array) -> Array:
        return self.low + 0.5 * (self.high - self.low) * (jnp.tanh(u) + 1.0)

    def _stretch(self, u: Array) -> Array:
        """log |d action / d u| [..., D]."""
        return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u)) + jnp.log(0.5 * (self.high - self.low))

    def _inside(self) -> Normal:
        return Normal(self.mean, self.log_std)

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """An action, differentiable in the parameters, and its log-density, without the loss of digits of an inverse tanh."""
        u = self._inside().sample(key)
        return self._squash(u), self._inside().log_prob(u) - jnp.sum(self._stretch(u), -1)

    def sample(self, key: Array) -> Array:
        return self._squash(self._inside().sample(key))

    def mode(self) -> Array:
        """The median: tanh of the mean, as is usual in evaluation; the density may be higher at an edge."""
        return self._squash(self.mean)

    def log_prob(self, action: Array) -> Array:
        """Actions within 1e-6 of a bound count as that far from it, in units of half the range."""
        y = 2.0 * (action - self.low) / (self.high - self.low) - 1.0
        u = jnp.arctanh(jnp.clip(y, -1.0 + 1e-6, 1.0 - 1e-6))
        return self._inside().log_prob(u) - jnp.sum(self._stretch(u), -1)

    def entropy(self) -> Array:
        spread = math.sqrt(2.0) * jnp.exp(self.log_std)
        stretch = jnp.zeros_like(self.mean)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            both = self._stretch(self.mean + node * spread) + self._stretch(self.mean - node * spread)
            stretch += weight * both
        return self._inside().entropy() + jnp.sum(stretch, -1)

    def kl(self, other: TanhNormal) -> Array:
        """Of the normals before the tanh: the same, since both are stretched alike."""
        return self._inside().kl(other._inside())
