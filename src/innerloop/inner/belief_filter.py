"""VariBAD's agent: a memory that holds a belief about the task, and a policy that reads the belief and what it sees.

Not what trains the belief (`outer/varibad.py`): here stand the filter, the policy and the decoder, and what reads what
(Zintgraf et al. 2020, arXiv 1910.08348, §3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Belief, Decision, Evidence, Inner, Lifetime, Plan, Spaces, Step, accept, at_least
from innerloop.core.spaces import encode, images, width
from innerloop.equations.evidence import kl_chain, sign_error, squared_error
from innerloop.equations.returns import masked_mean
from innerloop.nets import memory as memories, vision
from innerloop.nets.decoder import Decoder
from innerloop.nets.hyper import HyperHead
from innerloop.nets.layers import Dense, Head, Perceptron
from innerloop.nets.moments import Moments

LIKELIHOODS = ("normal", "sign")
EXPLAINS = ("arrival", "transition")
HEADS = ("dense", "hyper")
_DRAWS = 32  # of the latent, in an expectation


class Filter(NamedTuple):
    """q(m | τ): memory, and from its output the mean and the log-variance."""

    embed: Dense
    cell: memories.Cell
    belief: Dense  # H → 2D


class BeliefMeta(NamedTuple):
    """Parameters of VariBAD."""

    filter: Filter
    decoder: Decoder
    body: Perceptron | None  # of the policy and the critic; a HyperHead has its own
    policy: Head | HyperHead
    value: Dense | None
    obs: Moments | None = None  # statistics of observations and rewards, where the inner normalises
    reward: Moments | None = None
    eyes: tuple[vision.Eye, ...] | None = None  # for images


class Believed(NamedTuple):
    """What the filter holds, and what it makes of it, leaves [N, ...]."""

    state: Any
    belief: Belief


class BeliefFilter(Inner[BeliefMeta, Believed]):
    """On entering a task, and where a trial begins, the belief is a learned prior that has seen nothing; every transition
    (action, reward, and the observation it led to before any reset) moves it, across the episodes of a trial."""

    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    memory: str = eqx.field(static=True, default="gru")  # one of nets.memory.MEMORIES
    width: int = eqx.field(static=True, default=64)  # H; the paper: 64 on GridNavi, 128 on robots
    layers: int = eqx.field(static=True, default=1)
    heads: int = eqx.field(static=True, default=4)
    embed: int = eqx.field(static=True, default=32)  # units of the GELU layer before the memory
    latent: int = eqx.field(static=True, default=5)  # D
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,))  # of the policy; tanh
    decoder: tuple[int, ...] = eqx.field(static=True, default=(64,))  # hidden layers of either half; relu
    features: int = eqx.field(static=True, default=32)  # in which its halves meet
    likelihood: str = eqx.field(static=True, default="normal")  # of rewards; "sign": of whether they are positive
    explains: str = eqx.field(static=True, default="arrival")  # rewards by (m, s'); "transition": by (m, s, a, s')
    states: bool = eqx.field(static=True, default=False)  # decode the state that (m, s, a) leads to as well
    through_encoder: bool = eqx.field(static=True, default=False)  # the policy's gradient reaches the filter: RL² then
    normalise: bool = eqx.field(static=True, default=False)  # observations and rewards, by their running statistics
    std: float = eqx.field(static=True, default=0.5)  # initial, in units of the action space; Box actions only
    head: str = eqx.field(static=True, default="dense")  # "hyper": the belief makes the weights of a net that reads o_t
    units: int = eqx.field(static=True, default=32)  # of that net
    vision: str = eqx.field(static=True, default="auto")  # "conv": images by convolutions, as auto has it; "flat": as vectors

    def check(self) -> None:
        memories.check(self.memory, self.width, self.layers, self.heads)
        accept("inner.likelihood", self.likelihood, LIKELIHOODS)
        accept("inner.explains", self.explains, EXPLAINS)
        accept("inner.head", self.head, HEADS)
        vision.check(self.vision, self.spaces.obs)
        if self.states and self.vision != "flat" and images(self.spaces.obs):
            raise ValueError(
                "inner.states foretells observations, and the features of images change while they are foretold: all alike, "
                "they would be foretold best. Set inner.states to false, or inner.vision to 'flat'."
            )
        for name in ("latent", "embed"):
            at_least(f"inner.{name}", getattr(self, name), 1)

    @property
    def sighted(self) -> bool:
        return True

    def init(self, key: Array) -> BeliefMeta:
        key_embed, key_cell, key_belief, key_body, key_policy, key_value, key_decoder = jax.random.split(key, 7)
        seen, acted = vision.seen_width(self.vision, self.spaces.obs), width(self.spaces.action)
        known = 2 * self.latent
        size = (seen + known, *self.hidden)[-1]
        dense = self.head == "dense"
        return BeliefMeta(
            Filter(
                Dense.init(key_embed, seen + acted + 3, self.embed),
                memories.make(self.memory, key_cell, self.embed, self.width, self.layers, self.heads),
                Dense.init(key_belief, self.width, 2 * self.latent, scale=0.1),
            ),
            Decoder.init(
                key_decoder, self.latent, seen, acted, self.decoder, self.features, self.explains == "transition", self.states
            ),
            Perceptron.init(key_body, seen + known, self.hidden) if dense else None,
            Head.init(key_policy, size, self.spaces.action, scale=0.1, std=self.std)
            if dense
            else HyperHead.init(key_policy, known, seen, self.units, self.spaces.action, std=self.std),
            Dense.init(key_value, size, 1, scale=0.1) if dense else None,
            Moments.empty(vision.flat_width(self.vision, self.spaces.obs)) if self.normalise else None,
            Moments.empty(1) if self.normalise else None,
            vision.make(self.vision, jax.random.fold_in(key_embed, 1), self.spaces.obs),
        )

    def begin(self, meta: BeliefMeta, key: Array) -> Believed:
        lead = (self.plan.streams,)
        nothing = jnp.zeros((*lead, self.latent))
        state = meta.filter.cell.empty(lead, self.plan.chunks * self.plan.steps)
        return Believed(state, Belief(nothing, nothing))

    def absorb(self, meta: BeliefMeta, lives: Lifetime) -> BeliefMeta:
        if meta.obs is None or meta.reward is None:
            return meta
        rows = lives.chunks
        obs = meta.obs.absorb(vision.flat(meta.eyes, self.spaces.obs, rows.step.obs), rows.mask)
        return meta._replace(obs=obs, reward=meta.reward.absorb(rows.step.reward[..., None], rows.mask & ~rows.step.born))

    def see(self, meta: BeliefMeta, obs: Any) -> Array:
        """Observations as every net of this inner reads them; [..., O]."""
        return vision.look(meta.eyes, meta.obs, self.spaces.obs, obs)

    def scaled(self, meta: BeliefMeta, reward: Array) -> Array:
        """Rewards as the filter reads and the decoder foretells them."""
        return reward if meta.reward is None else reward / meta.reward.std()[0]

    def _inputs(self, meta: BeliefMeta, step: Step) -> Array:
        """All zero but for one flag where a trial begins: the prior has seen nothing, not even the first observation."""
        arrived, action = self.see(meta, step.arrived), encode(self.spaces.action, step.action)
        flags = jnp.stack([self.scaled(meta, step.reward), step.terminated], -1)
        lived = jnp.where(step.born[..., None], 0.0, jnp.concatenate([arrived, action, flags], -1))
        x = jnp.concatenate([lived, step.born[..., None].astype(lived.dtype)], -1)
        return jax.nn.gelu(meta.filter.embed(x))

    def _belief(self, meta: BeliefMeta, read: Array) -> Belief:
        mean, log_var = jnp.split(meta.filter.belief(memories.wide(read)), 2, axis=-1)
        return Belief(mean, log_var)

    def observe(self, meta: BeliefMeta, fast: Believed, step: Step) -> Believed:
        state, read = meta.filter.cell.step(fast.state, self._inputs(meta, step), step.born)
        return Believed(state, self._belief(meta, read))

    def decide(self, meta: BeliefMeta, fast: Believed, obs: Any) -> Decision:
        x = self.see(meta, obs)
        belief = jax.tree.map(lambda b: jnp.broadcast_to(b, (*x.shape[:-1], self.latent)), fast.belief)
        known = jnp.concatenate([belief.mean, belief.log_var], -1)
        if not self.through_encoder:
            known = jax.lax.stop_gradient(known)
        if isinstance(meta.policy, HyperHead):
            return Decision(*meta.policy(known, x), belief)
        assert meta.body is not None and meta.value is not None
        y = meta.body(jnp.concatenate([x, known], -1), "tanh")
        return Decision(meta.policy(y), meta.value(y)[..., 0], belief)

    def unroll(self, meta: BeliefMeta, fast: Believed, steps: Step) -> tuple[Believed, Decision]:
        """The filter along all steps, then all read-outs at once."""
        state, beliefs = self.beliefs(meta, fast, steps)
        last = jax.tree.map(lambda b: b[-1], beliefs)
        return Believed(state, last), self.decide(meta, Believed(state, beliefs), steps.obs)

    def beliefs(self, meta: BeliefMeta, fast: Believed, steps: Step) -> tuple[Any, Belief]:
        """State after `steps` [T, N, ...], and the belief at each, leaves [T, N, D]."""
        state, read = meta.filter.cell.unroll(fast.state, self._inputs(meta, steps), steps.born)
        return state, self._belief(meta, read)

    def evidence(self, meta: BeliefMeta, life: Lifetime, key: Array, *, terms: int = 0, decodes: int = 0) -> Evidence:
        """Of every belief of a life, also the one after its last transition, and of all transitions of the belief's trial, past
        and future. `terms`, `decodes`: so many beliefs and transitions only, drawn at random and weighing as much as all."""
        key_begin, key_terms, key_decodes, key_noise = jax.random.split(key, 4)
        row = lambda x: jnp.reshape(x, (-1, *x.shape[2:]))  # noqa: E731  # [K, T, ...] → [L, ...]
        steps = jax.tree.map(lambda x, last: jnp.concatenate([row(x), last[None]]), life.chunks.step, life.last)
        _, beliefs = self.beliefs(meta, self.begin(meta, key_begin), steps)  # [L + 1, N, D]
        mask, reward = row(life.chunks.mask), self.scaled(meta, row(life.chunks.reward))
        held = jnp.concatenate([mask, mask[-1:]])
        trial = jnp.cumsum(steps.born, 0)
        divergence = jax.vmap(kl_chain, 1, 1)(beliefs.mean, beliefs.log_var, steps.born)

        rows = (self.see(meta, steps.arrived)[1:], self.see(meta, steps.obs)[:-1])
        rows = (*rows, encode(self.spaces.action, row(life.chunks.action)), reward)
        latent = beliefs.mean + jnp.exp(0.5 * beliefs.log_var) * jax.random.normal(key_noise, beliefs.mean.shape)
        one_by_one = jax.vmap(lambda latent, *row: self._missed(meta, latent[None], *(x[None] for x in row)))
        surprise = sum(x[:, 0, 0] for x in one_by_one(latent[:-1], *rows))
        at, of = _some(key_terms, held.shape[0], terms), _some(key_decodes, mask.shape[0], decodes)
        counts = mask[of][None] & (trial[of][None] == trial[at][:, None])  # [E, I, N]
        share = mask.shape[0] / of.shape[0]
        missed = self._missed(meta, latent[at], *(x[of] for x in rows))
        paid, led = (-masked_mean(share * jnp.sum(jnp.where(counts, x, 0.0), 1), held[at]) for x in missed)
        return Evidence(paid, led, masked_mean(divergence, held), jnp.asarray(surprise))

    def _missed(
        self, meta: BeliefMeta, latent: Array, arrived: Array, obs: Array, action: Array, reward: Array
    ) -> tuple[Array, Array]:
        """Minus the log-likelihoods of rewards, and of states (or 0), of transitions [I, N, *] by latents [E, N, D]."""
        before = (obs, action) if self.explains == "transition" else ()
        error = sign_error if self.likelihood == "sign" else squared_error
        out = meta.decoder.paid(latent, arrived, before)
        paid = error(out, jnp.broadcast_to(reward[None], out.shape))
        if not self.states:
            return paid, jnp.zeros_like(paid)
        led = meta.decoder.led(latent, obs, action)
        return paid, jnp.sum((jnp.broadcast_to(arrived[None], led.shape) - led) ** 2, -1)

    def foresee(self, meta: BeliefMeta, belief: Belief, arrived: Any) -> Array | None:
        """Mean over draws of the latent: expected rewards, or the probability that one is positive."""
        if self.explains != "arrival":
            return None
        noise = jax.random.normal(jax.random.key(0), (_DRAWS, self.latent))
        mean, std = (jnp.broadcast_to(x, noise.shape) for x in (belief.mean, jnp.exp(0.5 * belief.log_var)))
        out = meta.decoder.paid(mean + std * noise, self.see(meta, arrived))
        if self.likelihood == "sign":
            return jnp.mean(jax.nn.sigmoid(out), 0)
        return jnp.mean(out, 0) if meta.reward is None else jnp.mean(out, 0) * meta.reward.std()[0]


def _some(key: Array, count: int, some: int) -> Array:
    """Indices: all, or `some` of them at random."""
    if not 0 < some < count:
        return jnp.arange(count)
    return jax.random.choice(key, count, (some,), replace=False)
