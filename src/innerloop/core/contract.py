"""The contract: what a life is made of, and what inners, outers, tasks and worlds promise.

Not the folds over a life (`life.py`). Axis letters: B tasks, K chunks, T steps, N streams, A actions.
(Annotations are evaluated here, not postponed: equinox reads AbstractVar.)
"""

from abc import abstractmethod
from dataclasses import replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import equinox as eqx
import jax
from jax import Array

from innerloop.core.distributions import Dist, Normal
from innerloop.core.spaces import Spaces

Meta = TypeVar("Meta")
Fast = TypeVar("Fast")
S = TypeVar("S")
Metrics = dict[str, Array]


class Plan(NamedTuple):
    """The static shape of one life: `chunks` K × `steps` T × `streams` N.

    `restart`: every chunk begins with new episodes, the last row of the one before counting as truncated. Methods that
    compare whole episodes before and after `learn` need it (MAML); a memory that runs through a trial does not.

    `episodes`: a trial ends with so many episodes of its stream, and the stream begins another in the same task, with nothing
    remembered. 0: a trial is the whole life, however many episodes fit in.
    """

    chunks: int
    steps: int
    streams: int
    restart: bool = False
    episodes: int = 0

    @property
    def interactions(self) -> int:
        """Environment steps in one life."""
        return self.chunks * self.steps * self.streams


class Task(NamedTuple):
    """One task: `index` int32 in [0, size), or -1 where the family is unbounded; `params` is the family's own pytree."""

    index: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # hides tuple.index, which no pytree needs
    params: Any


class Step(NamedTuple):
    """What may be known before deciding; leaves [N, ...]. Rewards are raw, as the environment gave them.

    Three ends are three flags: of an episode (`first` of the next step), of an episode by termination (`terminated`), and of
    a trial (`born` of the next step).
    """

    obs: Any  # o_t
    action: Any  # a_{t-1}; zeros where `born`
    reward: Array  # r_{t-1}
    arrived: Any  # the observation that a_{t-1} led to, before any reset
    first: Array  # bool: an episode begins here
    terminated: Array  # bool: the last episode ended by termination just now
    born: Array  # bool: a trial begins, and nothing lies behind this step


class Belief(NamedTuple):
    """What an agent holds of its task: a Gaussian over a latent with independent components, leaves [N, D]."""

    mean: Array
    log_var: Array
    drawn: Any = None  # the latent that the agent acts on, where it draws one and keeps it


class Evidence(NamedTuple):
    """How well the beliefs held along a life explain it."""

    rewards: Array  # scalar, mean over beliefs: log-likelihood of all rewards of the trial, up to a constant
    states: Array  # the same of all states that were met; 0 where they are not foretold
    kl: Array  # scalar, mean over beliefs: nats, of a belief to the one before it
    surprise: Array  # [L, N]: minus the log-likelihood of each transition under the belief that it met


class Prediction(NamedTuple):
    """Of the return of an episode by each of P models in each of K chunks, [..., N, P, K], in units of the family's rewards."""

    mean: Array
    doubt: Array  # standard deviation that more training would settle
    noise: Array  # standard deviation of a return around its mean: what training would not settle


class Choice(NamedTuple):
    """Which of several inner models acts, and why."""

    prediction: Prediction
    member: Array  # int32 [N]; -1 while none of them does


class Decision(NamedTuple):
    """A pure read-out of fast weights and an observation."""

    dist: Dist
    value: Array  # [N], the critic's output, in units that the outer chooses; zeros where there is no critic
    extras: Any = None  # what else the outer or a report wants to see: a Belief or a Choice, say


class Chunk(NamedTuple):
    """Experience between two calls of `learn`; leaves [T, N, ...]."""

    step: Step
    action: Any
    dist: Any  # the recorded distribution: the KL needs it
    log_prob: Array  # of `action` under `dist`
    value: Array  # the recorded critic, so that advantages need no second pass
    reward: Array
    terminated: Array
    truncated: Array  # both ends can be true at once
    next_obs: Any  # before any reset
    mask: Array  # bool: rows that are transitions


class Cursor(NamedTuple):
    """From where a life goes on."""

    fast: Any
    world: Any
    step: Step
    episode: Array  # int32 [N]: episodes that have ended in the trial under way


class Transitions(NamedTuple):
    """What became of actions, out of their order; leaves [...]. Rewards are raw."""

    obs: Any
    action: Any
    reward: Array
    arrived: Any  # the observation that the action led to, before any reset
    terminated: Array
    told: Any = None  # [..., M], what the environment said beside (`Lifetime.told`); for reports only


