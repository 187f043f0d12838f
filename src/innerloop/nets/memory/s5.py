"""S5 (Smith et al. 2023, arXiv 2208.04933): a diagonal complex state-space model; with resets, Lu et al. 2023's for RL."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from innerloop.nets.layers import Dense
from innerloop.nets.memory.cell import Cell, along, dense, emptied, recurrence, wide


class S5(Cell):
    """h_t = Λ̄ h_{t-1} + B̄ x_t, y_t = GLU(2 Re(C h_t) + D ∘ x_t), zero-order hold (eq. 6) with a learned step per state.

    P complex states stand for 2P in conjugate pairs. Λ begins as the diagonal of HiPPO-LegS's normal part: −½ + iπn
    (S4D-Lin, Gu et al. 2022, which has the same spectrum in the limit). Products and states are in float32 always.
    """

    log_decay: Array  # [P], log(−Re Λ)
    frequency: Array  # [P], Im Λ
    log_time: Array  # [P], log Δ
    b: Array  # [2, I, P], real and imaginary
    c: Array  # [2, P, I]
    d: Array  # [I]
    out: Dense  # I → 2H, gated

    @staticmethod
    def init(key: Array, inputs: int, width: int, states: int) -> S5:
        key_time, key_b, key_c, key_out = jax.random.split(key, 4)
        low, high = math.log(1e-3), math.log(1e-1)
        return S5(
            jnp.full(states, math.log(0.5)),
            jnp.pi * jnp.arange(states, dtype=jnp.float32),
            jax.random.uniform(key_time, (states,), jnp.float32, low, high),
            jax.random.normal(key_b, (2, inputs, states)) * math.sqrt(0.5 / inputs),
            jax.random.normal(key_c, (2, states, inputs)) * math.sqrt(0.5 / states),
            jnp.ones(inputs),
            Dense.init(key_out, inputs, 2 * width),
        )

    def empty(self, lead: tuple[int, ...], context: int) -> Array:
        """Real and imaginary parts side by side: checkpoints and casts know no complex leaves."""
        return jnp.zeros((*lead, 2 * self.log_decay.shape[0]))

    def step(self, state: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        """In real numbers: what acts is also exported, and other runtimes have no complex ones."""
        (decay_re, decay_im), (gain_re, gain_im) = self._terms(x)
        re, im = jnp.split(emptied(reset, state), 2, axis=-1)
        decay_re, decay_im = along(decay_re, re), along(decay_im, re)
        after = decay_re * re - decay_im * im + gain_re, decay_re * im + decay_im * re + gain_im
        return jnp.concatenate(after, axis=-1), self._read(after, x)

    def unroll(self, state: Array, xs: Array, resets: Array) -> tuple[Array, Array]:
        decay, gain = (jax.lax.complex(*parts) for parts in self._terms(xs))
        h = recurrence(along(decay, gain), gain, resets, jax.lax.complex(*jnp.split(state, 2, axis=-1)))
        re, im = jnp.real(h), jnp.imag(h)
        return jnp.concatenate([re[-1], im[-1]], axis=-1), self._read((re, im), xs)

    def _terms(self, x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Λ̄ [P] and B̄ x [..., P], each as its real and its imaginary part."""
        re, im, time = -jnp.exp(self.log_decay), self.frequency, jnp.exp(self.log_time)
        decay_re, decay_im = (jnp.exp(re * time) * turn(im * time) for turn in (jnp.cos, jnp.sin))
        norm = re**2 + im**2  # B̄ = (Λ̄ − 1) / Λ · B
        scale_re = ((decay_re - 1.0) * re + decay_im * im) / norm
        scale_im = (decay_im * re - (decay_re - 1.0) * im) / norm
        x = wide(x)
        into_re, into_im = x @ self.b[0], x @ self.b[1]
        scale_re, scale_im = along(scale_re, into_re), along(scale_im, into_re)
        return (decay_re, decay_im), (scale_re * into_re - scale_im * into_im, scale_re * into_im + scale_im * into_re)

    def _read(self, h: tuple[Array, Array], x: Array) -> Array:
        y = 2.0 * (h[0] @ self.c[0] - h[1] @ self.c[1])
        y = jax.nn.gelu(y.astype(x.dtype) + along(self.d, x) * x)
        value, gate = jnp.split(dense(self.out, y), 2, axis=-1)
        return value * jax.nn.sigmoid(gate)
