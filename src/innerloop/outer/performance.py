"""The performance model's outer: trains the population, the probe, and what predicts the members' returns.

Each update, in every task: the inner that chooses lives once or more often, every member once by itself, and the generalist
(if there is one) as often as all members together. Then

* members learn, for a share `population` of the run: a balanced assignment gives each of them the tasks that it is relatively
  best in (entropic transport between tasks and members), so that they come to differ without being told the task. In the next
  update they may live there `repeats` times more;
* the probe learns by PPO: what it earns, and at its end all that the chosen members earn after it;
* encoder and heads regress every member's return on what the trial has shown up to each step, by squared error, and on request
  by the order of members. Returns are of lives that the member lived by itself and has not learned from: no surrogate's value.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Inner, Lifetime, Metrics, Outer, Plan, Task, TaskDistribution, at_least, select
from innerloop.equations.returns import masked_mean
from innerloop.outer.gradients import mean_gradient
from innerloop.outer.ppo import PPO

SINKHORN = 50  # rounds of the assignment


class PerformanceState(NamedTuple):
    """All that the method carries."""

    meta: Any  # of the inner; members and probe stand in their outers' states
    members: Any  # state of the members' outer, leaves [P, ...]
    generalist: Any  # the same of one, or None
    probe: Any
    optimiser: Any
    hard: Task  # [B]: tasks of the last update, those first whose returns the heads were least sure of
    dealt: Task  # [B]: the same, those first that the first member was given, then those of the second, …
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # updates done; hides tuple.count


class Performance(Outer[Any, PerformanceState]):
    """Any outer trains the members; the probe is PPO's."""

    tasks: Any = eqx.field(static=True)  # the family
    learner: Outer[Any, Any] = PPO()  # trains each member
    prober: PPO = PPO()  # trains the probe
    population: float = eqx.field(static=True, default=0.6)  # share of the run in which members learn
    sharpness: float = eqx.field(static=True, default=20.0)  # of the assignment, per standard deviation of returns
    lr: float = eqx.field(static=True, default=1e-3)  # of the prediction; Adam
    fits: int = eqx.field(static=True, default=8)  # gradient steps on the prediction per update
    choosers: int = eqx.field(
        static=True, default=1
    )  # lives of the inner that chooses, in each task: the probe learns from all of them
    repeats: int = eqx.field(
        static=True, default=0
    )  # lives more of each member in the tasks that it was given in the last update
    ranking: float = eqx.field(static=True, default=0.0)  # weight of the order of members beside the squared error
    curriculum: float = eqx.field(static=True, default=0.0)  # share of tasks lived in again, where predictions were least sure
    memory: float = eqx.field(static=True, default=0.95)  # of running statistics, per update
    updates: int = eqx.field(static=True, default=1)  # to come in the run; set by `planned`

    def check(self, inner: Inner[Any, Any]) -> None:
        if not inner.population:
            raise ValueError(
                f"this outer trains a population and what chooses among it, and {type(inner).__name__} is one model; accepted: "
                "PerformanceModel."
            )
        for name, value in (("population", self.population), ("curriculum", self.curriculum)):
            if not 0 <= value <= 1:
                raise ValueError(f"outer.{name} is {value}; accepted: a share, from 0 to 1.")
        at_least("outer.fits", self.fits, 1)
        at_least("outer.choosers", self.choosers, 1)
        at_least("outer.repeats", self.repeats, 0)
        at_least("outer.ranking", self.ranking, 0)
        self.learner.check(inner.base)  # pyright: ignore[reportAttributeAccessIssue]
        self.prober.check(inner.prober)  # pyright: ignore[reportAttributeAccessIssue]

    def planned(self, updates: int, meta_batch: int) -> Performance:
        members = self.learner.planned(max(int(updates * self.population), 1), self._least)
        prober = self.prober.planned(updates, meta_batch * self.choosers)
        return replace(self, learner=members, prober=prober, updates=updates)

    def lives(self, inner: Any) -> int:
        alone = inner.members + self.repeats
        return self.choosers + alone * (1 + inner.generalist)

    @property
    def _least(self) -> int:
        """Tasks that a member must have for an update."""
        return getattr(self.learner, "minibatches", 1)

    def _share(self, count: int, members: int) -> int:
        """Tasks out of `count` that each of so many members learns from in an update: its share, in whole minibatches."""
        return max(-(-count // (members * self._least)), 1) * self._least

    def init(self, inner: Any, meta: Any, tasks: TaskDistribution, example: Lifetime, key: Array) -> PerformanceState:
        p, count = inner.members, example.fresh.shape[0] // self.lives(inner)
        key_members, key_generalist, key_probe = jax.random.split(key, 3)
        share = self._share(count, p)
        if self.repeats and share * p != count:
            raise ValueError(
                f"meta_batch is {count}; with outer.repeats ({self.repeats}) it must be a multiple of {p * self._least}: each "
                f"of the {p} members is given as many tasks, in whole minibatches."
            )
        share *= 1 + self.repeats
        lives = jax.eval_shape(lambda e: _of_member(jax.tree.map(lambda x: x[:share], e), 0), example)
        one = lambda meta, key: self.learner.init(inner.base, meta, tasks, lives, key)  # noqa: E731
        members = jax.vmap(one)(jax.tree.map(lambda x: x[:p], meta.members), jax.random.split(key_members, p))
        generalist = one(jax.tree.map(lambda x: x[p], meta.members), key_generalist) if inner.generalist else None
        probe = None
        if inner.probe and inner.explores == "learned":
            shorter = jax.eval_shape(lambda e: _early(e, inner.probe), example)
            probe = self.prober.init(*self._probing(inner), meta.probe, tasks, shorter, key_probe)
        hard = tasks.sample(key, count)
        optimiser = self._optimiser().init(meta.predictor)
        return PerformanceState(meta, members, generalist, probe, optimiser, hard, hard, jnp.zeros((), jnp.int32))

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.lr))

    def _probing(self, inner: Any) -> tuple[Inner[Any, Any]]:
        return (inner.prober.with_plan(Plan(1, inner.probe, inner.plan.streams)),)

    def meta(self, state: PerformanceState) -> Any:
        return state.meta

    def each(self, inner: Any) -> Any:
        meta = jax.eval_shape(inner.init, jax.random.key(0))
        return type(meta)(*(None for _ in meta))._replace(forced=0)

    def propose(self, state: PerformanceState, tasks: Task, key: Array) -> tuple[Any, Task]:
        """Each task as often as there are lives in it, and who lives: [B · G], a task's lives together."""
        count, p = tasks.index.shape[0], state.meta.statistics.usual.shape[0]
        again = (jnp.arange(count) < round(self.curriculum * count)) & (state.count > 0)
        drawn = select(again, state.hard, tasks)
        r = self.repeats
        each = [jnp.full(self.choosers, -1), jnp.arange(p), jnp.zeros(r)]
        each += [] if state.generalist is None else [jnp.full(p + r, p)]
        who = jnp.tile(jnp.concatenate(each).astype(jnp.float32), (count, 1))  # [B, G]
        theirs = slice(self.choosers + p, self.choosers + p + r)
        owner = (jnp.arange(count) * p // count).astype(jnp.float32)[:, None]
        who = who.at[:, theirs].set(jnp.broadcast_to(owner, (count, r)))

        def spread(drawn: Array, dealt: Array) -> Array:
            wide = jnp.repeat(drawn[:, None], who.shape[1], 1)
            wide = wide.at[:, theirs].set(jnp.repeat(dealt[:, None], r, 1))
            return wide.reshape(-1, *drawn.shape[1:])

        return state.meta._replace(forced=who.reshape(-1)), jax.tree.map(spread, drawn, state.dealt)

    def update(self, inner: Any, state: PerformanceState, lives: Lifetime, key: Array) -> tuple[PerformanceState, Metrics]:
        p, c, horizon = inner.members, self.choosers, inner.horizon
        key_members, key_generalist, key_probe, key_fit, key_other = jax.random.split(key, 5)
        grouped = jax.tree.map(lambda x: x.reshape(-1, self.lives(inner), *x.shape[1:]), lives)
        rows = grouped.chunks
        paid = jnp.sum(jnp.where(rows.mask, rows.reward, 0.0), (3, 4)) / jnp.maximum(jnp.sum(rows.mask, (3, 4)), 1)
        returns = paid * horizon  # of an episode, on average in each chunk, [B, G, K]
        sound = jnp.all(jnp.isfinite(returns), (1, 2))
        returns = jnp.where(sound[:, None, None], returns, 0.0)
        own = returns[:, c : c + p]
        chosen, choosers = jnp.mean(returns[:, :c], 1), jax.tree.map(lambda x: x[:, :c].reshape(-1, *x.shape[2:]), grouped)
        chooser = jax.tree.map(lambda x: x[:, 0], grouped)

        meta, statistics = state.meta, self._statistics(state, own, sound)
        assigned, dealt, members, generalist = self._train(inner, state, grouped, own, sound, key_members, key_generalist)
        probe, said = state.probe, {}
        if probe is not None:
            short = self._credited(inner, choosers)
            probe, said = self.prober.update(*self._probing(inner), probe, short, key_probe)
            said = {f"probe_{name}": value for name, value in said.items() if name in ("entropy", "kl", "masked")}
        one = jax.random.randint(key_other, (own.shape[0],), c, c + p)
        other = jax.tree.map(lambda x: jax.vmap(lambda y, i: y[i])(x, one), grouped)
        contexts = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *(_shown(x) for x in (chooser, other)))
        target = (own - statistics.usual[None]) / statistics.spread
        meta = meta._replace(statistics=statistics)
        twice = lambda x: jnp.concatenate([x, x])  # noqa: E731
        predictor, optimiser, fitted = self._fit(inner, meta, state.optimiser, contexts, twice(target), twice(sound), key_fit)
        meta = meta._replace(predictor=predictor)
        statistics, unsure = self._doubts(inner, meta, _shown(chooser), target, sound, state.count == 0)
        stacked = (
            self.learner.meta(members)
            if generalist is None
            else jax.tree.map(
                lambda a, b: jnp.concatenate([a, b[None]]), jax.vmap(self.learner.meta)(members), self.learner.meta(generalist)
            )
        )
        meta = meta._replace(members=stacked, statistics=statistics)
        if probe is not None:
            meta = meta._replace(probe=self.prober.meta(probe))
        meta = inner.absorb(meta, lives)
        order = jnp.argsort(-unsure)
        hard = jax.tree.map(lambda x: x[:, 0][order], grouped.task)
        mean = lambda x: jnp.sum(jnp.where(sound, x, 0.0)) / jnp.maximum(jnp.sum(sound), 1)  # noqa: E731
        last = jnp.mean(own, -1)
        single = jnp.max(jax.vmap(mean, 1)(last))
        best, chosen = mean(jnp.max(last, 1)), mean(jnp.mean(chosen, -1))
        metrics = (
            fitted
            | said
            | {
                "single_best": single,
                "best_of_population": best,
                "chosen": chosen,
                "score": (chosen - single) / jnp.maximum(best - single, 1e-6),
                "assigned": assigned,
                "masked": 1.0 - jnp.mean(sound),
            }
        )
        return PerformanceState(meta, members, generalist, probe, optimiser, hard, dealt, state.count + 1), metrics

    def _statistics(self, state: PerformanceState, own: Array, sound: Array) -> Any:
        s = state.meta.statistics
        keep = jnp.where(state.count > 0, self.memory, 0.0)
        weight = sound[:, None, None] / jnp.maximum(jnp.sum(sound), 1)
        usual = jnp.sum(weight * own, 0)
        variety = jnp.mean(jnp.sum(weight * (own - usual[None]) ** 2, 0), -1)
        spread = jnp.sqrt(jnp.mean(jnp.sum(weight * (own - jnp.mean(usual, 0)[None, None]) ** 2, 0)) + 1e-8)
        blend = lambda a, b: keep * a + (1 - keep) * b  # noqa: E731
        return s._replace(usual=blend(s.usual, usual), variety=blend(s.variety, variety), spread=blend(s.spread, spread))

    def _train(
        self, inner: Any, state: PerformanceState, grouped: Lifetime, own: Array, sound: Array, key: Array, key_other: Array
    ) -> tuple[Array, Task, Any, Any]:
        """Mean return of members in the tasks given to them; these, member by member; states of members and generalist."""
        p, count, first = own.shape[1], own.shape[0], self.choosers
        past = first + p + self.repeats
        again = jax.tree.map(lambda x: x[:, first + p : past], grouped)  # [B, R]
        value = jnp.mean(own, -1)
        given = assignment(jnp.where(sound[:, None], value, jnp.mean(value)), self.sharpness)  # [B, P]
        given = jnp.where(sound[:, None], given, -1.0)
        share = min(self._share(count, p), count)
        weight, at = jax.lax.top_k(given.T, share)  # [P, C]

        def one(_: None, xs: tuple[Any, Array, Array, Array]) -> tuple[None, Any]:
            member, rows, number, key = xs
            theirs = jax.tree.map(lambda x: x[rows, first + number], grouped)
            if self.repeats:
                own = number * share + jnp.arange(share)
                more = jax.tree.map(lambda x: x[own].reshape(-1, *x.shape[2:]), again)
                theirs = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), theirs, more)
            return None, self.learner.update(inner.base, member, _of_member(theirs, number), key)[0]

        def train(_: None) -> tuple[Any, Any]:
            xs = state.members, at, jnp.arange(p), jax.random.split(key, p)
            members = jax.lax.scan(one, None, xs)[1]
            if state.generalist is None:
                return members, None
            all_of = jax.tree.map(lambda x: x[:, past:].reshape(-1, *x.shape[2:]), grouped)
            return members, self.learner.update(inner.base, state.generalist, _of_member(all_of, p), key_other)[0]

        learns = state.count < self.population * self.updates
        members, generalist = jax.lax.cond(learns, train, lambda _: (state.members, state.generalist), None)
        earned = jnp.take_along_axis(value.T, at, 1)
        dealt = jax.tree.map(lambda x: x[:, first][at.reshape(-1)[:count]], grouped.task)
        return masked_mean(earned, weight >= 0), dealt, members, generalist

    def _credited(self, inner: Any, chooser: Lifetime) -> Lifetime:
        """The probe's part of lives, its last reward with all that was earned after it (averaged over streams' own)."""
        rows = chooser.chunks
        flat = lambda x: x.reshape(x.shape[0], -1, *x.shape[3:])  # noqa: E731
        reward = jnp.where(flat(rows.mask), flat(rows.reward), 0.0)
        rest = jnp.sum(reward[:, inner.probe :], 1)
        short = _early(chooser, inner.probe)
        credited = short.chunks.reward.at[:, 0, -1].add(rest)
        return short._replace(chunks=short.chunks._replace(reward=credited))

    def _fit(
        self, inner: Any, meta: Any, optimiser: Any, lives: Lifetime, target: Array, sound: Array, key: Array
    ) -> tuple[Any, Any, Metrics]:
        def loss(predictor: Any, one: tuple[Any, Array, Array, Array]) -> tuple[Array, Metrics]:
            (steps, mask), target, sound, weight = one
            full = meta._replace(predictor=predictor)
            heads, noise = inner.outputs(full, inner.reads_of(full, steps))  # [E, L, N, P, K], [L, N, P, K]
            mask = mask & sound
            target = jnp.broadcast_to(target, noise.shape)
            error = (heads - target[None]) ** 2
            squared = masked_mean(jnp.einsum("e,eln->ln", weight, jnp.mean(error, (-2, -1))) / jnp.sum(weight), mask)
            gap = (jax.lax.stop_gradient(jnp.mean(heads, 0)) - target) ** 2
            likely = masked_mean(jnp.mean(noise + 0.5 * gap * jnp.exp(-2.0 * noise), (-2, -1)), mask)
            total = squared + likely
            if self.ranking:
                total += self.ranking * masked_mean(_disorder(jnp.mean(heads, 0), target), mask)
            return total, {"prediction_error": squared, "prediction_likelihood": -likely}

        def step(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], tuple[Metrics, Array]]:
            predictor, opt = carry
            # Each head sees its own half of the tasks more often: an online bootstrap.
            weight = jax.random.bernoulli(key, 0.5, (target.shape[0], inner.ensemble)) * 1.0 + 1e-3
            gradient, aux, bad = mean_gradient(loss, predictor, (lives, target, sound, weight))
            change, opt = self._optimiser().update(gradient, opt, predictor)
            return (optax.apply_updates(predictor, change), opt), (aux, jnp.mean(bad))

        begin = (meta.predictor, optimiser)
        (predictor, opt), (aux, _) = jax.lax.scan(step, begin, jax.random.split(key, self.fits))
        return predictor, opt, jax.tree.map(jnp.mean, aux)

    def _doubts(self, inner: Any, meta: Any, lives: Any, target: Array, sound: Array, first: Array) -> tuple[Any, Array]:
        """Statistics of what the heads say along the chooser's lives; and per task how unsure they were at its end, [B]."""
        steps, mask = lives
        s = meta.statistics
        heads, noise = jax.vmap(lambda x: inner.outputs(meta, inner.reads_of(meta, x)), out_axes=(1, 0))(steps)
        doubt = s.spread * jnp.mean(jnp.std(heads, 0), (-2, -1))  # [B, L, N]
        counts = (mask & sound[:, None, None]) & (jnp.arange(doubt.shape[1]) >= inner.probe)[None, :, None]
        high = jnp.quantile(jnp.where(counts, doubt, jnp.min(doubt)), 0.99)
        ended = jnp.mean(heads[:, :, -1], 0)  # [B, N, P, K]
        left = (s.spread * (ended - jnp.broadcast_to(target[:, None], ended.shape))) ** 2
        luck = jnp.mean(jnp.where(sound[:, None, None, None], left, 0.0), (0, 1, 3))
        keep = jnp.where(first, 0.0, self.memory)
        s = s._replace(doubt=keep * s.doubt + (1 - keep) * high, luck=keep * s.luck + (1 - keep) * luck)
        return s, jnp.mean(jnp.exp(noise[:, -1]), (1, 2, 3))


