"""An agent in use: it is told what it sees and earns, one step at a time, and adapts as its method does.

Not a world: nothing here steps an environment, so the same object serves a loop of one's own, a server and a live system.

    agent = innerloop.load("zoo:rl2-grid-navi")
    agent.begin(seed=0)                                     # a new task: nothing is known of it
    action = agent.act(obs)
    obs, reward, terminated, truncated, info = env.step(action)
    agent.reward(reward, terminated, truncated, obs=obs)    # `obs`: what the action led to, before any reset
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Chunk, Decision, Inner, Step, birth
from innerloop.core.spaces import zeros
from innerloop.deploy.door import Door
from innerloop.deploy.glass import Glass
from innerloop.deploy.solitude import alone, chunk_shape, learns, spare
from innerloop.worlds.policy import Policy, policy_of

AT_END = ("continue", "restart", "error")
WAITING, ACTING, OWED = range(3)  # for an observation; for what the action earned; for what it led to, the reward being known


class Counts(NamedTuple):
    """How far an agent has come, int64 scalars."""

    segment: Any = 0  # lives of the plan's length behind it in this task
    chunk: Any = 0  # in the segment
    row: Any = 0  # in the chunk
    steps: Any = 0  # in the task
    episodes: Any = 0  # that have ended in the task
    trial: Any = 0  # that have ended in the trial under way
    elapsed: Any = 0  # steps in the episode under way
    learned: Any = 0  # times `learn` was called in the task


class Question(NamedTuple):
    """What is put to a policy; leaves [1, ...]."""

    fast: Any
    step: Step
    key: Any  # data of a random key


class Agent:
    """One agent in one environment. Make it by `innerloop.load` or `Agent.restore`.

    What it carries between calls is that of one life (`core.live`) of one stream: the fast state, the step before the next
    action, and where its method learns from chunks, the chunk under way. The meta-parameters never change.
    """

    def __init__(self, inner: Inner[Any, Any], meta: Any, *, horizon: int | None = None, card: dict[str, Any] | None = None):
        """
        Args:
            inner: with the plan of a life in evaluation, of any number of streams; see `solitude.alone`.
            horizon: steps in an episode at most, where that is not the plan's; of methods that compare whole episodes.
            card: JSON, of where it comes from; kept by `save`.
        """
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon is {horizon}; accepted: the most steps that an episode may take, at least 1.")
        self.inner, self.longest = alone(inner, meta, horizon)
        self.meta, self.card, self.horizon = meta, dict(card or {}), horizon
        self.spaces, self.plan = self.inner.spaces, self.inner.plan
        self.learns = learns(self.inner, meta)
        self.door, self._glass = Door(self.spaces), Glass(self.inner)
        self.chunk = chunk_shape(self.inner, meta) if self.learns else None  # its shapes
        self._policies: dict[tuple[bool, str], Policy] = {}
        self._stage = -1  # before `begin`
        self._impl = str(jax.random.key_impl(jax.random.key(0)))

    # -- a life, step by step -----------------------------------------------------------------------------------------------

    def begin(self, seed: int | Array = 0, *, at_end: str = "continue") -> Self:
        """Enter a new task, with nothing remembered and nothing learned.

        Args:
            seed: of all that the agent draws; or a JAX random key, from which it draws what `core.live` would.
            at_end: when the trial is as long as the method was made for: "continue" goes on with all that was learned and
                remembered; "restart" begins another trial in the same task; "error" refuses to act. See `trial_over`.
        """
        if at_end not in AT_END:
            raise ValueError(f"at_end is {at_end!r}; accepted: {', '.join(AT_END)}.")
        if isinstance(seed, (int, np.integer)) and seed < 0:
            raise ValueError(f"seed is {seed}; accepted: a whole number from 0, or a JAX random key.")
        key = jax.random.key(int(seed)) if isinstance(seed, (int, np.integer)) else seed
        self.key = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
        self.at_end, self.counts, self._over = at_end, Counts(), False
        self._enter()
        return self

    def act(self, obs: Any, deterministic: bool = False) -> Any:
        """The next action, of the run's action space: an int, or float32 [*shape] within its bounds.

        Args:
            obs: of the run's observation space: what the last action led to, or after an end (and first of all) what `reset`
                returned.
            deterministic: act by the mode of the policy; what is learned from is better sampled.

        Raises:
            ValueError: an observation that is not of the space, or not the one that the last action led to.
            RuntimeError: out of turn, or the trial is over and was to be no longer.
        """
        question = self.ask(obs)
        chosen = self.policy(not deterministic).act(self.meta, *question)
        return self.answer(question, chosen, bool(deterministic))

    def ask(self, obs: Any) -> Question:
        """What `act` would put to the policy, for whoever asks it for many agents at once (`deploy/together.py`); follow it by
        `answer`. Raises what `act` does."""
        self._in_turn("act", WAITING, OWED)
        seen = self.door.observed(obs, "act")
        if self._stage == OWED:
            self._settle(seen)
        if self._over and self.at_end == "error":
            raise RuntimeError("act(): the trial is over (at_end='error'); begin() anew, or begin(at_end='continue').")
        if not self._step.first[0, 0] and not self._same(seen, self._step.arrived):
            raise ValueError(
                "act(): this is not the observation that the last action led to, and its episode has not ended. Where you "
                "reset the environment, say so first: reward(…, truncated=True, obs=what the action led to)."
            )
        return self._question(seen)

    def answer(self, question: Question, chosen: tuple[Any, ...], deterministic: bool) -> Any:
        """The action, from what the policy chose: what `Policy.act` returns, leaves [1, ...]."""
        fast, action, *rest = chosen
        action = np.asarray(action)
        if not np.isfinite(action).all():
            raise FloatingPointError(
                f"act(): the policy answered {action[0, 0]!r:.60}; what it adapted to has taken it apart. Go back to a saved "
                "state (Agent.restore), or begin() anew."
            )
        self._entry, self._fast = (question.fast, question.step), fast
        self._taken, self._deterministic, self._stage = (action, *rest), deterministic, ACTING
        return self.door.actions(action[0])[0]

    def reward(self, reward: float, terminated: bool, truncated: bool, obs: Any = None) -> None:
        """What the last action earned; the agent learns here where its method learns from chunks.

        Args:
            reward: as the environment gave it.
            terminated: the episode ended, and nothing of value could follow. truncated: it was cut; both are never merged.
            obs: the observation that the action led to, before any reset: what `step` returned. May be left out within an
                episode, where the next `act` is told the same.

        Raises:
            ValueError: not one finite number, no bools, or an observation that is not of the space, or missing at an end.
            RuntimeError: out of turn.
        """
        self._in_turn("reward", ACTING)
        paid, ends = self.door.paid(reward, terminated, truncated)
        if obs is None and any(ends):
            raise ValueError(
                "reward(): the episode ended; give obs=, the observation that the action led to (what step() returned, not "
                "what reset() did)."
            )
        arrived = None if obs is None else self.door.observed(obs, "reward")
        if self.longest and not any(ends) and self.counts.elapsed + 1 >= self.longest:
            raise ValueError(
                f"reward(): this episode has not ended after {self.longest} steps, the most that the agent expects. Cut it "
                "(truncated=True), or load the agent with horizon= the steps that it may take."
            )
        self._paid, self._ends, self._stage = paid, ends, OWED
        if arrived is not None:
            self._settle(arrived)

    @property
    def trial_over(self) -> bool:
        """Whether the trial has been as long as the method was made for."""
        return self._over

    # -- the adapted policy, as it stands -----------------------------------------------------------------------------------

    def decide(self, obs: Any, episode_start: bool | None = None) -> Decision:
        """The policy at an observation, with the critic's value and what its method adds in `extras` (a Belief, a Choice): what
        `act` would draw from, did it come now. Nothing changes. Leaves without a stream axis.

        `episode_start`: whether the observation begins an episode; None: as things stand.
        """
        return self._glass.decide(self, obs, episode_start)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        *,
        reward: Any = None,
    ) -> tuple[Any, Any]:
        """The adapted policy, frozen, in the manner of Stable-Baselines3: nothing is learned, and nothing of the agent changes.

        What a memory takes in is in `state` alone, and lasts for an episode: where one begins, the memory is again what
        adaptation made of it. A memory that tells by its rewards where it stands (RL²'s does) needs `reward` to act well for
        more than a step; policies that keep a belief, or weights, do not.

        Args:
            observation: one, or a batch of them with a leading axis on every array.
            state: None at an episode's begin, then what the last call returned.
            episode_start: bool, or [batch]: whether the observation begins an episode; None: it does where there is no state.
            reward: what the last action earned, one number or [batch]; None: 0.

        Returns:
            action, or actions with a leading axis; and the next state.
        """
        return self._glass.predict(self, observation, state, episode_start, deterministic, reward)

    # -- a restart ----------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the agent as it stands, meta-parameters included, to the folder `path`; see `deploy/folder.py`."""
        from innerloop.deploy.folder import save

        return save(self, path)

    @classmethod
    def restore(cls, path: str | Path) -> Agent:
        """The agent of a folder that `save` wrote: it goes on as if it had never stopped, bit for bit."""
        from innerloop.deploy.folder import restore

        return restore(path)

    def copy(self) -> Agent:
        """Another agent in the same state; what becomes of one does not touch the other."""
        twin = copy.copy(self)
        if self.learns and self._stage >= 0:
            twin._rows = jax.tree.map(np.copy, self._rows)
        return twin

    def entered(self, verb: str) -> None:
        """RuntimeError before `begin`."""
        if self._stage < 0:
            raise RuntimeError(f"{verb}(): the agent has not entered a task; call begin() first.")

    def entry(self, seen: Any) -> tuple[Any, Step]:
        """The fast state and the step from which the next `act` goes on, or from which the last one did while its action is not
        paid; `seen`: the next observation, leaves [1, 1, ...]."""
        return (self._fast, self._following(seen)) if self._stage == OWED else self._entry

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the agent carries, as (arrays, JSON); RuntimeError before `begin`."""
        self.entered("save")
        fast, step = self._entry
        counts = Counts(*(np.asarray(x, np.int64) for x in self.counts))
        paid = np.asarray(self._paid if self._stage == OWED else 0.0, np.float64)
        arrays = {"fast": fast, "step": jax.tree.map(np.asarray, step), "rows": self._rows, "key": self.key}
        arrays |= {"counts": counts, "paid": paid}
        told = {"stage": self._stage, "over": self._over, "at_end": self.at_end, "impl": str(jax.random.key_impl(self.key))}
        return arrays, told | {"deterministic": self._stage > WAITING and self._deterministic}

    def resume(self, arrays: dict[str, Any], told: dict[str, Any]) -> Self:
        """Take up what `state` gave, with "meta" among the arrays."""
        self.meta, self.key, self._rows = arrays["meta"], arrays["key"], arrays["rows"]
        self.counts, self.at_end = Counts(*(int(x) for x in arrays["counts"])), told["at_end"]
        self._fast, self._step = self._entry = arrays["fast"], arrays["step"]
        self._open()
        self._stage, self._over = WAITING, bool(told["over"])
        if told["stage"] > WAITING:  # the same step again: the same bits
            question = self._question(self._step.obs)
            chosen = self.policy(not told["deterministic"]).act(self.meta, *question)
            self.answer(question, chosen, bool(told["deterministic"]))
        if told["stage"] == OWED:
            self._paid, self._ends, self._stage = float(arrays["paid"]), (False, False), OWED
        return self

    # -- inside -------------------------------------------------------------------------------------------------------------

    def _in_turn(self, verb: str, *stages: int) -> None:
        self.entered(verb)
        if self._stage not in stages:
            acting = "say what the last action earned first: reward(…)"
            raise RuntimeError(f"{verb}(): {acting if verb == 'act' else 'there is no action to be paid; act first'}.")

    def policy(self, stochastic: bool) -> Policy:
        """The jitted functions behind `act`: which draw, or take the mode."""
        name = stochastic, self._impl
        if name not in self._policies:
            try:
                self._policies[name] = policy_of(self.inner, None, *name)
            except TypeError:  # not hashable: an inner with arrays among its fields
                self._policies[name] = Policy(self.inner, None, *name)
        return self._policies[name]

    def _enter(self) -> None:
        """Begin a life in the segment that the counts say."""
        first = birth(self.spaces, jax.tree.map(np.asarray, zeros(self.spaces.obs, (1,))), 1)
        self._step = jax.tree.map(lambda x: np.asarray(x)[None], first)
        self._open(fresh=True)
        self._stage = WAITING

    def _open(self, fresh: bool = False) -> None:
        """The random numbers of a segment: the first draws from the agent's own key, as `core.live` would."""
        self._impl = str(jax.random.key_impl(self.key))
        segment = int(self.counts.segment)
        key = self.key if segment == 0 else jax.random.fold_in(self.key, segment)
        policy = self.policy(True)
        _, self._learn_keys, key_begin, keys, _ = policy.keys(key[None])
        self._keys = np.asarray(keys)[0]  # [K, T, 2]
        if fresh:
            self._fast = policy.begin(self.meta, key_begin)
            self._entry = self._fast, self._step
            self._rows = spare(self.chunk) if self.chunk is not None else ()

    def _question(self, seen: Any) -> Question:
        step = self._step._replace(obs=seen)
        if step.born[0, 0]:
            step = step._replace(arrived=seen)
        return Question(self._fast, step, self._keys[int(self.counts.chunk), int(self.counts.row)][None])

    def _following(self, arrived: Any) -> Step:
        """The step after the action that was paid."""
        reward, terminated, truncated = (np.array([[x]]) for x in (np.float32(self._paid), *self._ends))
        return Step(arrived, self._taken[0], reward, arrived, terminated | truncated, terminated, np.zeros((1, 1), bool))

    def _settle(self, arrived: Any) -> None:
        """What the last action came to is known: record it, and learn where a chunk is full."""
        c, step, ended = self.counts, self._following(arrived), any(self._ends)
        if self.learns:
            self._write(int(c.row), step)
        c = c._replace(row=c.row + 1, steps=c.steps + 1, episodes=c.episodes + ended, trial=c.trial + ended)
        c = c._replace(elapsed=0 if ended else c.elapsed + 1)
        self._step, self._stage = step, WAITING
        left = self.plan.steps - c.row
        if left == 0 or self.longest and ended and left < self.longest:
            if self.learns:
                rows = jax.tree.map(lambda x: jnp.asarray(x)[None], self._rows)
                key = self._learn_keys[:, int(c.chunk)]
                self._fast = self.policy(True).learn(self.meta, self._fast, rows, key)
                self._rows = spare(self.chunk)  # pyright: ignore[reportArgumentType]  # there is a shape where it learns
            c = c._replace(chunk=c.chunk + 1, row=0, learned=c.learned + self.learns)
        whole = c.chunk == self.plan.chunks
        c = c._replace(segment=c.segment + 1, chunk=0) if whole else c
        self.counts = c
        over = ended and c.trial >= self.plan.episodes if self.plan.episodes else whole
        self._over = self._over or bool(over)
        self._entry = self._fast, self._step
        if whole or over:
            self._end(whole, bool(over))

    def _end(self, whole: bool, over: bool) -> None:
        anew = over and self.at_end == "restart"
        if anew:
            self.counts, self._over = self.counts._replace(trial=0), False
        if anew and not self.plan.episodes:  # the trial was the whole life: another one
            return self._enter()
        if whole:
            self._open()
        if anew:  # as a trial ends within a life: nothing lies behind the next step
            blank = birth(self.spaces, jax.tree.map(lambda x: x[0], self._step.obs), 1)
            self._step = jax.tree.map(lambda x: np.asarray(x)[None], blank)
            self._entry = self._fast, self._step

    def _write(self, row: int, step: Step) -> None:
        before, (action, dist, log_prob, value) = self._entry[1], self._taken
        terminated, truncated = (np.array([[x]]) for x in self._ends)
        made = Chunk(
            before, action, dist, log_prob, value, step.reward, terminated, truncated, step.arrived, np.ones((1, 1), bool)
        )
        for buffer, x in zip(jax.tree.leaves(self._rows), jax.tree.leaves(made), strict=True):
            buffer[row] = x[0]

    def _same(self, seen: Any, other: Any) -> bool:
        return all(map(np.array_equal, jax.tree.leaves(seen), jax.tree.leaves(other)))
