"""A trial's end, an episode's end and a truncation are three things: in lives, in memories, and in advantages."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import registry
from innerloop.core import Box, Discrete, Plan, Spaces, Task, birth, per_task, replay
from innerloop.inner.recurrent import Recurrent
from innerloop.nets.memory import MEMORIES
from innerloop.outer.ppo import PPO
from innerloop.run.config import ConfigError
from innerloop.tasks.family import Family
from innerloop.worlds import DeviceWorld


@dataclass(frozen=True)
class Dice(Family):
    """Episodes that end at random places, by termination or by truncation; observation and reward are noise."""

    name: ClassVar[str] = "dice"
    spaces: ClassVar[Spaces] = Spaces(Box((2,), -1.0, 1.0), Discrete(3))
    horizon: ClassVar[int] = 9
    episodes: ClassVar[int] = 3

    def sample(self, key, n):
        return Task(jnp.full(n, -1, jnp.int32), jnp.zeros(n))

    def reset(self, task, key):
        return jnp.zeros((), jnp.int32), jax.random.uniform(key, (2,), minval=-1.0)

    def step(self, task, state, action, key):
        obs = jax.random.uniform(key, (2,), minval=-1.0)
        return state + 1, obs, obs[0], obs[1] > 0.5, state + 1 >= self.horizon


FAMILY = Dice()
PLAN = Plan(chunks=2, steps=40, streams=2, episodes=3)
TASKS = 4


def lived(inner):
    world = DeviceWorld(FAMILY)

    @jax.jit
    def make(key):
        meta = inner.init(key)
        return meta, *world.live(inner, meta, FAMILY.sample(key, TASKS), key)

    return make(jax.random.key(0))


def flat(x):
    """[B, K, T, N] → [B, N, L]"""
    return np.moveaxis(np.asarray(x).reshape(TASKS, -1, PLAN.streams), 1, 2)


@pytest.fixture(scope="module")
def life():
    return lived(Recurrent(PLAN, FAMILY.spaces, width=8))


def test_a_trial_ends_with_its_last_episode(life):
    _, lives, cursor = life
    step, chunks = lives.chunks.step, lives.chunks
    ended, born, first = flat(chunks.terminated | chunks.truncated), flat(step.born), flat(step.first)
    action, reward = flat(step.action), flat(step.reward)
    assert born.sum() > TASKS * PLAN.streams  # more than the births
    for b in range(TASKS):
        for n in range(PLAN.streams):
            count = 0
            for t in range(1, born.shape[-1]):
                count += ended[b, n, t - 1]
                assert first[b, n, t] == ended[b, n, t - 1]
                assert born[b, n, t] == (ended[b, n, t - 1] and count == PLAN.episodes)
                count = 0 if born[b, n, t] else count
                if born[b, n, t]:
                    assert action[b, n, t] == 0 and reward[b, n, t] == 0 and not flat(step.terminated)[b, n, t]
                    np.testing.assert_array_equal(
                        np.asarray(step.arrived).reshape(TASKS, -1, PLAN.streams, 2)[b, t, n],
                        np.asarray(step.obs).reshape(TASKS, -1, PLAN.streams, 2)[b, t, n],
                    )
            at_end = 0 if lives.last.born[b, n] else count + ended[b, n, -1]
            assert cursor.episode[b, n] == at_end


CASES = [(memory, {"segment": 0 if memory == "gru" else 17}) for memory in MEMORIES]
CASES += [("gru", {"segment": 16, "truncate": True}), ("transformer", {"context": 5})]
CASES += [("gdn", {"segment": 17, "transition": True, "embed": 6})]


@pytest.mark.parametrize(("memory", "options"), CASES, ids=str)
def test_recomputed_log_probabilities_are_the_recorded_ones(memory, options):
    """With trials that end at random places: what acted and what is trained are the same function of the same experience."""
    inner = Recurrent(PLAN, FAMILY.spaces, memory=memory, width=8, heads=2, **options)
    inner.check()
    meta, lives, _ = lived(inner)
    decisions, _, _ = jax.jit(lambda: per_task(lambda one: replay(inner, meta, one), lives))()
    again = decisions.dist.log_prob(lives.chunks.action)
    np.testing.assert_allclose(again, lives.chunks.log_prob, atol=1e-5)
    np.testing.assert_allclose(decisions.value, lives.chunks.value, atol=1e-5)


def test_what_lies_before_a_trial_does_not_count(life):
    """The first decision of every trial is that of a new agent at the same observation."""
    inner = Recurrent(PLAN, FAMILY.spaces, width=8)
    meta, lives, _ = life
    step = lives.chunks.step
    obs, born = np.asarray(step.obs).reshape(-1, 2), np.asarray(step.born).reshape(-1)
    one = inner.with_plan(PLAN._replace(streams=int(born.sum())))
    fast = one.observe(meta, one.begin(meta, jax.random.key(0)), birth(FAMILY.spaces, jnp.asarray(obs[born]), int(born.sum())))
    expected = one.decide(meta, fast, None).dist.logits
    recorded = np.asarray(lives.chunks.dist.logits).reshape(-1, 3)[born]
    np.testing.assert_allclose(recorded, expected, atol=1e-5)


def test_advantages_stop_at_a_trials_end_and_run_across_its_episodes(life):
    inner = Recurrent(PLAN, FAMILY.spaces, width=8)
    meta, lives, _ = life
    outer = PPO(discount=0.9, gae_lambda=0.8)
    state = outer.init(inner, meta, FAMILY, lives, jax.random.key(0))
    advantage, _, _ = outer.advantages(inner, state, lives)
    born = np.concatenate([flat(lives.chunks.step.born)[..., 1:], np.asarray(lives.last.born)[..., None]], -1)
    ahead = np.asarray(jax.vmap(lambda one: replay(inner, meta, one)[1])(lives))
    value, reward, got = flat(lives.chunks.value), flat(lives.chunks.reward), np.moveaxis(np.asarray(advantage), 1, 2)
    for b in range(TASKS):
        for n in range(PLAN.streams):
            a = 0.0
            for t in reversed(range(value.shape[-1])):
                after = ahead[b, n] if t + 1 == value.shape[-1] else value[b, n, t + 1]
                on = 0.0 if born[b, n, t] else 1.0
                a = reward[b, n, t] + 0.9 * on * after - value[b, n, t] + 0.9 * 0.8 * on * a
                assert got[b, n, t] == pytest.approx(a, abs=1e-4)


def test_restart_and_trials_exclude_each_other():
    recipe = registry.maker("rl2")(FAMILY, 10_000)
    with pytest.raises(ConfigError, match="restart"):
        replace(recipe, inner=recipe.inner.with_plan(PLAN._replace(restart=True))).settled()


def test_truncated_gradients_stay_within_their_segment():
    inner = Recurrent(Plan(1, 40, 1), FAMILY.spaces, width=8, segment=10)
    meta, lives, _ = lived(inner)

    def slope(inner):
        """d (last log-probability) / d (first observation)."""

        def last(obs):
            step = lives.chunks.step
            changed = step._replace(obs=step.obs.at[:, :, 0].add(obs))
            return jnp.sum(
                jax.vmap(lambda one: replay(inner, meta, one)[0].dist.log_prob(one.chunks.action)[0, -1])(
                    lives._replace(chunks=lives.chunks._replace(step=changed))
                )
            )

        return np.abs(jax.jit(jax.grad(last))(jnp.zeros(2))).max()

    assert slope(inner) > 0
    assert slope(inner) == pytest.approx(slope(replace(inner, segment=0)), rel=1e-3)
    assert slope(replace(inner, truncate=True)) == 0
