"""Evolution of meta-parameters, by evosax's strategies (Lange 2022, arXiv 2212.04180); the extra `innerloop[evolution]`.

Every member of a population lives in every task of a batch, all with the same random numbers, so that what differs between them
is what they are (antithetic pairs: θ + σε and θ − σε). No derivative is taken: any inner will do, over lives of any length.

* "open": Salimans et al. 2017, arXiv 1703.03864. "snes": Schaul et al. 2011, for few parameters.
* "persistent" (Vicol et al. 2021, arXiv 2112.13835) and "noise-reuse" (Li et al. 2023, arXiv 2304.12180) improve after segments
  of lives that go on, until `lifetime` chunks are lived, and are not biased by that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from innerloop.core import Cursor, Inner, Lifetime, Metrics, Outer, Task, accept, at_least, live, select
from innerloop.nets.moments import Moments
from innerloop.outer.gradients import finite

STRATEGIES = ("open", "snes", "persistent", "noise-reuse")
SEGMENTED = ("persistent", "noise-reuse")
FITNESS, PER = ("life", "last"), ("episode", "step")
SHAPING = ("rank", "standard", "none")
WORST = 1e30


class EvolutionState(NamedTuple):
    """All that the method carries."""

    meta: Any
    strategy: Any  # evosax's
    key: Array  # of the population that lives next
    cursor: Cursor | None  # leaves [B · P, ...], where lives go on
    task: Task | None  # [B]
    lost: Array | None  # bool [B · P]: lives under way whose agents are no longer finite, and begin anew
    lived: Array  # int32: chunks of the lives under way


class Evolution(Outer[Any, EvolutionState]):
    """Fitness is what an episode pays on average, standardised over the population in each task."""

    strategy: str = eqx.field(static=True, default="open")
    population: int = eqx.field(static=True, default=64)  # P
    std: float = eqx.field(static=True, default=0.05)  # σ, of every parameter; "snes": in the beginning
    lr: float = eqx.field(static=True, default=0.01)  # Adam; "snes" has a rule of its own
    fitness: str = eqx.field(static=True, default="life")  # rewards of the whole life, or of its last chunk
    per: str = eqx.field(static=True, default="episode")  # or "step": an episode that is cut short costs nothing
    shaping: str = eqx.field(static=True, default="standard")  # over the population: rank in [−½, ½], standard, or none
    lifetime: int = eqx.field(static=True, default=0)  # chunks of a life, where lives go on

    def check(self, inner: Inner[Any, Any]) -> None:
        accept("outer.strategy", self.strategy, STRATEGIES)
        accept("outer.fitness", self.fitness, FITNESS)
        accept("outer.per", self.per, PER)
        accept("outer.shaping", self.shaping, SHAPING)
        at_least("outer.population", self.population, 2)
        if self.population % 2:
            raise ValueError(f"outer.population is {self.population}; pairs are opposite, so it must be even.")
        for name in ("std", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"outer.{name} is {getattr(self, name)}; it must be above 0.")
        if inner.population:
            raise ValueError(f"{type(inner).__name__} is a population itself, with an outer of its own.")
        chunks = inner.plan.chunks
        if self._segmented and (self.lifetime < chunks or self.lifetime % chunks):
            raise ValueError(
                f"outer.lifetime is {self.lifetime}; with outer.strategy={self.strategy} it is a life's chunks, a multiple of "
                f"inner.plan.chunks ({chunks})."
            )
        if self.lifetime and not self._segmented:
            raise ValueError(
                f"outer.lifetime is {self.lifetime}, and lives go on with {' or '.join(SEGMENTED)} alone; set it to 0."
            )

    @property
    def _segmented(self) -> bool:
        return self.strategy in SEGMENTED

    def _strategy(self, meta: Any, chunks: int) -> tuple[Any, Any]:
        """evosax's strategy for what of `meta` evolves, and its parameters."""
        algorithms = _evosax()
        options: dict[str, Any] = {"population_size": self.population, "solution": _evolved(meta)[0], "metrics_fn": _quiet}
        options["fitness_shaping_fn"] = lambda population, fitness, state, params: self._shaped(fitness)
        steps = optax.adam(self.lr)
        if self.strategy == "snes":
            del options["fitness_shaping_fn"]  # its weights by rank are part of it
            made = algorithms.SNES(**options)
            return made, made.default_params.replace(std_init=self.std)
        name = {"open": "Open_ES", "persistent": "PersistentES", "noise-reuse": "NoiseReuseES"}[self.strategy]
        made = getattr(algorithms, name)(**options, optimizer=steps, std_schedule=optax.constant_schedule(self.std))
        params = made.default_params
        return made, params.replace(T=self.lifetime, K=chunks) if self._segmented else params

    def _shaped(self, cost: Array) -> Array:
        if self.shaping == "rank":
            return jnp.argsort(jnp.argsort(cost)) / (cost.size - 1) - 0.5
        if self.shaping == "standard":
            return (cost - jnp.mean(cost)) / (jnp.std(cost) + 1e-8)
        return cost

    def init(self, inner: Inner[Any, Any], meta: Any, tasks: Any, example: Lifetime, key: Array) -> EvolutionState:
        key_strategy, key_next, key_task = jax.random.split(key, 3)
        strategy, params = self._strategy(meta, inner.plan.chunks)
        with jax.numpy_rank_promotion("allow"):  # evosax relies on it
            state = strategy.init(key_strategy, _evolved(meta)[0], params)
        # What it keeps of the best so far begins as NaN and infinity; what a run carries is finite.
        state = state.replace(best_solution=state.mean, best_fitness=jnp.float32(WORST))
        count = example.fresh.shape[0] // self.population
        cursor = task = lost = None
        if self._segmented:
            if not tasks.on_device:
                raise ValueError(
                    f"lives that go on from update to update need a family on the device; {tasks.name!r} is stepped on the "
                    "host. Take outer.strategy=open."
                )
            task = tasks.sample(key_task, count)
            spread = jax.tree.map(lambda x: jnp.repeat(x, self.population, 0), task)
            each = (spread, jax.random.split(key, count * self.population))
            one = lambda t, k: live(inner, tasks, tasks.spaces, meta, t, k)[1]  # noqa: E731
            cursor = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda: jax.vmap(one)(*each)))
            lost = jnp.zeros(count * self.population, bool)
        return EvolutionState(meta, state, jax.random.key_data(key_next), cursor, task, lost, jnp.zeros((), jnp.int32))

    def meta(self, state: EvolutionState) -> Any:
        return state.meta

    def lives(self, inner: Inner[Any, Any]) -> int:
        return self.population

    def each(self, inner: Inner[Any, Any]) -> Any:
        return 0

    def keys(self, key: Array, count: int) -> Array:
        return jnp.repeat(jax.random.split(key, count // self.population), self.population)

    def _asked(self, state: EvolutionState, chunks: int) -> tuple[Any, Any]:
        """The population, leaves [P, ...], and the strategy's state; the same for the same state."""
        strategy, params = self._strategy(state.meta, chunks)
        with jax.numpy_rank_promotion("allow"):
            return strategy.ask(jax.random.wrap_key_data(state.key), state.strategy, params)

    def propose(self, state: EvolutionState, tasks: Task, key: Array) -> tuple[Any, Task]:
        count = tasks.index.shape[0]
        population, _ = self._asked(state, 1)  # chunks matter to `tell` alone
        rest = _evolved(state.meta)[1]
        metas = eqx.combine(
            jax.tree.map(lambda x: jnp.tile(x, (count, *[1] * (x.ndim - 1))), population),
            jax.tree.map(lambda x: jnp.broadcast_to(x, (count * self.population, *jnp.shape(x))), rest),
        )
        if state.task is not None:
            tasks = select(state.lived == 0, tasks, state.task)
        return metas, jax.tree.map(lambda x: jnp.repeat(x, self.population, 0), tasks)

    def goes_on(self, state: EvolutionState) -> tuple[Cursor, Array] | None:
        if state.cursor is None or state.lost is None:
            return None
        return state.cursor, (state.lived == 0) | state.lost

    def lived(self, state: EvolutionState, end: Cursor) -> EvolutionState:
        if state.cursor is None:
            return state
        lost = ~jax.vmap(finite)(end.fast)
        return state._replace(
            cursor=end._replace(fast=select(lost, jax.tree.map(jnp.zeros_like, end.fast), end.fast)), lost=lost
        )

    def update(
        self, inner: Inner[Any, Any], state: EvolutionState, lives: Lifetime, key: Array
    ) -> tuple[EvolutionState, Metrics]:
        p, chunks = self.population, inner.plan.chunks
        rows = lives.chunks if self.fitness == "life" else jax.tree.map(lambda x: x[:, -1:], lives.chunks)
        begun = rows.mask if self.per == "step" else rows.step.first.at[:, 0, 0].set(True)  # one may be under way
        counted = jnp.maximum(jnp.sum(begun & rows.mask, (1, 2, 3)), 1)
        paid = (jnp.sum(jnp.where(rows.mask, rows.reward, 0.0), (1, 2, 3)) / counted).reshape(-1, p)  # [B, P]
        good = jnp.isfinite(paid)
        sound = jnp.any(good, 1, keepdims=True)
        worst = jnp.min(jnp.where(good, paid, jnp.inf), 1, keepdims=True)
        paid = jnp.where(good, paid, jnp.where(sound, worst, 0.0))  # a member that is lost is as bad as the worst that is not
        mean, deviation = jnp.mean(paid, 1, keepdims=True), jnp.std(paid, 1, keepdims=True)
        fitness = jnp.sum((paid - mean) / (deviation + 1e-8), 0) / jnp.maximum(jnp.sum(sound), 1)

        strategy, params = self._strategy(state.meta, chunks)
        population, asked = self._asked(state, chunks)
        with jax.numpy_rank_promotion("allow"):
            told, _ = strategy.tell(key, population, -fitness, asked, params)
        meta = eqx.combine(strategy.get_mean(told), _evolved(state.meta)[1])
        moved = optax.tree.norm(jax.tree.map(jnp.subtract, _evolved(meta)[0], _evolved(state.meta)[0]))
        meta = inner.absorb(meta, lives)
        lived = state.lived + chunks
        lived = jnp.where(lived >= self.lifetime, 0, lived) if self._segmented else state.lived
        task = None if state.task is None else jax.tree.map(lambda x: x.reshape(-1, p, *x.shape[1:])[:, 0], lives.task)
        total = jnp.sum(jnp.where(sound, paid, 0.0)) / jnp.maximum(p * jnp.sum(sound), 1)
        metrics = {
            "fitness": total,
            "spread": jnp.sum(jnp.where(sound, deviation, 0.0)) / jnp.maximum(jnp.sum(sound), 1),
            "moved": moved,
            "lost": 1.0 - jnp.mean(good),  # of the members, in each task
            "masked": 1.0 - jnp.mean(sound),
        } | inner.readings(meta)
        following = jax.random.key_data(jax.random.fold_in(key, 1))
        return EvolutionState(meta, told, following, state.cursor, task, state.lost, lived), metrics


def _evolved(meta: Any) -> tuple[Any, Any]:
    """What evolves, and the rest: integers and running statistics."""
    statistics = lambda x: isinstance(x, Moments)  # noqa: E731
    chosen = jax.tree.map(lambda x: not statistics(x) and eqx.is_inexact_array(x), meta, is_leaf=statistics)
    return eqx.partition(meta, chosen)


def _quiet(*_: Any) -> dict[str, Any]:
    return {}


def _evosax() -> Any:
    try:
        from evosax import algorithms
    except ImportError as error:
        raise ValueError(f"evolution needs evosax ({error}); install it with: pip install 'innerloop[evolution]'.") from None
    return algorithms