class Lifetime(NamedTuple):
    """All of one agent's experience in one task; chunks [K, T, N, ...]."""

    chunks: Chunk
    last: Step  # the step after the last row: the bootstrap's input
    key: Array  # what `begin` and `learn` drew from
    start: Any  # Fast at the first row; always present
    fresh: Array  # bool: the life began here, so replay takes `begin(meta)` and its gradient instead of `start`
    task: Task  # for outers and reports only: no inner ever sees it
    told: Any = None  # [K, T, N, M], numbers that a host family asked of `info` (`Family.told`); for reports only


class Inner(eqx.Module, Generic[Meta, Fast]):
    """How an agent adapts to one task.

    Meta and Fast are any pytrees. All methods are unbatched over tasks, pure and jittable; arrays have a leading stream
    axis N. An inner never receives the task.
    """

    plan: eqx.AbstractVar[Plan]
    spaces: eqx.AbstractVar[Spaces]

    @abstractmethod
    def init(self, key: Array) -> Meta:
        """Fresh meta-parameters."""

    @abstractmethod
    def begin(self, meta: Meta, key: Array) -> Fast:
        """The agent on entering a new task, before any experience."""

    def observe(self, meta: Meta, fast: Fast, step: Step) -> Fast:
        """Every environment step: take in `step` (leaves [N, ...]). Default: unchanged."""
        return fast

    @abstractmethod
    def decide(self, meta: Meta, fast: Fast, obs: Any) -> Decision:
        """Read out the policy at `obs` [..., N, *obs]; broadcasts over leading axes and changes nothing."""

    def learn(self, meta: Meta, fast: Fast, chunk: Chunk, key: Array) -> Fast:
        """After every chunk; must honour `chunk.mask`. Default: unchanged."""
        return fast

    def unroll(self, meta: Meta, fast: Fast, steps: Step) -> tuple[Fast, Decision]:
        """`observe` and `decide` along `steps` [T, N, ...]; overridden for speed only, within tolerance of the scan."""

        def one(fast: Fast, step: Step) -> tuple[Fast, Decision]:
            fast = self.observe(meta, fast, step)
            return fast, self.decide(meta, fast, step.obs)

        return jax.lax.scan(one, fast, steps)

    def with_plan(self, plan: Plan) -> "Inner[Meta, Fast]":
        """The same inner living another plan (evaluation lives longer than training)."""
        return replace(self, plan=plan)

    def adapted(self, meta: Meta, fast: Fast) -> Meta | None:
        """`meta` with what `learn` made of it in its place: what an outer may move towards. Default: None, `learn` moves no
        part of meta (a memory)."""
        return None

    def evidence(self, meta: Meta, life: Lifetime, key: Array, *, terms: int = 0, decodes: int = 0) -> Evidence | None:
        """What beliefs are trained by, differentiable in `meta`; of a life that began here. `terms`, `decodes`: estimate it
        from so many beliefs and transitions; 0: all. Default: None, the inner holds no belief."""
        return None

    def foresee(self, meta: Meta, belief: Belief, arrived: Any) -> Array | None:
        """The reward expected under a belief (leaves [D]) on arriving at each of the observations `arrived` [M, *obs]; [M].
        Default: None, the inner foretells no rewards."""
        return None

    def inferred(self, meta: Meta, context: Transitions, mask: Array, key: Array) -> tuple[Fast, Normal] | None:
        """The agent that has just drawn a latent, knowing the transitions `context` [N, C, ...] where `mask` [N, C], and the
        belief [N, Z] that it drew from. Differentiable in meta. Default: None, nothing is inferred from sets."""
        return None

    def cost(self, fast: Fast) -> Array | None:
        """What an agent has done since it was born that training holds against it, summed over its calls of `learn` and
        weighed; a scalar, differentiable through `replay`. Default: None, nothing."""
        return None

    def readings(self, meta: Meta) -> dict[str, Array]:
        """Numbers among the meta-parameters that mean something by themselves, for the log; scalars. Default: none."""
        return {}

    @property
    def population(self) -> int:
        """How many inner models it chooses among. Default: 0, it is one."""
        return 0

    def alone(self, meta: Meta, member: int) -> "tuple[Inner[Any, Any], Any]":
        """Of a population: this member by itself, and its meta-parameters. Default: the inner itself."""
        return self, meta

    def rivals(self) -> "dict[str, Inner[Any, Any]]":
        """Other uses of the same meta-parameters, for comparison: baselines of its reports. Default: none."""
        return {}

    def check(self) -> None:
        """ValueError, naming what is accepted, where a setting is not. Called before anything compiles."""

    @property
    def sighted(self) -> bool:
        """Whether its nets can encode images by convolutions. Default: False, and recipes refuse observations with images."""
        return False

    def absorb(self, meta: Meta, lives: Lifetime) -> Meta:
        """Statistics of a batch of lives [B, ...] that meta carries without a gradient (normalisers). Outers call it
        last in `update`. Default: unchanged."""
        return meta


