"""The performance model (MetaModel): a population of inner models, and a meta-model that predicts what each would earn here.

Not what trains either (`outer/performance.py`). Any inner can be a member. An encoder reads the trial so far; heads say for
every member the return of an episode after each number of chunks lived in the task, and how sure they are of it. After a probe
the member of the best prediction acts, and what it earns corrects the prediction. Algorithm selection (Rice 1976) with a
learned, sequential description of the instance; FAMLE (Kaushik et al. 2020, arXiv 2003.04663) chooses among
initialisations likewise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import (
    Categorical,
    Choice,
    Chunk,
    Decision,
    Inner,
    Lifetime,
    Plan,
    Prediction,
    Spaces,
    Step,
    accept,
    at_least,
    select,
)
from innerloop.core.spaces import encode, width, zeros
from innerloop.inner.recurrent import Recurrent
from innerloop.nets import memory as memories
from innerloop.nets.layers import Dense, Perceptron
from innerloop.nets.moments import Moments

USES = ("select", "mix", "thompson", "ucb", "single", "random", "mean")
READS = ("experience", "states")
EXPLORES = ("learned", "single")
SWITCHES = ("once", "episode", "step", "chunk")
UNDOUBTED = 1e9  # a disagreement that no context exceeds: before training has found one


class Predictor(NamedTuple):
    """What regression moves."""

    embed: Dense
    cell: memories.Cell
    heads: tuple[Perceptron, Dense]  # leaves [E, ...]
    noise: Dense  # H → P·K: log of the deviation of a return from the prediction, in units of `spread`


class Statistics(NamedTuple):
    """What training found returns to be like; no gradient reaches them."""

    usual: Array  # [P, K]: each member's mean return of an episode, over training tasks
    variety: Array  # [P]: variance of its return over tasks
    spread: Array  # scalar: standard deviation of all returns; predictions are in units of it
    doubt: Array  # scalar: disagreement of the heads that one context in a hundred exceeds
    luck: Array  # [P]: variance of a return that is left at a trial's end


class PerformanceMeta(NamedTuple):
    """Parameters of members, probe and predictor."""

    members: Any  # leaves [M, ...]: P of the population, and one for all tasks where there is a generalist
    probe: Any
    predictor: Predictor
    prior: tuple[Perceptron, Dense]  # leaves [E, ...]: random functions that are added to the heads and stay as they are
    statistics: Statistics
    forced: Array  # float scalar: this member acts from first to last; -1: the inner chooses
    obs: Moments | None = None  # statistics of what the encoder reads, where the inner normalises
    reward: Moments | None = None


class Performing(NamedTuple):
    """What members, probe and encoder hold, who acts, and what was earned by whom; leaves [N, ...] unless said otherwise."""

    members: Any  # leaves [M, ...]
    probe: Any
    state: Any  # the encoder's
    read: Array  # [N, H]
    member: Array  # int32: chosen last
    steps: Array  # int32: steps of the trial behind
    chunks: Array  # int32 scalar: chunks lived in the task
    pending: Array  # bool: a chunk has ended since
    running: Array  # return of the episode under way
    whole: Array  # bool: the same member has acted since it began
    seen: Array  # [N, P]: whole episodes of each member
    earned: Array  # [N, P]: their returns, summed
    key: Array  # uint32 [2]


class PerformanceModel(Inner[PerformanceMeta, Performing]):
    """Where a trial begins the probe acts for `probe` steps; then a member, chosen anew as `switch` says. "chunk" is for
    members that learn: the choice is one for all streams, made anew after every chunk. Only who is chosen learns."""

    base: Inner[Any, Any]  # what the members are
    prober: Recurrent  # who acts in the probe, where it is learned
    plan: Plan = eqx.field(static=True)
    spaces: Spaces = eqx.field(static=True)
    horizon: int = eqx.field(static=True)  # steps of an episode, at most
    members: int = eqx.field(static=True, default=8)  # P
    generalist: bool = eqx.field(static=True, default=True)  # train one for all tasks beside them, on as many steps: a baseline
    probe: int = eqx.field(static=True, default=0)  # steps before the first choice
    explores: str = eqx.field(static=True, default="learned")  # who acts in them; "single": the member that is best on average
    reads: str = eqx.field(static=True, default="experience")  # "states": observations alone (the founding article's form)
    use: str = eqx.field(static=True, default="select")
    switch: str = eqx.field(static=True, default="step")  # when to choose again after the first choice
    cautious: bool = eqx.field(static=True, default=True)  # where the heads disagree as never in training: best on average
    blind: bool = eqx.field(static=True, default=False)  # predict the usual: a bandit over members (with use=ucb or thompson)
    bonus: float = eqx.field(static=True, default=1.0)  # of use=ucb, in standard deviations
    temperature: float = eqx.field(static=True, default=0.1)  # of use=mix, in units of the spread of returns
    memory: str = eqx.field(static=True, default="gru")  # of the encoder; one of nets.memory.MEMORIES
    width: int = eqx.field(static=True, default=64)  # H
    layers: int = eqx.field(static=True, default=1)
    heads: int = eqx.field(static=True, default=4)  # of the memory "gdn" and "transformer"
    embed: int = eqx.field(static=True, default=32)  # units of the GELU layer before it
    ensemble: int = eqx.field(static=True, default=5)  # E, heads that predict
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,))  # of each
    prior: float = eqx.field(static=True, default=1.0)  # weight of the random functions (Osband et al. 2018)
    normalise: bool = eqx.field(static=True, default=False)  # what the encoder reads, by running statistics

    @property
    def population(self) -> int:  # type: ignore[override]
        return self.members

    @property
    def count(self) -> int:
        """M: the members, and the generalist where there is one."""
        return self.members + self.generalist

    def check(self) -> None:
        memories.check(self.memory, self.width, self.layers, self.heads)
        for name, accepted in (("use", USES), ("reads", READS), ("explores", EXPLORES), ("switch", SWITCHES)):
            accept(f"inner.{name}", getattr(self, name), accepted)
        for name, least in (("members", 1), ("ensemble", 1), ("embed", 1), ("probe", 0), ("bonus", 0), ("prior", 0)):
            at_least(f"inner.{name}", getattr(self, name), least)
        if not self.temperature > 0:
            raise ValueError(f"inner.temperature is {self.temperature}; it must be above 0.")
        self.base.check()
        self.prober.check()
        kinds = [jax.tree.structure(jax.eval_shape(lambda one=one: self._dist(one))) for one in (self.base, self.prober)]
        if self.probe and kinds[0] != kinds[1]:
            raise ValueError(f"members act by {kinds[0]} and the probe by {kinds[1]}; set inner.probe to 0 for such members.")

    def _dist(self, one: Inner[Any, Any]) -> Any:
        key = jax.random.key(0)
        meta = one.init(key)
        return one.decide(meta, one.begin(meta, key), zeros(self.spaces.obs, (one.plan.streams,))).dist

    def with_plan(self, plan: Plan) -> PerformanceModel:
        return replace(self, plan=plan, base=self.base.with_plan(plan), prober=self.prober.with_plan(plan))

    def rivals(self) -> dict[str, Inner[Any, Any]]:
        same = {"cautious": False, "probe": 0}
        return {
            "random": replace(self, use="random", switch="episode", **same),
            "mean": replace(self, use="mean", **same),
            "single-best": replace(self, use="single", **same),
            "ucb": replace(self, use="ucb", blind=True, switch="episode", **same),
        }

    def alone(self, meta: PerformanceMeta, member: int) -> tuple[Inner[Any, Any], Any]:
        """`member` = P: the generalist."""
        return self.base, jax.tree.map(lambda x: x[member], meta.members)

    def init(self, key: Array) -> PerformanceMeta:
        key_members, key_probe, key_predictor, key_prior = jax.random.split(key, 4)
        p, k = self.members, self.plan.chunks
        seen = width(self.spaces.obs)
        statistics = Statistics(jnp.zeros((p, k)), jnp.ones(p), jnp.ones(()), jnp.full((), UNDOUBTED), jnp.ones(p))
        return PerformanceMeta(
            jax.vmap(self.base.init)(jax.random.split(key_members, self.count)),
            self.prober.init(key_probe),
            self.predictor(key_predictor),
            self._heads(key_prior),
            statistics,
            jnp.full((), -1.0),
            Moments.empty(seen) if self.normalise else None,
            Moments.empty(1) if self.normalise else None,
        )

    def predictor(self, key: Array) -> Predictor:
        """A fresh one."""
        key_embed, key_cell, key_heads, key_noise = jax.random.split(key, 4)
        inputs = width(self.spaces.obs)
        if self.reads == "experience":
            inputs = 2 * inputs + width(self.spaces.action) + 3
        return Predictor(
            Dense.init(key_embed, inputs, self.embed),
            memories.make(self.memory, key_cell, self.embed, self.width, self.layers, self.heads),
            self._heads(key_heads),
            Dense.init(key_noise, self.width, self.members * self.plan.chunks, scale=0.1),
        )

    def _heads(self, key: Array) -> tuple[Perceptron, Dense]:
        size, outputs = (self.width, *self.hidden)[-1], self.members * self.plan.chunks

        def one(key: Array) -> tuple[Perceptron, Dense]:
            key_body, key_out = jax.random.split(key)
            return Perceptron.init(key_body, self.width, self.hidden), Dense.init(key_out, size, outputs)

        return jax.vmap(one)(jax.random.split(key, self.ensemble))

    def begin(self, meta: PerformanceMeta, key: Array) -> Performing:
        n, p = self.plan.streams, self.members
        members = jax.vmap(lambda one: self.base.begin(one, key))(meta.members)
        no, none = jnp.zeros(n, bool), jnp.zeros(n, jnp.int32)
        state = meta.predictor.cell.empty((n,), self.plan.chunks * self.plan.steps)
        owned = jax.random.key_data(jax.random.fold_in(key, 1))
        zero, table = jnp.zeros(n), jnp.zeros((n, p))
        read = jnp.zeros((n, self.width))
        probe = self.prober.begin(meta.probe, key)
        chunks = jnp.zeros((), jnp.int32)
        return Performing(members, probe, state, read, none, none, chunks, no, zero, no, table, table, owned)

    def _inputs(self, meta: PerformanceMeta, step: Step) -> Array:
        def see(obs: Any) -> Array:
            x = encode(self.spaces.obs, obs)
            return x if meta.obs is None else meta.obs.standardise(x)

        x = see(step.obs)
        if self.reads == "experience":
            reward = step.reward if meta.reward is None else step.reward / meta.reward.std()[0]
            action = encode(self.spaces.action, step.action)
            lived = jnp.concatenate([see(step.arrived), action, jnp.stack([reward, step.terminated], -1)], -1)
            lived = jnp.where(step.born[..., None], 0.0, lived)
            x = jnp.concatenate([x, lived, step.first[..., None].astype(x.dtype)], -1)
        return jax.nn.gelu(meta.predictor.embed(x))

    def reads_of(self, meta: PerformanceMeta, steps: Step) -> Array:
        """The encoder's output along `steps` [T, N, ...] of a trial from its beginning; [T, N, H]."""
        state = meta.predictor.cell.empty(steps.born.shape[1:], steps.born.shape[0])
        return memories.wide(meta.predictor.cell.unroll(state, self._inputs(meta, steps), steps.born)[1])

    def outputs(self, meta: PerformanceMeta, read: Array) -> tuple[Array, Array]:
        """Of encoder outputs [..., H]: what each head says [E, ..., P, K] and log of the noise [..., P, K], standardised."""

        def one(heads: tuple[Perceptron, Dense], prior: tuple[Perceptron, Dense]) -> Array:
            said = heads[1](heads[0](read, "relu"))
            return said + jax.lax.stop_gradient(self.prior * prior[1](prior[0](read, "relu")))

        lead = (*read.shape[:-1], *meta.statistics.usual.shape)  # of as many chunks as training had
        heads = jax.vmap(one)(meta.predictor.heads, meta.prior)
        noise = jnp.clip(meta.predictor.noise(read), -4.0, 2.0)
        return heads.reshape(self.ensemble, *lead), noise.reshape(lead)

    def predict(self, meta: PerformanceMeta, read: Array) -> Prediction:
        """Of encoder outputs [..., N, H]."""
        heads, noise = self.outputs(meta, read)
        s = meta.statistics
        said = jnp.mean(heads, 0)
        mean = jnp.broadcast_to(s.usual, said.shape) + s.spread * said
        return Prediction(mean, s.spread * jnp.std(heads, 0), s.spread * jnp.exp(noise))

    def observe(self, meta: PerformanceMeta, fast: Performing, step: Step) -> Performing:
        born, n = step.born, step.born.shape[0]
        members = jax.vmap(self.base.observe, (0, 0, None))(meta.members, fast.members, step)
        probe = self.prober.observe(meta.probe, fast.probe, step)
        state, read = meta.predictor.cell.step(fast.state, self._inputs(meta, step), born)
        read = memories.wide(read)
        steps = jnp.where(born, 0, fast.steps + 1)
        running = fast.running + step.reward
        full = (fast.whole & step.first & ~born)[:, None] & (jnp.arange(self.members)[None] == fast.member[:, None])
        seen = jnp.where(born[:, None], 0.0, fast.seen + full)
        earned = jnp.where(born[:, None], 0.0, fast.earned + jnp.where(full, running[:, None], 0.0))
        fast = fast._replace(members=members, probe=probe, state=state, read=read, steps=steps, seen=seen, earned=earned)

        key = jax.random.wrap_key_data(fast.key)
        key_next, key_choice = jax.random.split(key)
        chosen = self._choose(meta, fast, key_choice)
        never, always = jnp.zeros_like(born), jnp.ones_like(born)
        again = {"once": never, "episode": step.first, "step": always, "chunk": fast.pending}[self.switch]
        again = always if self.use == "mix" else again
        when = ((steps == self.probe) | again) & (steps >= self.probe) | born
        member = jnp.where(when, chosen, fast.member)
        member = jnp.where(steps < self.probe, self._single(meta), member)
        member = jnp.where(meta.forced >= 0, meta.forced.astype(jnp.int32), member)
        begins = step.first | born
        acts = (steps >= self.probe) | (meta.forced >= 0) | (self.explores == "single")
        whole = jnp.where(begins, acts, fast.whole & (member == fast.member))
        running = jnp.where(begins, 0.0, running)
        owned = jnp.asarray(jax.random.key_data(key_next))
        return fast._replace(member=member, running=running, whole=whole, pending=jnp.zeros(n, bool), key=owned)

    def expected(self, meta: PerformanceMeta, fast: Performing) -> tuple[Array, Array, Array]:
        """Of each member's episodes from here on, [N, P]: mean, standard deviation, and that of the heads alone; predictions
        corrected by the whole episodes of it that were seen."""
        s = meta.statistics
        if self.blind:
            mean, doubt = (jnp.broadcast_to(x, fast.seen.shape) for x in (jnp.mean(s.usual, -1), jnp.zeros(self.members)))
            variance = jnp.broadcast_to(s.variety, fast.seen.shape)
        else:
            said = self.predict(meta, fast.read)
            known = s.usual.shape[-1]
            still = jnp.arange(known) >= jnp.minimum(fast.chunks, known - 1)
            mean, doubt, noise = (x @ (still / jnp.sum(still)) for x in said)
            variance = doubt**2 + noise**2
        luck = jnp.broadcast_to(jnp.maximum(s.luck, 1e-6), mean.shape)
        precision = 1.0 / jnp.maximum(variance, 1e-6) + fast.seen / luck
        mean = (mean / jnp.maximum(variance, 1e-6) + fast.earned / luck) / precision
        return mean, 1.0 / jnp.sqrt(precision), doubt

    def _single(self, meta: PerformanceMeta) -> Array:
        """The member that is best on average over training tasks."""
        return jnp.argmax(jnp.mean(meta.statistics.usual, -1)).astype(jnp.int32)

    def _choose(self, meta: PerformanceMeta, fast: Performing, key: Array) -> Array:
        """Members [N]."""
        shape = fast.seen.shape[:1]
        if self.use == "single":
            return jnp.broadcast_to(self._single(meta), shape)
        if self.use == "random":
            return jax.random.randint(key, shape, 0, self.members)
        mean, deviation, doubt = self.expected(meta, fast)
        if self.switch == "chunk":  # streams adapt together
            mean, deviation, doubt = (jnp.broadcast_to(jnp.mean(x, 0), x.shape) for x in (mean, deviation, doubt))
        together = (1,) if self.switch == "chunk" else shape
        noise = jnp.broadcast_to(jax.random.normal(key, (*together, self.members)), mean.shape)
        if self.use == "thompson":
            mean = mean + deviation * noise
        elif self.use == "ucb":
            mean = mean + self.bonus * deviation
        elif self.use == "mix":
            scaled = mean / (self.temperature * jnp.maximum(meta.statistics.spread, 1e-6))
            mean = scaled + jnp.broadcast_to(jax.random.gumbel(key, (*together, self.members)), mean.shape)
        choice = jnp.argmax(mean, -1)
        if self.cautious:
            unsure = jnp.mean(doubt, -1) > meta.statistics.doubt
            choice = jnp.where(unsure, self._single(meta), choice)
        return choice.astype(jnp.int32)

    def decide(self, meta: PerformanceMeta, fast: Performing, obs: Any) -> Decision:
        each = jax.vmap(self.base.decide, (0, 0, None))(meta.members, fast.members, obs)
        lead = each.value.shape[1:]
        at = jnp.broadcast_to(fast.member, lead)

        def pick(x: Array) -> Array:
            return jnp.take_along_axis(x, at.reshape(1, *lead, *[1] * (x.ndim - 1 - len(lead))), 0)[0]

        dist, value = jax.tree.map(pick, each.dist), pick(each.value)
        if self.use == "mean":
            dist = _averaged(jax.tree.map(lambda x: x[: self.members], each.dist))
        probing = jnp.broadcast_to((fast.steps < self.probe) & (meta.forced < 0), lead)
        if self.probe and self.explores == "learned":
            theirs = self.prober.decide(meta.probe, fast.probe, obs)
            ahead = (*lead[: len(lead) - theirs.value.ndim], *theirs.value.shape)
            theirs = jax.tree.map(
                lambda x: jnp.broadcast_to(x, (*ahead, *x.shape[theirs.value.ndim :])), theirs._replace(extras=None)
            )
            dist, value = select(probing, (theirs.dist, theirs.value), (dist, value))
        member = jnp.where(probing, -1, at) if self.explores == "learned" else at
        said = jax.tree.map(lambda x: jnp.broadcast_to(x, (*lead, *x.shape[-2:])), self.predict(meta, fast.read))
        return Decision(dist, value, Choice(said, member))

    def learn(self, meta: PerformanceMeta, fast: Performing, chunk: Chunk, key: Array) -> Performing:
        after = jnp.arange(chunk.mask.shape[0] - 1, -1, -1)
        behind = fast.steps[None] - after[:, None]  # [T, N]: steps of the trial before each row
        own = chunk._replace(mask=chunk.mask & ((behind >= self.probe) | (meta.forced >= 0)))
        learned = jax.vmap(self.base.learn, (0, 0, None, None))(meta.members, fast.members, own, key)
        members = select(jnp.arange(self.count) == fast.member[0], learned, fast.members)
        return fast._replace(members=members, chunks=fast.chunks + 1, pending=jnp.ones_like(fast.pending))

    def absorb(self, meta: PerformanceMeta, lives: Lifetime) -> PerformanceMeta:
        if meta.obs is None or meta.reward is None:
            return meta
        rows = lives.chunks
        obs = meta.obs.absorb(encode(self.spaces.obs, rows.step.obs), rows.mask)
        return meta._replace(obs=obs, reward=meta.reward.absorb(rows.reward[..., None], rows.mask))


def _averaged(dist: Any) -> Any:
    """One policy out of all, leaves [P, ...]: mean probabilities, or mean parameters."""
    if isinstance(dist, Categorical):
        return Categorical(jnp.log(jnp.mean(jax.nn.softmax(dist.logits), 0)))
    return jax.tree.map(lambda x: jnp.mean(x, 0), dist)


MetaModel = PerformanceModel
