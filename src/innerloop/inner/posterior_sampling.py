"""PEARL's agent: a policy given a latent z, drawn anew for every episode from a belief over the task (Rakelly et al. 2019, §4).

Not a learner of that belief: its encoder is trained by an outer, and a memory that acts on every step's news is `recurrent.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import (
    Belief,
    Box,
    Categorical,
    Decision,
    Discrete,
    Inner,
    Normal,
    Plan,
    Spaces,
    Step,
    TanhNormal,
    Transitions,
    accept,
    at_least,
    select,
)
from innerloop.core.spaces import encode, width, zeros
from innerloop.nets import context as contexts
from innerloop.nets.layers import Dense, Perceptron


class PosteriorMeta(NamedTuple):
    """Parameters of encoder and policy; the critics are the outer's."""

    encoder: contexts.Encoder
    body: Perceptron
    head: Dense  # mean and log std, before the tanh; of a few alternatives, logits


class Believing(NamedTuple):
    """What the trial has shown so far, and the latent that this episode is lived with; leaves [N, ...]."""

    context: Any  # the encoder's state, of all transitions of the trial
    z: Array  # [N, Z]
    before: Any  # the observation last taken in
    episode: Array  # int32 [N], in the trial
    drawn: Array  # int32 [N], latents ever drawn: each has its own key
    key: Array  # uint32 [N, 2], what they are drawn from


class PosteriorSampling(Inner[PosteriorMeta, Believing]):
    """z is drawn where an episode begins, from the belief given finished episodes of the trial, N(0, I) while there are none,
    and stays until the next begins. The trial is forgotten where `born`."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    latent: int = eqx.field(static=True, default=5)  # Z; paper: 5. 0: a policy that infers nothing
    hidden: tuple[int, ...] = eqx.field(static=True, default=(300, 300, 300))  # of the policy; paper: 300-300-300
    encoder: str = eqx.field(static=True, default="product")  # one of nets.context.ENCODERS
    embed: tuple[int, ...] = eqx.field(static=True, default=(200, 200, 200))  # of the encoder; paper: 200-200-200
    arrived: bool = eqx.field(static=True, default=True)  # the encoder sees o'; published code: where dynamics vary
    wait: int = eqx.field(static=True, default=1)  # episodes lived with draws from N(0, I); the published evaluation: 2

    def check(self) -> None:
        action = self.spaces.action
        if isinstance(action, Box) and not action.bounded:
            raise ValueError(
                f"posterior sampling's policy acts in a bounded box or by alternatives; this family's actions are {action}."
            )
        accept("inner.encoder", self.encoder, contexts.ENCODERS)
        at_least("inner.latent", self.latent, 0)
        at_least("inner.wait", self.wait, 0)

    def init(self, key: Array) -> PosteriorMeta:
        key_encoder, key_body, key_head = jax.random.split(key, 3)
        obs, space = width(self.spaces.obs), self.spaces.action
        inputs = obs * (1 + self.arrived) + space.width + 1
        outputs = space.width if isinstance(space, Discrete) else 2 * space.width
        return PosteriorMeta(
            contexts.make(self.encoder, key_encoder, inputs, self.embed, self.latent),
            Perceptron.init(key_body, obs + self.latent, self.hidden),
            Dense.init(key_head, (obs + self.latent, *self.hidden)[-1], outputs, scale=0.1),
        )

    def begin(self, meta: PosteriorMeta, key: Array) -> Believing:
        n = self.plan.streams
        keys = jax.random.key_data(jax.random.split(key, n))
        none = jnp.zeros(n, jnp.int32)
        z = jnp.zeros((n, self.latent), meta.head.bias.dtype)
        return Believing(meta.encoder.empty((n,)), z, zeros(self.spaces.obs, (n,)), none, none, keys)

    def _encoded(self, obs: Any, action: Any, reward: Array, arrived: Any) -> Array:
        """A transition as the encoder sees it, [..., D]: the reward is raw, whatever scale the critics learn in."""
        parts = [encode(self.spaces.obs, obs), encode(self.spaces.action, action), reward[..., None]]
        return jnp.concatenate(parts + [encode(self.spaces.obs, arrived)] * self.arrived, -1)

    def observe(self, meta: PosteriorMeta, fast: Believing, step: Step) -> Believing:
        seen = meta.encoder.add(fast.context, self._encoded(fast.before, step.action, step.reward, step.arrived))
        context = select(step.born, meta.encoder.empty(step.born.shape), seen)
        begins = step.first | step.born
        episode = jnp.where(step.born, 0, fast.episode + step.first)
        drawn = fast.drawn + begins
        belief = _unless(meta.encoder.read(context), (episode == 0) | (episode < self.wait))
        keys = jax.vmap(jax.random.fold_in)(jax.random.wrap_key_data(fast.key), drawn)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.latent,), fast.z.dtype))(keys)
        z = jnp.where(begins[:, None], belief.mean + jnp.exp(belief.log_std) * noise, fast.z)
        return Believing(context, z, step.obs, episode, drawn, fast.key)

    def decide(self, meta: PosteriorMeta, fast: Believing, obs: Any) -> Decision:
        x = encode(self.spaces.obs, obs)
        z = jnp.broadcast_to(fast.z, (*x.shape[:-1], self.latent))
        y = meta.head(meta.body(jnp.concatenate([x, z], -1), "relu"))
        known = meta.encoder.read(fast.context)
        mean_z, log_var_z = (jnp.broadcast_to(y, z.shape) for y in (known.mean, 2.0 * known.log_std))
        belief = Belief(mean_z, log_var_z, z)
        return Decision(self._policy(y), jnp.zeros(x.shape[:-1]), belief)

    def _policy(self, y: Array) -> Categorical | TanhNormal:
        """By the head's output y [..., O]."""
        space = self.spaces.action
        if isinstance(space, Discrete):
            return Categorical(y)
        mean, log_std = jnp.split(y, 2, -1)
        low, high = (jnp.full_like(mean, bound) for bound in (space.low, space.high))
        return TanhNormal(mean, jnp.clip(log_std, -20.0, 2.0), low, high)

    def inferred(self, meta: PosteriorMeta, context: Transitions, mask: Array, key: Array) -> tuple[Believing, Normal]:
        n = mask.shape[0]
        rows = self._encoded(context.obs, context.action, context.reward, context.arrived)
        state = meta.encoder.pool(rows, mask)
        belief = _unless(meta.encoder.read(state), ~jnp.any(mask, -1))
        fast = replaced(self, n).begin(meta, key)
        return fast._replace(context=state, z=belief.sample(key)), belief


def replaced(inner: PosteriorSampling, streams: int) -> PosteriorSampling:
    """The same agent in so many streams."""
    return inner.with_plan(inner.plan._replace(streams=streams))  # pyright: ignore[reportReturnType]  # of its own kind


def _unless(belief: Normal, unknown: Array) -> Normal:
    """N(0, I) where `unknown` [N]."""
    return Normal(*(jnp.where(unknown[:, None], 0.0, x) for x in belief))
