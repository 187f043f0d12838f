"""The probes' optima, by exact search through their own dynamics."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks import ProbeAcross, ProbeAlike, ProbeCost, ProbeObservation, ProbeReward

KEY = jax.random.key(0)
CERTAIN = [ProbeReward(), ProbeObservation(), ProbeCost(), ProbeAcross()]


def search(env, among, across=True):
    """Expected return of one trial: the largest over policies of the history, or the mean over uniform actions.

    `among` is max or mean. Exact for certain dynamics: a belief is a set of (task, state). With `across` False the belief
    is forgotten wherever an episode ends.
    """
    step, reset = jax.jit(env.step), jax.jit(env.reset)

    @cache
    def begun(task):
        state, obs = reset(Task(jnp.int32(task), jnp.int32(task)), KEY)
        return tuple(np.asarray(x).item() for x in jax.tree.leaves(state)), np.asarray(obs).tobytes()

    treedef = jax.tree.structure(reset(Task(jnp.int32(0), jnp.int32(0)), KEY)[0])
    dtypes = [x.dtype for x in jax.tree.leaves(reset(Task(jnp.int32(0), jnp.int32(0)), KEY)[0])]

    @cache
    def outcome(task, state, action):
        state = jax.tree.unflatten(treedef, [jnp.asarray(x, dtype) for x, dtype in zip(state, dtypes, strict=True)])
        state, obs, reward, terminated, truncated = step(Task(jnp.int32(task), jnp.int32(task)), state, jnp.int32(action), KEY)
        seen = (np.asarray(obs).tobytes(), float(reward), bool(terminated), bool(truncated))
        return tuple(np.asarray(x).item() for x in jax.tree.leaves(state)), seen

    def begin(tasks, episodes):
        groups = {}
        for task in tasks:
            groups.setdefault(begun(task)[1], []).append((task, begun(task)[0]))
        return sum(len(g) / len(tasks) * value(frozenset(g), episodes) for g in groups.values())

    @cache
    def value(belief, episodes):
        totals = []
        for action in range(env.spaces.action.n):
            groups = {}
            for task, state in belief:
                after, seen = outcome(task, state, action)
                groups.setdefault(seen, []).append((task, after))
            total = 0.0
            for (_, reward, terminated, truncated), group in groups.items():
                ahead = 0.0
                if not (terminated or truncated):
                    ahead = value(frozenset(group), episodes)
                elif episodes > 1:
                    ahead = begin(sorted(t for t, _ in group) if across else range(env.size), episodes - 1)
                total += len(group) / len(belief) * (reward + ahead)
            totals.append(total)
        return among(totals)

    return begin(range(env.size), env.episodes)


@pytest.mark.parametrize("env", CERTAIN, ids=lambda env: env.name)
def test_optimum_is_the_best_of_all_policies(env):
    np.testing.assert_allclose(search(env, max), env.optimum, rtol=1e-6)


@pytest.mark.parametrize(("env", "uniform"), list(zip(CERTAIN, [5.0, 0.25, 0.8 / 3, 2.0], strict=True)))
def test_uniform_play_is_far_below(env, uniform):
    np.testing.assert_allclose(search(env, np.mean), uniform, rtol=1e-6)


def test_across_asks_for_memory_between_episodes_and_only_for_that():
    np.testing.assert_allclose(search(ProbeAcross(), max, across=False), 2.0)


def test_cost_is_worth_paying_because_guessing_is_worse():
    class Dear(ProbeCost):
        cost = 0.8

    np.testing.assert_allclose(search(Dear(), max), 0.5)
    np.testing.assert_allclose(Dear().optimum, 0.5)


@pytest.mark.parametrize("env", CERTAIN, ids=lambda env: env.name)
def test_best_is_what_knowing_the_task_earns(env):
    # One unit of experience with the arm known from its first step.
    arm = jnp.arange(env.size)
    tasks = Task(arm, arm)
    action = arm + (1 if env.name == "probe-cost" else 0)
    state, _ = jax.vmap(env.reset)(tasks, jax.random.split(KEY, env.size))
    total = 0.0
    for _ in range(env.horizon if env.unit == "episode" else 1):
        state, _, reward, terminated, _ = jax.vmap(env.step)(tasks, state, action, jax.random.split(KEY, env.size))
        total += reward
    np.testing.assert_allclose(total, env.best(tasks))
    assert jnp.all(terminated) == (env.unit == "episode")


def test_alike_pays_by_chance_and_never_varies():
    env = ProbeAlike()
    tasks = env.split("test").sample(KEY, 5)
    assert tasks.index.tolist() == [0] * 5
    task, keys = Task(jnp.int32(0), jnp.int32(0)), jax.random.split(KEY, 8000)
    for arm, chance in enumerate([0.75, 0.25]):
        pays = jax.vmap(lambda key, arm=arm: env.step(task, jnp.int32(0), jnp.int32(arm), key)[2])(keys)
        np.testing.assert_allclose(np.mean(pays), chance, atol=0.02)
    assert env.optimum == env.horizon * float(env.best(tasks)[0])
