"""PEARL's agent: a policy told a guess of what the task is, drawn anew for every episode from what is known of the task.

Not what trains it (`outer/pearl.py`). Each transition of the trial's finished episodes contributes a Gaussian factor to the
posterior over the task's latent, and the order does not matter (Rakelly et al. 2019, arXiv 1903.08254, §4.1 and §4.3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Belief, Box, Decision, Inner, Lifetime, Plan, Spaces, Squashed, Step, Transitions, at_least
from innerloop.core.spaces import encode, width
from innerloop.nets.layers import Dense, Perceptron
from innerloop.nets.moments import Moments

LOG_STD = (-5.0, 2.0)  # of the policy, at least and at most
LEAST_VARIANCE = 1e-7  # of a factor, as published


class Net(NamedTuple):
    """A perceptron and what reads it."""

    body: Perceptron
    out: Dense


class PosteriorMeta(NamedTuple):
    """Parameters of PEARL that act and infer; critics are the outer's."""

    encoder: Net  # transition → mean and softplus⁻¹ of the variance of its factor [2D]
    policy: Net  # obs, latent → mean and log-std [2A]
    obs: Moments | None = None
    reward: Moments | None = None


class Factors(NamedTuple):
    """A product of Gaussian factors in natural parameters, which add up; leaves [..., D]."""

    precision: Array
    weighted: Array  # precision · mean


class Guess(NamedTuple):
    """Leaves [N, ...]."""

    known: Factors  # of the trial's finished episodes
    lately: Factors  # of the episode under way
    latent: Array  # what the policy is told
    before: Array  # the observation last seen, encoded
    episode: Array  # int32: of the trial
    time: Array  # int32: steps taken in
    key: Array  # what draws come from, with the time: a replay draws the same


