"""Policy gradient of the adapted policies' return, by Adam; with `exploration`, E-MAML (Stadie et al. 2018).

Not a trust region: one step per batch of lives. Not for lives whose episodes belong together (RL²'s trials): returns end
with the episode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, TaskDistribution, accept, replay
from innerloop.equations.linear_baseline import NORMALISE, WEIGHTS
from innerloop.equations.returns import masked_mean
from innerloop.outer.gradients import mean_gradient
from innerloop.outer.last_chunk import credits, luck


class PolicyGradientState(NamedTuple):
    """All that the policy gradient carries."""

    meta: Any
    optimiser: Any
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class PolicyGradient(Outer[Any, PolicyGradientState]):
    """One Adam step on  − mean ratio Â (last chunk)  − exploration · (reward − others') Σ log π (all chunks before it)."""

    lr: float = eqx.field(static=True, default=1e-3)  # Adam
    discount: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=1.0)
    normalise: str = eqx.field(static=True, default="std")  # of advantages, per task: std, variance or none
    weights: str = eqx.field(static=True, default="advantage")  # or "return": the bare reward-to-go
    exploration: float = eqx.field(static=True, default=0.0)  # weight of the pre-update sampling term; E-MAML: 1
    max_norm: float = eqx.field(static=True, default=0.0)  # global-norm clip; 0: none

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.normalise", self.normalise, NORMALISE)
        accept("outer.weights", self.weights, WEIGHTS)
        if self.exploration and inner.plan.chunks < 2:
            raise ValueError(
                f"outer.exploration is {self.exploration}, but a life of {inner.plan.chunks} chunk has no experience before "
                "adaptation to be credited; set it to 0, or inner.plan.chunks to at least 2."
            )

    def _optimiser(self) -> optax.GradientTransformation:
        adam = optax.adam(self.lr)
        return optax.chain(optax.clip_by_global_norm(self.max_norm), adam) if self.max_norm else adam

    def init(
        self, inner: Inner[Any, Any], meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array
    ) -> PolicyGradientState:
        return PolicyGradientState(meta, self._optimiser().init(meta), jnp.zeros((), jnp.int32))

    def meta(self, state: PolicyGradientState) -> Any:
        return state.meta

    def gradient(self, inner: Inner[Any, Any], meta: Any, lives: Lifetime) -> tuple[Any, Metrics, Array]:
        """Of the loss at `meta`: mean over sound tasks, metrics, and which tasks were not sound, bool [B]."""
        options = (self.discount, self.gae_lambda, self.weights)
        credit = credits(inner.spaces, lives, *options, self.normalise)
        paid = luck(lives) / self._scale(credits(inner.spaces, lives, *options, "none"), lives.chunks.mask[:, -1])

        def loss(meta: Any, one: tuple[Lifetime, Array, Array]) -> tuple[Array, Metrics]:
            life, credit, paid = one
            decision, _, _ = replay(inner, meta, life)
            rows = life.chunks
            log_prob = jnp.where(rows.mask, decision.dist.log_prob(rows.action), 0.0)
            ratio = jnp.exp(log_prob - jnp.where(rows.mask, rows.log_prob, 0.0))
            after = -masked_mean(ratio[-1] * credit, rows.mask[-1])
            before = -paid * jnp.sum(log_prob[:-1])
            kl = masked_mean(rows.dist.kl(decision.dist)[-1], rows.mask[-1])
            entropy = masked_mean(decision.dist.entropy()[-1], rows.mask[-1])
            value = after + self.exploration * before if self.exploration else after
            return value, {"surrogate": after, "kl_at_start": kl, "entropy": entropy}

        return mean_gradient(loss, meta, (lives, credit, paid), in_turn=True)

    def _scale(self, advantage: Array, mask: Array) -> Array:
        """What the advantages [B, T, N] were divided by, [B]: rewards before adaptation are credited in the same units."""
        if self.normalise == "none" or self.weights == "return":
            return jnp.ones(mask.shape[0])
        mean = jax.vmap(masked_mean)(advantage, mask)
        variance = jax.vmap(masked_mean)((advantage - mean[:, None, None]) ** 2, mask) + 1e-8
        return jnp.sqrt(variance) if self.normalise == "std" else variance

    def update(
        self, inner: Inner[Any, Any], state: PolicyGradientState, lives: Lifetime, key: Array
    ) -> tuple[PolicyGradientState, Metrics]:
        gradient, metrics, bad = self.gradient(inner, state.meta, lives)
        change, optimiser = self._optimiser().update(gradient, state.optimiser, state.meta)
        meta = inner.absorb(optax.apply_updates(state.meta, change), lives)
        metrics |= {"gradient": optax.tree.norm(gradient), "masked": jnp.mean(bad)}
        return PolicyGradientState(meta, optimiser, state.count + 1), metrics
