"""Context encoders: from a set of transitions to a belief N(mean, std²) over a latent, whole or one transition at a time.

Not memories that a policy reads at every step (`nets/memory`): a belief is read where an episode begins.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Normal, select
from innerloop.nets.layers import Dense, Perceptron
from innerloop.nets.memory.gru import GRU

ENCODERS = ("product", "recurrent", "attention")


class Encoder(eqx.Module):
    """x [..., D] is one transition, encoded; all states have the leading axes of x."""

    @abstractmethod
    def empty(self, lead: tuple[int, ...]) -> Any:
        """The state before any transition."""

    @abstractmethod
    def add(self, state: Any, x: Array) -> Any:
        """With one transition x [..., D] more."""

    @abstractmethod
    def read(self, state: Any) -> Normal:
        """The belief [..., Z]; finite, with a finite gradient, even for an empty state."""

    def pool(self, x: Array, mask: Array) -> Any:
        """The state after all of x [..., C, D] where mask [..., C]. Default: a scan of `add`."""

        def one(state: Any, row: tuple[Array, Array]) -> tuple[Any, None]:
            return select(row[1], self.add(state, row[0]), state), None

        rows = jnp.moveaxis(x, -2, 0), jnp.moveaxis(mask, -1, 0)
        return jax.lax.scan(one, self.empty(x.shape[:-2]), rows)[0]


class Product(Encoder):
    """A Gaussian factor of every transition, multiplied (Rakelly et al. 2019, eq. 4); the state is the sum of precisions and of
    means times precisions, [..., 2 Z]."""

    body: Perceptron
    head: Dense  # mean and softplus⁻¹ of the variance

    def empty(self, lead: tuple[int, ...]) -> Array:
        return jnp.zeros((*lead, self.head.bias.shape[0]), self.head.bias.dtype)

    def factors(self, x: Array) -> tuple[Array, Array]:
        """Means and variances [..., Z] of the factors of x [..., D]."""
        mean, raw = jnp.split(self.head(self.body(x, "relu")), 2, -1)
        return mean, jax.nn.softplus(raw) + 1e-7

    def _natural(self, x: Array) -> Array:
        mean, var = self.factors(x)
        return jnp.concatenate([1.0 / var, mean / var], -1)

    def add(self, state: Array, x: Array) -> Array:
        return state + self._natural(x)

    def pool(self, x: Array, mask: Array) -> Array:
        return jnp.sum(jnp.where(mask[..., None], self._natural(x), 0.0), -2)

    def read(self, state: Array) -> Normal:
        precision, weighted = jnp.split(state, 2, -1)
        precision = jnp.where(precision > 0.0, precision, 1.0)
        return Normal(weighted / precision, -0.5 * jnp.log(precision))


class Recurrent(Encoder):
    """A GRU over the transitions in their order; the belief is read from its state."""

    body: Perceptron
    cell: GRU
    head: Dense  # mean and log std

    def empty(self, lead: tuple[int, ...]) -> Any:
        return self.cell.empty(lead, 0)

    def add(self, state: Any, x: Array) -> Any:
        return self.cell.step(state, self.body(x, "relu"), jnp.zeros(x.shape[:-1], bool))[0]

    def read(self, state: Any) -> Normal:
        return _normal(self.head(jax.tree.leaves(state)[0]))


class Attention(Encoder):
    """A learned query attends to the embedded transitions; the state is the running softmax: its largest score, its sum, and
    the weighted sum of values, [..., 2 + H]. The order does not count."""

    body: Perceptron
    score: Dense  # the query's products with the keys
    head: Dense  # mean and log std

    def empty(self, lead: tuple[int, ...]) -> Array:
        state = jnp.zeros((*lead, 2 + self.head.weight.shape[0]), self.head.bias.dtype)
        return state.at[..., 0].set(-1e9)

    def add(self, state: Array, x: Array) -> Array:
        h = self.body(x, "relu")
        score, top = self.score(h), state[..., :1]
        most = jax.lax.stop_gradient(jnp.maximum(top, score))
        new = jnp.exp(score - most)
        rest = jnp.exp(top - most) * state[..., 1:] + jnp.concatenate([new, new * h], -1)
        return jnp.concatenate([most, rest], -1)

    def read(self, state: Array) -> Normal:
        total = state[..., 1:2]
        return _normal(self.head(state[..., 2:] / jnp.where(total > 0.0, total, 1.0)))


def _normal(y: Array) -> Normal:
    mean, log_std = jnp.split(y, 2, -1)
    return Normal(mean, jnp.clip(log_std, -8.0, 2.0))


def make(kind: str, key: Array, inputs: int, hidden: tuple[int, ...], latent: int) -> Encoder:
    """An encoder of one of ENCODERS for transitions of width `inputs` and a latent of size `latent`."""
    key_body, key_head, key_more = jax.random.split(key, 3)
    body, size = Perceptron.init(key_body, inputs, hidden), (inputs, *hidden)[-1]
    head = Dense.init(key_head, size, 2 * latent)
    if kind == "recurrent":
        return Recurrent(body, GRU.init(key_more, size, size), head)
    if kind == "attention":
        return Attention(body, Dense.init(key_more, size, 1), head)
    return Product(body, head)