class PosteriorSampling(Inner[PosteriorMeta, Guess]):
    """Draws the latent where an episode begins and keeps it throughout; forgets all where a trial begins."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    latent: int = eqx.field(static=True, default=5)  # D; the paper: 5
    hidden: tuple[int, ...] = eqx.field(static=True, default=(128, 128))  # of the policy; ReLU; the paper: 300, 300, 300
    encoder: tuple[int, ...] = eqx.field(static=True, default=(64, 64))  # ReLU; the paper: 200, 200, 200
    leads: bool = eqx.field(static=True, default=True)  # factors read where a transition led; needed where dynamics vary
    guesses: int = eqx.field(
        static=True, default=1
    )  # first episodes of a trial whose latent comes from the prior; published: 2
    normalise: bool = eqx.field(static=True, default=False)  # observations and rewards, by their running statistics

    def check(self) -> None:
        action = self.spaces.action
        if not isinstance(action, Box) or not action.bounded:
            raise ValueError(f"PEARL's policy squeezes actions into a box; accepted: a bounded Box of actions, not {action}.")
        at_least("inner.latent", self.latent, 1)
        at_least("inner.guesses", self.guesses, 1)

    def init(self, key: Array) -> PosteriorMeta:
        key_encoder, key_policy = jax.random.split(key)
        seen, acts = width(self.spaces.obs), width(self.spaces.action)
        return PosteriorMeta(
            net(key_encoder, seen * (1 + self.leads) + acts + 1, self.encoder, 2 * self.latent),
            net(key_policy, seen + self.latent, self.hidden, 2 * acts),
            Moments.empty(seen) if self.normalise else None,
            Moments.empty(1) if self.normalise else None,
        )

    def begin(self, meta: PosteriorMeta, key: Array) -> Guess:
        lead = (self.plan.streams,)
        none = jnp.zeros((*lead, self.latent))
        before = jnp.zeros((*lead, width(self.spaces.obs)))
        zero, known = jnp.zeros(lead, jnp.int32), Factors(none, none)
        return Guess(known, known, none, before, zero, zero, jax.random.key_data(jax.random.split(key, *lead)))

    def absorb(self, meta: PosteriorMeta, lives: Lifetime) -> PosteriorMeta:
        if meta.obs is None or meta.reward is None:
            return meta
        rows = lives.chunks
        obs = meta.obs.absorb(encode(self.spaces.obs, rows.step.obs), rows.mask)
        return meta._replace(obs=obs, reward=meta.reward.absorb(rows.reward[..., None], rows.mask))

    def see(self, meta: PosteriorMeta, obs: Any) -> Array:
        """Observations as every net of this inner reads them; [..., O]."""
        x = encode(self.spaces.obs, obs)
        return x if meta.obs is None else meta.obs.standardise(x)

    def infer(self, meta: PosteriorMeta, context: Transitions) -> Belief:
        c = context
        obs, arrived = self.see(meta, c.obs), self.see(meta, c.arrived)
        each = self._factors(meta, obs, encode(self.spaces.action, c.action), c.reward, arrived)
        return posterior(jax.tree.map(lambda x: jnp.sum(x, 0), each))

    def act(self, meta: PosteriorMeta, obs: Any, latent: Array) -> Squashed:
        return self._act(meta, self.see(meta, obs), latent)

    def _factors(self, meta: PosteriorMeta, obs: Array, action: Array, reward: Array, arrived: Array) -> Factors:
        """One Gaussian factor a transition, [..., D]; `obs` and `arrived` as `see` gives them, `action` encoded."""
        if meta.reward is not None:
            reward = reward / meta.reward.std()[0]
        x = jnp.concatenate([obs, action, reward[..., None], *([arrived] if self.leads else [])], -1)
        mean, raw = jnp.split(meta.encoder.out(meta.encoder.body(x, "relu")), 2, axis=-1)
        precision = 1.0 / jnp.maximum(jax.nn.softplus(raw), LEAST_VARIANCE)
        return Factors(precision, precision * mean)

    def observe(self, meta: PosteriorMeta, fast: Guess, step: Step) -> Guess:
        born, first = step.born[:, None], step.first[:, None]
        seen, arrived = self.see(meta, step.obs), self.see(meta, step.arrived)
        new = self._factors(meta, fast.before, encode(self.spaces.action, step.action), step.reward, arrived)
        lately = jax.tree.map(lambda total, x: jnp.where(born, 0.0, total + x), fast.lately, new)
        known = jax.tree.map(lambda total, x: jnp.where(born, 0.0, jnp.where(first, total + x, total)), fast.known, lately)
        lately = jax.tree.map(lambda x: jnp.where(first, 0.0, x), lately)
        episode = jnp.where(step.born, 0, fast.episode + step.first)
        mean, log_var = posterior(known)
        sure = (episode >= self.guesses)[:, None]
        mean, log_var = jnp.where(sure, mean, 0.0), jnp.where(sure, log_var, 0.0)
        keys = jax.vmap(jax.random.fold_in)(jax.random.wrap_key_data(fast.key), fast.time)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.latent,)))(keys)
        drawn = mean + jnp.exp(0.5 * log_var) * noise
        return Guess(
            known,
            lately,
            jnp.where(first | born, drawn, fast.latent),
            seen.astype(fast.before.dtype),
            episode,
            fast.time + 1,
            fast.key,
        )

    def decide(self, meta: PosteriorMeta, fast: Guess, obs: Any) -> Decision:
        x = self.see(meta, obs)
        lead = x.shape[:-1]
        known, latent = jax.tree.map(lambda y: jnp.broadcast_to(y, (*lead, self.latent)), (fast.known, fast.latent))
        return Decision(self._act(meta, x, latent), jnp.zeros(lead), posterior(known))

    def _act(self, meta: PosteriorMeta, seen: Array, latent: Array) -> Squashed:
        y = meta.policy.out(meta.policy.body(jnp.concatenate([seen, latent], -1), "relu"))
        mean, log_std = jnp.split(y, 2, axis=-1)
        box = self.spaces.action
        assert isinstance(box, Box)
        half, middle = 0.5 * (box.high - box.low), 0.5 * (box.high + box.low)
        return Squashed(mean, jnp.clip(log_std, *LOG_STD), jnp.full_like(mean, half), jnp.full_like(mean, middle))


def net(key: Array, inputs: int, hidden: tuple[int, ...], outputs: int, scale: float = 1.0) -> Net:
    """A fresh one; `scale` of its last layer."""
    key_body, key_out = jax.random.split(key)
    return Net(Perceptron.init(key_body, inputs, hidden), Dense.init(key_out, (inputs, *hidden)[-1], outputs, scale=scale))


def posterior(factors: Factors) -> Belief:
    """The normalised product [..., D]; N(0, 1) where there is no factor yet."""
    none = factors.precision <= 0.0
    precision = jnp.where(none, 1.0, factors.precision)
    return Belief(jnp.where(none, 0.0, factors.weighted / precision), -jnp.log(precision))
