from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_host import same

from innerloop.core import Decision, Inner, Normal, Plan
from innerloop.tasks import cheetah
from innerloop.tasks.half_cheetah import HalfCheetahDir
from innerloop.tasks.shown import Shown
from innerloop.worlds import HostFaults, HostWorld, MujocoWorld, world_of


class Linear(Inner):
    """Remembers its last reward, and changes a little with every chunk."""

    plan: Plan
    family: object

    @property
    def spaces(self):
        return self.family.spaces

    def init(self, key):
        return 0.3 * jax.random.normal(key, (self.spaces.obs.width, self.spaces.action.width))

    def begin(self, meta, key):
        return jnp.zeros(self.plan.streams), meta

    def observe(self, meta, fast, step):
        return step.reward * ~step.first, fast[1]

    def decide(self, meta, fast, obs):
        mean = jnp.tanh(obs @ fast[1]) + 0.01 * fast[0][..., None]
        return Decision(Normal(mean, jnp.zeros_like(mean)), mean[..., 0])

    def learn(self, meta, fast, chunk, key):
        return fast[0], fast[1] + 0.01 * jnp.mean(chunk.reward * chunk.mask)


FAMILY = HalfCheetahDir(length=7)
TASKS = FAMILY.sample(jax.random.key(1), 3)


@pytest.mark.parametrize("restart", [False, True])
def test_native_lives_are_gymnasiums(restart):
    """Every leaf, bit for bit: states, rewards, ends, masks, and a second segment from the cursor."""
    inner = Linear(Plan(2, 10, 2, restart), FAMILY)
    meta = inner.init(jax.random.key(0))
    lives = []
    for world in (HostWorld(FAMILY, workers=0), MujocoWorld(FAMILY, workers=0), MujocoWorld(FAMILY, workers=2)):
        one, cursor = world.live(inner, meta, TASKS, jax.random.key(2), learn_last=True)
        two, _ = world.live(inner, meta, TASKS, jax.random.key(3), cursor, False, stochastic=False)
        lives.append((one, two))
        world.close()
        assert not world.faults
    for other in lives[1:]:
        same(lives[0], other, atol=1e-6, rtol=1e-6)
    truncated = np.asarray(lives[0][0].chunks.truncated)
    assert truncated.sum() == 2 * 3 * (4 if restart else 2) and not np.asarray(lives[0][0].chunks.terminated).any()


def test_fewer_tasks_than_before_and_batched_metas():
    inner = Linear(Plan(1, 4, 2), FAMILY)
    metas = jax.vmap(inner.init)(jax.random.split(jax.random.key(0), 3))
    used, key = MujocoWorld(FAMILY, workers=0), jax.random.key(2)
    used.live(inner, metas, TASKS, key, metas=0)
    pair = jax.tree.map(lambda x: x[:2], (metas, TASKS))
    same(used.live(inner, *pair, key, metas=0)[0], MujocoWorld(FAMILY).live(inner, *pair, key, metas=0)[0])


def test_shown_tasks_are_shown_natively():
    family = Shown(FAMILY)
    inner = Linear(Plan(1, 8, 2), family)
    meta = inner.init(jax.random.key(0))
    lives = [
        w.live(inner, meta, TASKS, jax.random.key(2))[0] for w in (world_of(family, workers=0), HostWorld(family, workers=0))
    ]
    same(*lives, atol=1e-6, rtol=1e-6)
    assert np.array_equal(lives[0].chunks.step.obs[:, 0, 0, 0, -1], TASKS.params)


@dataclass(frozen=True)
class Frail(cheetah.RllabCheetahDir):
    """Some episodes begin with a velocity that no simulation survives."""

    share: float = 0.0

    def start(self, rng):
        qpos, qvel = super().start(rng)
        return qpos, qvel + 1e11 * (rng.uniform() < self.share)


@dataclass(frozen=True)
class FrailDir(HalfCheetahDir):
    share: float = 0.0

    @property
    def native(self):
        return Frail(7, 1, share=self.share)


@pytest.mark.parametrize("gymnasium", [False, True])
def test_a_simulation_that_diverges_is_masked_and_counted(gymnasium, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    inner = Linear(Plan(1, 24, 6), FAMILY)
    meta = inner.init(jax.random.key(0))
    clean = MujocoWorld(FAMILY, workers=0).live(inner, meta, TASKS, jax.random.key(4), stochastic=False)[0]
    world = world_of(FrailDir(length=7, share=0.1), gymnasium=gymnasium, workers=0)
    life, _ = world.live(inner, meta, TASKS, jax.random.key(4), stochastic=False)
    mask = np.asarray(life.chunks.mask)
    assert world.faults and all("the simulation diverged" in f.reason for f in world.faults)
    assert world.ledger.discarded == (~mask).sum() == world.ledger.count > 0  # each at its first step
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(life.chunks))
    whole = mask.all((1, 2))  # slots that saw no fault live as if there were none
    assert whole.any() and not whole.all()
    for a, b in zip(jax.tree.leaves(clean.chunks.step.obs), jax.tree.leaves(life.chunks.step.obs), strict=True):
        np.testing.assert_allclose(np.moveaxis(a, 3, 1)[whole], np.moveaxis(b, 3, 1)[whole], atol=1e-6)


class Wild(Linear):
    """Its policy is no longer finite, after the first chunk, wherever its first action was above 0."""

    def learn(self, meta, fast, chunk, key):
        return fast[0], fast[1] + jnp.where(chunk.action[0, 0, 0] > 0, jnp.nan, 0.0)


@pytest.mark.parametrize("gymnasium", [False, True])
def test_a_policy_that_is_not_finite_is_no_fault_of_its_environment(gymnasium, tmp_path, monkeypatch):
    """Its rewards are NaN, as on the device, so that its task is masked or its evaluation incomplete; the others live on."""
    monkeypatch.chdir(tmp_path)
    inner = Wild(Plan(2, 6, 1, True), FAMILY)
    world = world_of(FAMILY, gymnasium=gymnasium, workers=0)
    tasks = FAMILY.sample(jax.random.key(1), 8)
    life, _ = world.live(inner, inner.init(jax.random.key(0)), tasks, jax.random.key(2), learn_last=False)
    wild = np.isnan(np.asarray(life.chunks.action)).any((1, 2, 3, 4))
    assert wild.any() and not wild.all() and not world.faults and np.asarray(life.chunks.mask).all()
    lost = np.isnan(np.asarray(life.chunks.reward))
    assert lost[wild, 1].all() and not lost[wild, 0].any() and not lost[~wild].any()
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def test_too_many_that_diverge_stop_the_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    inner = Linear(Plan(1, 24, 2), FAMILY)
    with pytest.raises(HostFaults, match="[0-9]+× the simulation diverged"):
        MujocoWorld(FrailDir(share=1.0), workers=0).live(inner, inner.init(jax.random.key(0)), TASKS, jax.random.key(4))


def test_a_world_is_chosen_by_the_family():
    assert type(world_of(FAMILY)) is MujocoWorld and type(world_of(FAMILY, gymnasium=True, step_deadline=1.0)) is HostWorld
    assert type(world_of(replace(FAMILY, skip=5), workers=0)) is MujocoWorld
    from walks import HostWalk

    assert type(world_of(HostWalk(), workers=0)) is HostWorld
    with pytest.raises(ValueError, match="line-walk cannot be stepped natively"):
        MujocoWorld(HostWalk())
