"""TRPO on the adapted policies (Finn et al. 2017, algorithm 3; Schulman et al. 2015).

Not an inner loop: it sees one only through `replay`. Each task's replay is linearised once; every curvature product reuses
it and is a Gauss-Newton one, which equals the KL's Hessian at the sampling parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from innerloop.core import Chunk, Dist, Inner, Lifetime, Metrics, Outer, TaskDistribution, accept, replay
from innerloop.core.spaces import vectors
from innerloop.equations.linear_baseline import NORMALISE, advantages
from innerloop.equations.returns import masked_mean
from innerloop.equations.trust_region import backtrack, conjugate_gradient


class TRPOState(NamedTuple):
    """All that TRPO carries."""

    meta: Any
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class TRPO(Outer[Any, TRPOState]):
    """Trust-region policy optimisation of the policy of each life's last chunk, which all earlier chunks adapted."""

    max_kl: float = eqx.field(static=True, default=0.01)  # mean over tasks, nats; paper: 0.01
    cg_steps: int = eqx.field(static=True, default=10)
    damping: float = eqx.field(static=True, default=1e-5)
    fisher: float = eqx.field(static=True, default=1.0)  # share of the tasks that curvature is measured in; paper: all
    backtrack: float = eqx.field(static=True, default=0.8)
    tries: int = eqx.field(static=True, default=15)
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=1.0)
    normalise: str = eqx.field(static=True, default="std")  # of advantages, per task: std, variance or none

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.normalise", self.normalise, NORMALISE)
        if not 0 < self.fisher <= 1:
            raise ValueError(f"outer.fisher is {self.fisher}; accepted: a share of the tasks, above 0 and up to 1.")

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> TRPOState:
        return TRPOState(meta, jnp.zeros((), jnp.int32))

    def meta(self, state: TRPOState) -> Any:
        return state.meta

    def _advantage(self, inner: Inner[Any, Any], rows: Chunk) -> Array:
        obs = vectors(inner.spaces.obs, rows.step.obs)
        ends = rows.terminated | rows.truncated
        return advantages(obs, rows.reward, rows.step.first, ends, rows.mask, self.discount, self.gae_lambda, self.normalise)

    def update(self, inner: Inner[Any, Any], state: TRPOState, lives: Lifetime, key: Array) -> tuple[TRPOState, Metrics]:
        start, unravel = ravel_pytree(state.meta)

        def policy(point: Array, life: Lifetime) -> Dist:
            decision, _, _ = replay(inner, unravel(point), life, every=False)
            return jax.tree.map(lambda x: x[-1], decision.dist)

        def surrogate(dist: Dist, rows: Chunk, advantage: Array) -> Array:
            return -masked_mean(jnp.exp(dist.log_prob(rows.action) - rows.log_prob) * advantage, rows.mask)

        def divergence(dist: Dist, rows: Chunk) -> Array:
            return masked_mean(rows.dist.kl(dist), rows.mask)

        def linearised(life: Lifetime) -> Any:
            rows = jax.tree.map(lambda x: x[-1], life.chunks)
            advantage = self._advantage(inner, rows)
            dist, push = jax.linearize(lambda x: policy(x, life), start)
            loss, cotangent = jax.value_and_grad(surrogate)(dist, rows, advantage)
            (gradient,) = jax.linear_transpose(push, start)(cotangent)
            good = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
            entropy = masked_mean(dist.entropy(), rows.mask)
            return (rows, advantage, dist, push), (loss, gradient, good, divergence(dist, rows), entropy)

        per_task, (loss, gradient, good, kl, entropy) = jax.lax.map(linearised, lives)
        count = jnp.maximum(jnp.sum(good), 1)

        def mean(x: Array) -> Array:
            return jnp.sum(jnp.where(good.reshape(-1, *(1,) * (x.ndim - 1)), x, 0.0), 0) / count

        used = max(1, round(self.fisher * good.shape[0]))
        measured = jax.tree.map(lambda x: x[:used], (per_task, good))

        def curvature(v: Array) -> Array:
            def add(total: Array, one: Any) -> tuple[Array, None]:
                (rows, _, dist, push), ok = one
                pushed = push(v)
                bent = jax.jvp(jax.grad(lambda d: divergence(d, rows)), (dist,), (pushed,))[1]
                (pulled,) = jax.linear_transpose(push, start)(bent)
                return total + jnp.where(ok, pulled, 0.0), None

            total, _ = jax.lax.scan(add, jnp.zeros_like(v), measured)
            return total / jnp.maximum(jnp.sum(good[:used]), 1) + self.damping * v

        def score(point: Array) -> tuple[Array, Array]:
            def one(xs: Any) -> tuple[Array, Array]:
                life, advantage = xs
                rows = jax.tree.map(lambda x: x[-1], life.chunks)
                dist = policy(point, life)
                return surrogate(dist, rows, advantage), divergence(dist, rows)

            losses, kls = jax.lax.map(one, (lives, per_task[1]))
            return mean(losses), mean(kls)

        g, before = mean(gradient), mean(loss)
        direction, quadratic = conjugate_gradient(curvature, g, self.cg_steps)
        step = jnp.sqrt(2.0 * self.max_kl / (quadratic + 1e-8)) * direction
        found = backtrack(score, start, step, before, self.max_kl, self.backtrack, self.tries)
        metrics = {
            "surrogate": before,
            "improvement": jnp.where(found.accepted, before - found.loss, 0.0),
            "kl": jnp.where(found.accepted, found.kl, 0.0),
            "kl_at_start": mean(kl),
            "accepted": found.accepted.astype(jnp.float32),
            "tries": found.tries.astype(jnp.float32),
            "gradient": jnp.linalg.norm(g),
            "entropy": mean(entropy),
            "masked": jnp.mean(~good),
        }
        return TRPOState(inner.absorb(unravel(found.point), lives), state.count + 1), metrics
