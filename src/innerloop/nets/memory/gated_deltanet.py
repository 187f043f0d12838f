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
        system u_t + β_t Σ_{j<t} D_tj (k_t·k_j) u_j = β_t (v_t − D_t0 S_0 k_t); the paper's WY form, written out. It is linear
        in S_0, so all blocks are solved side by side, and what goes from one to the next is S ← S M + N."""
        steps, size = xs.shape[0], min(BLOCK, xs.shape[0])
        q, k, v, gate, log_alpha, beta = self._terms(xs)
        rows = q, k, v, log_alpha, beta, resets
        spare = -steps % size  # rows that write nothing and keep everything
        rows = jax.tree.map(lambda x: jnp.pad(x, ((0, spare), *((0, 0),) * (x.ndim - 1))), rows)
        rows = jax.tree.map(lambda x: jnp.reshape(x, (-1, size, *x.shape[1:])), rows)
        own, seen, carry, add, old = jax.vmap(_block)(*rows)

        def ahead(state: Array, block: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            carry, add, whole = block
            return jnp.where(whole, state @ carry, 0.0) + add, state

        state, before = jax.lax.scan(ahead, state, (carry, add, old[:, :, :, -1:]))
        o = own + jnp.where(old, jnp.einsum("bngtd,bngvd->bngtv", seen, before), 0.0)
        o = jnp.moveaxis(o, 3, 1)
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


def _block(
    q: Array, k: Array, v: Array, log_alpha: Array, beta: Array, resets: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Rows [C, N, G, ...] of one block, begun in state S → O, Q [N, G, C, D], M, N [N, G, D, D] and whether no trial began yet
    [N, 1, C, 1]: what is read is O + Q Sᵀ, with Q where none began, and the state at the end S M + N, or N."""
    size = k.shape[-1]
    q, k, v = (jnp.moveaxis(x, 0, 2) for x in (q, k, v))  # [N, G, C, D]
    log_alpha, beta = jnp.moveaxis(log_alpha, 0, 2), jnp.moveaxis(beta, 0, 2)  # [N, G, C]
    trial = jnp.moveaxis(jnp.cumsum(resets, axis=0), 0, 1)[:, None]  # [N, 1, C]
    log_decay = jnp.cumsum(log_alpha, axis=-1)
    old = (trial == 0)[..., None]
    left = jnp.where(old, jnp.exp(log_decay)[..., None], 0.0)  # of S, at each step
    before = jnp.tril(trial[..., :, None] == trial[..., None, :])
    decay = jnp.exp(jnp.where(before, log_decay[..., :, None] - log_decay[..., None, :], -jnp.inf))
    system = jnp.tril(beta[..., None] * decay * jnp.einsum("ngtd,ngjd->ngtj", k, k), -1)
    right = beta[..., None] * jnp.concatenate([v, left * k], -1)
    solved = _solved(system, right)
    read = (decay * jnp.einsum("ngtd,ngjd->ngtj", q, k)) @ solved
    kept = jnp.einsum("ngjv,ngjd->ngvd", solved, decay[:, :, -1, :, None] * k)
    carry = left[:, :, -1:] * jnp.eye(size)[None, None] - kept[:, :, size:]
    return read[..., :size], left * q - read[..., size:], carry, kept[:, :, :size], old


def _solved(lower: Array, right: Array) -> Array:
    """u of u + lower u = right, for strictly lower triangular [..., C, C] and [..., C, V]. By an inverse: on a CPU, LAPACK's
    batched solve may hang (`core/in_turn.py`)."""
    inverse = jax.lax.stop_gradient(_inverse(lower))
    back = jnp.swapaxes(inverse, -1, -2)
    return jax.lax.custom_linear_solve(lambda u: u + lower @ u, right, lambda _, r: inverse @ r, lambda _, r: back @ r)


def _inverse(lower: Array) -> Array:
    """(1 + lower)⁻¹, from its blocks on the diagonal, of double the size each time: of [[A, 0], [C, B]] it is
    [[A⁻¹, 0], [−B⁻¹ C A⁻¹, B⁻¹]]."""
    size = lower.shape[-1]
    whole, lead = 1 << (size - 1).bit_length(), lower.shape[:-2]
    lower = jnp.pad(lower, (*((0, 0),) * len(lead), (0, whole - size), (0, whole - size)))
    inverse, half = jnp.ones((*lead, whole, 1, 1), lower.dtype), 1
    while half < whole:
        blocks = lower.reshape(*lead, whole // (2 * half), 2 * half, whole // (2 * half), 2 * half)
        below = jnp.moveaxis(jnp.diagonal(blocks[..., half:, :, :half], axis1=-4, axis2=-2), -1, -3)
        first, second = inverse[..., 0::2, :, :], inverse[..., 1::2, :, :]
        upper = jnp.concatenate([first, jnp.zeros_like(first)], -1)
        inverse = jnp.concatenate([upper, jnp.concatenate([-second @ below @ first, second], -1)], -2)
        half *= 2
    return inverse[..., 0, :size, :size]
