"""ProMP: proximal meta-policy search (Rothfuss et al. 2019, arXiv 1810.06784, algorithm 1).

Not an inner loop: several steps on the same lives need one that stays right off the sampling parameters, which is the
gradient inner with `estimator="lvc"`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, TaskDistribution, accept, at_least, replay
from innerloop.equations.clipping import clipped_surrogate
from innerloop.equations.linear_baseline import NORMALISE, WEIGHTS
from innerloop.equations.returns import masked_mean
from innerloop.outer.gradients import mean_gradient
from innerloop.outer.last_chunk import credits


class ProMPState(NamedTuple):
    """All that ProMP carries."""

    meta: Any
    optimiser: Any
    coefficient: Array  # scalar, η: of the KL before adaptation
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class ProMP(Outer[Any, ProMPState]):
    """Adam steps on  clipped surrogate of the last chunk  + η · KL(sampling ‖ current) of the chunks before it  (eq. 13)."""

    lr: float = eqx.field(static=True, default=1e-3)  # Adam; paper: 1e-3
    steps: int = eqx.field(static=True, default=5)  # on each batch of lives; paper: 5
    clip: float = eqx.field(static=True, default=0.3)  # paper: 0.3
    inner_kl: float = eqx.field(static=True, default=5e-4)  # η, the first one where it adapts; paper: 5e-4
    adaptive: bool = eqx.field(
        static=True, default=False
    )  # η doubles or halves where the KL leaves target_kl/1.5 … 1.5 target_kl
    target_kl: float = eqx.field(static=True, default=0.01)  # nats, mean over steps and tasks; paper: 0.01 where it adapts
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=1.0)
    normalise: str = eqx.field(static=True, default="std")  # of advantages, per task: std, variance or none
    weights: str = eqx.field(static=True, default="advantage")  # or "return": the bare reward-to-go

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.normalise", self.normalise, NORMALISE)
        accept("outer.weights", self.weights, WEIGHTS)
        at_least("outer.steps", self.steps, 2 if self.adaptive else 1)  # before the first step the KL is 0
        at_least("outer.clip", self.clip, 0.0)
        at_least("outer.inner_kl", self.inner_kl, 0.0)

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> ProMPState:
        return ProMPState(
            meta, optax.adam(self.lr).init(meta), jnp.asarray(self.inner_kl, jnp.float32), jnp.zeros((), jnp.int32)
        )

    def meta(self, state: ProMPState) -> Any:
        return state.meta

    def loss(
        self, inner: Inner[Any, Any], meta: Any, life: Lifetime, credit: Array, coefficient: Array
    ) -> tuple[Array, Metrics]:
        """Of one task; `credit` [T, N] of the last chunk's rows. All metrics are of the parameters given."""
        decision, _, _ = replay(inner, meta, life)
        rows, mask = life.chunks, life.chunks.mask
        log_ratio = jnp.where(mask, decision.dist.log_prob(rows.action) - rows.log_prob, 0.0)
        kl = jnp.where(mask, rows.dist.kl(decision.dist), 0.0)
        surrogate = masked_mean(clipped_surrogate(log_ratio[-1], credit, self.clip), mask[-1])
        before = masked_mean(kl[:-1], mask[:-1])
        aux = {
            "surrogate": surrogate,
            "kl": masked_mean(kl[-1], mask[-1]),
            "inner_kl": before,
            "entropy": masked_mean(decision.dist.entropy()[-1], mask[-1]),
            "clipped": masked_mean((jnp.abs(jnp.expm1(log_ratio[-1])) > self.clip).astype(kl.dtype), mask[-1]),
        }
        return surrogate + coefficient * before, aux

    def update(self, inner: Inner[Any, Any], state: ProMPState, lives: Lifetime, key: Array) -> tuple[ProMPState, Metrics]:
        credit = credits(inner.spaces, lives, self.discount, self.gae_lambda, self.weights, self.normalise)
        optimiser = optax.adam(self.lr)

        def loss(meta: Any, one: tuple[Lifetime, Array]) -> tuple[Array, Metrics]:
            return self.loss(inner, meta, *one, state.coefficient)

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Metrics]:
            meta, opt = carry
            gradient, aux, bad = mean_gradient(loss, meta, (lives, credit), in_turn=True)
            change, opt = optimiser.update(gradient, opt, meta)
            aux |= {"gradient": optax.tree.norm(gradient), "masked": jnp.mean(bad)}
            return (optax.apply_updates(meta, change), opt), aux

        (meta, opt), trail = jax.lax.scan(step, (state.meta, state.optimiser), None, self.steps)
        coefficient = state.coefficient
        if self.adaptive:
            off = trail["inner_kl"][-1] / self.target_kl
            coefficient *= jnp.where(off > 1.5, 2.0, jnp.where(off < 1 / 1.5, 0.5, 1.0))
        end = {name: x[-1] for name, x in trail.items() if name != "masked"}  # as the last step found them
        metrics = end | {
            "surrogate": trail["surrogate"][0],
            "improvement": trail["surrogate"][0] - trail["surrogate"][-1],
            "kl_at_start": trail["kl"][0],
            "coefficient": coefficient,
            "masked": jnp.max(trail["masked"]),
        }
        return ProMPState(inner.absorb(meta, lives), opt, coefficient, state.count + 1), metrics
