"""Gated DeltaNet (Yang, Kautz & Hatamizadeh 2024, arXiv 2412.06464): a linear attention that can forget and overwrite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense
from innerloop.nets.memory.cell import Cell, along, dense, emptied, product, wide

BLOCK = 32  # steps solved at once in `unroll`


class GatedDeltaNet(Cell):
    """S_t = α_t S_{t-1} (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ, o_t = S_t q_t, for each head; y = (RMSNorm(o) ∘ SiLU(gate)) W_o.

    q and k are SiLU'd and of length 1, α_t = exp(−e^a softplus(x w_α + b)), β_t = σ(x w_β). Without the paper's short
    convolution: a step's action, reward and observation arrive together, so there is nothing to gather from neighbours.
    S [N, G heads, D values, D keys], float32.
    """

    qkvg: Array  # [I, 4H]
    rates: Array  # [I, 2G], decay and writing strength
    rate_bias: Array  # [2G]
    log_decay: Array  # [G], a
    norm: Array  # [H]
    out: Dense  # H → H

    @staticmethod
    def init(key: Array, inputs: int, width: int, heads: int) -> GatedDeltaNet:
        key_qkvg, key_rates, key_out = jax.random.split(key, 3)
        make = jax.nn.initializers.glorot_uniform()
        # e^a softplus(b) between 1/1000 and 1/10 at first: heads keep for ten to a thousand steps.
        times = jnp.exp(jnp.linspace(jnp.log(1e-3), jnp.log(1e-1), heads))
        return GatedDeltaNet(
            make(key_qkvg, (inputs, 4 * width), jnp.float32),
            make(key_rates, (inputs, 2 * heads), jnp.float32),
            jnp.concatenate([jnp.log(jnp.expm1(times)), jnp.zeros(heads)]),
            jnp.zeros(heads),
            jnp.ones(width),
            Dense.init(key_out, width, width),
        )

    @property
    def heads(self) -> int:
        return self.log_decay.shape[0]

    def empty(self, lead: tuple[int, ...], context: int) -> Array:
        size = self.norm.shape[0] // self.heads
        return jnp.zeros((*lead, self.heads, size, size))

    def step(self, state: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        q, k, v, gate, log_alpha, beta = self._terms(x)
        held = emptied(reset, state) * jnp.exp(log_alpha)[..., None, None]
        written = beta[..., None] * (v - jnp.einsum("...vk,...k->...v", held, k))
        state = held + written[..., :, None] * k[..., None, :]
        return state, self._read(jnp.einsum("...vk,...k->...v", state, q), gate)

    def unroll(self, state: Array, xs: Array, resets: Array) -> tuple[Array, Array]:
        """In blocks of steps. Within one, with D_tj the decay from j to t, what is written solves the unit lower-triangular
        system u_t + β_t Σ_{j<t} D_tj (k_t·k_j) u_j = β_t (v_t − D_t0 S_0 k_t); the paper's WY form, written out."""
        steps, size = xs.shape[0], min(BLOCK, xs.shape[0])
        q, k, v, gate, log_alpha, beta = self._terms(xs)
        rows = q, k, v, log_alpha, beta, resets
        spare = -steps % size  # rows that write nothing and keep everything
        rows = jax.tree.map(lambda x: jnp.pad(x, ((0, spare), *((0, 0),) * (x.ndim - 1))), rows)
        rows = jax.tree.map(lambda x: jnp.reshape(x, (-1, size, *x.shape[1:])), rows)
        state, o = jax.lax.scan(_block, state, rows)
        return state, self._read(jnp.reshape(o, (-1, *o.shape[2:]))[:steps], gate)

    def _terms(self, x: Array) -> tuple[Array, ...]:
        """q, k, v [..., G, D] and log α, β [..., G], float32; gate [..., H]."""
        q, k, v, gate = jnp.split(product(x, self.qkvg), 4, axis=-1)
        heads = self.heads
        q, k, v = (wide(y).reshape(*y.shape[:-1], heads, -1) for y in (q, k, v))
        q, k = (_unit(jax.nn.silu(y)) for y in (q, k))
        rates = wide(product(x, self.rates))
        rate, strength = jnp.split(rates + along(self.rate_bias, rates), 2, axis=-1)
        return q, k, v, gate, -along(jnp.exp(self.log_decay), rate) * jax.nn.softplus(rate), jax.nn.sigmoid(strength)

    def _read(self, o: Array, gate: Array) -> Array:
        o = o * jax.lax.rsqrt(jnp.mean(o * o, axis=-1, keepdims=True) + 1e-5)
        o = o.reshape(*o.shape[:-2], -1)
        return dense(self.out, (o * along(self.norm, o)).astype(gate.dtype) * jax.nn.silu(gate))


def _unit(x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-6)


def _block(state: Array, rows: tuple[Array, ...]) -> tuple[Array, Array]:
    """state [N, G, D, D]; rows [C, N, G, ...] → state, o [C, N, G, D]."""
    q, k, v, log_alpha, beta, resets = rows
    q, k, v = (jnp.moveaxis(x, 0, 2) for x in (q, k, v))  # [N, G, C, D]
    log_alpha, beta = jnp.moveaxis(log_alpha, 0, 2), jnp.moveaxis(beta, 0, 2)  # [N, G, C]
    trial = jnp.moveaxis(jnp.cumsum(resets, axis=0), 0, 1)[:, None]  # [N, 1, C]
    log_decay = jnp.cumsum(log_alpha, axis=-1)
    from_start, old = jnp.exp(log_decay)[..., None], (trial == 0)[..., None]
    before = jnp.tril(trial[..., :, None] == trial[..., None, :])
    decay = jnp.exp(jnp.where(before, log_decay[..., :, None] - log_decay[..., None, :], -jnp.inf))
    system = jnp.tril(beta[..., None] * decay * jnp.einsum("ngtd,ngjd->ngtj", k, k), -1)
    right = beta[..., None] * (v - jnp.where(old, from_start * jnp.einsum("ngvd,ngtd->ngtv", state, k), 0.0))
    written = jax.lax.linalg.triangular_solve(system, right, left_side=True, lower=True, unit_diagonal=True)
    seen = jnp.where(old, from_start * jnp.einsum("ngvd,ngtd->ngtv", state, q), 0.0)
    o = seen + (decay * jnp.einsum("ngtd,ngjd->ngtj", q, k)) @ written
    kept = jnp.where(old[:, :, -1:], from_start[:, :, -1:] * state, 0.0)
    state = kept + jnp.einsum("ngjv,ngjd->ngvd", written * decay[:, :, -1, :, None], k)
    return state, jnp.moveaxis(o, 2, 0)