class Outer(eqx.Module, Generic[Meta, S]):
    """How meta-parameters improve. S carries meta, optimiser and all else that must survive a restart."""

    @abstractmethod
    def init(self, inner: Inner[Any, Any], meta: Meta, tasks: "TaskDistribution", example: Lifetime, key: Array) -> S:
        """First state. `example` is the shape of a batch of lives (jax.ShapeDtypeStruct leaves), to allocate memory."""

    def propose(self, state: S, tasks: Task, key: Array) -> tuple[Any, Task]:
        """The metas and tasks of the next batch. Default: one meta, unbatched, and the tasks as sampled. Evolution
        returns a population, curricula choose tasks, persistent agents keep theirs."""
        return self.meta(state), tasks

    def lives(self, inner: Inner[Any, Any]) -> int:
        """Lives that `propose` returns for each task it is given. Default: 1."""
        return 1

    def each(self, inner: Inner[Any, Any]) -> Any:
        """Which leaves of the meta that `propose` returns are one for each task, as vmap's `in_axes` says it: 0 (all; a
        population), or a tree with 0 for these and None for the shared ones. Default: None, one meta for all."""
        return None

    def keys(self, key: Array, count: int) -> Array:
        """The random numbers of `count` lives: a key for each, which lives that are compared may share. Default: `key`, which
        worlds split."""
        return key

    def goes_on(self, state: S) -> tuple[Cursor, Array] | None:
        """Where the lives of the next batch go on, leaves [B, ...], and which of them begin anew, bool [B]. Default: None, all
        of them begin anew. Lives that go on are lived to the end of their last chunk, and `learn` from it."""
        return None

    def lived(self, state: S, end: Cursor) -> S:
        """Where the lives ended that `state` has been updated on. Default: unchanged."""
        return state

    @property
    def offline(self) -> str:
        """Whether it may learn from recorded histories in place of lives: "never" (default; it compares with the
        distribution that acted), "possible", or "only"."""
        return "never"

    def actor(self, inner: Inner[Any, Any]) -> Inner[Any, Any]:
        """Who lives in training, given what `propose` returns as its meta: the data of supervised and off-policy methods
        need not come from the learner. In evaluation `inner` always lives. Default: `inner` itself."""
        return inner

    def planned(self, updates: int, meta_batch: int) -> "Outer[Meta, S]":
        """The same outer knowing how many updates are to come, for schedules; ValueError where it cannot work with such
        batches. Default: unchanged."""
        return self

    def check(self, inner: Inner[Any, Any]) -> None:
        """ValueError where a setting is not accepted, or where the objective makes no sense with `inner`. Called before
        anything compiles. Default: all is well."""

    @abstractmethod
    def update(self, inner: Inner[Any, Any], state: S, lives: Lifetime, key: Array) -> tuple[S, Metrics]:
        """Improve on a batch of lives [B, ...]. Metrics are scalars; `masked` is the fraction of tasks whose gradient
        was not finite and did not count."""

    @abstractmethod
    def meta(self, state: S) -> Meta:
        """The meta-parameters in `state`."""


class TaskDistribution(Protocol):
    """What varies. Families are immutable; `split` gives a view of the same family with other tasks."""

    name: str
    spaces: Spaces
    size: int  # number of tasks; -1 where unbounded
    horizon: int  # steps in one episode at most
    episodes: int  # episodes in a trial, by the family's definition
    unit: str  # of experience: "step" or "episode"
    on_device: bool  # True: DeviceEnv below; False: HostTasks

    def sample(self, key: Array, n: int) -> Task:
        """n tasks, leaves [n, ...]; distinct indices where the family is finite and n ≤ size."""
        ...

    def split(self, name: str) -> "TaskDistribution":
        """ "train", "validation" or "test": disjoint ids or separate key streams; the same tasks for tiny families."""
        ...


class DeviceEnv(Protocol):
    """Unbatched, pure and jittable."""

    def reset(self, task: Task, key: Array) -> tuple[Any, Any]:
        """state, obs"""
        ...

    def step(self, task: Task, state: Any, action: Any, key: Array) -> tuple[Any, Any, Array, Array, Array]:
        """state, obs, reward, terminated, truncated"""
        ...


class HostTasks(Protocol):
    """A family whose tasks are Gymnasium environments."""

    def make(self) -> Any:
        """One gymnasium.Env, of any task."""
        ...

    def assign(self, env: Any, params: Any) -> None:
        """Put a task (numpy params of one task) into an environment, before its next reset."""
        ...


class World(Protocol):
    """Where lives are lived; the same life from a device family or any Gymnasium environment."""

    jittable: bool

    def live(
        self, inner: Inner[Any, Any], meta: Any, tasks: Task, key: Array, cursor: Any = None, fresh: Any = True, **options: Any
    ) -> tuple[Lifetime, Cursor]:
        """One life in each of the tasks [B]; `key`: one, to be split, or [B]."""
        ...

    def close(self) -> None: ...