def assignment(value: Array, sharpness: float) -> Array:
    """Entropic transport between tasks and members, [B, P] → [B, P]: rows sum to 1/B, columns to 1/P, as much weight as may
    be where `value` is high; standardised inside (Cuturi 2013)."""
    count, members = value.shape
    score = value - jnp.mean(value, 1, keepdims=True)
    score = sharpness * score / (jnp.std(score) + 1e-6)

    def balance(_: int, score: Array) -> Array:
        score = score - jax.nn.logsumexp(score, 0, keepdims=True) - jnp.log(members)
        return score - jax.nn.logsumexp(score, 1, keepdims=True) - jnp.log(count)

    return jnp.exp(jax.lax.fori_loop(0, SINKHORN, balance, score))


def _disorder(said: Array, target: Array) -> Array:
    """Logistic loss of every pair of members, weighed by how far apart they are; said, target [..., P, K] → [...]."""
    gap = target[..., :, None, :] - target[..., None, :, :]
    apart = said[..., :, None, :] - said[..., None, :, :]
    return jnp.mean(jnp.abs(gap) * jax.nn.softplus(-jnp.sign(gap) * apart), (-3, -2, -1))


def _of_member(lives: Lifetime, number: Any) -> Lifetime:
    """Lives [B, ...] in which a member acted, as lives of that member alone."""
    return lives._replace(start=jax.tree.map(lambda x: x[:, number], lives.start.members))


def _early(lives: Lifetime, steps: int) -> Lifetime:
    """The first steps of lives [B, ...], as lives of the probe."""
    rows = lives.chunks
    early = jax.tree.map(lambda x: x[:, :1, :steps], rows)
    last = jax.tree.map(lambda x: x[:, 0, steps], rows.step) if steps < rows.mask.shape[2] else lives.last
    return lives._replace(chunks=early, last=last, start=lives.start.probe)


def _shown(lives: Lifetime) -> Any:
    """Steps [B, L, N, ...] and their mask: what the encoder reads."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0], -1, *x.shape[3:]), (lives.chunks.step, lives.chunks.mask))
