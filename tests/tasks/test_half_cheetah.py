import subprocess
import sys

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from innerloop.core import Decision, Inner, Normal, Plan
from innerloop.tasks.half_cheetah import HalfCheetahDir
from innerloop.worlds import HostWorld


class Linear(Inner):
    plan: Plan

    @property
    def spaces(self):
        return HalfCheetahDir().spaces

    def init(self, key):
        return jax.random.normal(key, (20, 6))

    def begin(self, meta, key):
        return meta

    def decide(self, meta, fast, obs):
        mean = jnp.tanh(obs @ fast)
        return Decision(Normal(mean, jnp.zeros_like(mean)), mean[..., 0])


def robot(direction=1.0, **fields):
    family = HalfCheetahDir(**fields)
    env = family.make()
    family.assign(env, np.float32(direction))
    return env


def test_number_of_workers_does_not_matter():
    family = HalfCheetahDir()
    inner = Linear(Plan(2, 30, 2, True))
    meta = inner.init(jax.random.key(0))
    tasks = family.sample(jax.random.key(1), 3)
    lives = []
    for workers in (0, 1, 2):
        world = HostWorld(family, workers=workers)
        lives.append(world.live(inner, meta, tasks, jax.random.key(2))[0]._replace(key=None))
        world.close()
        assert not world.faults
    for other in lives[1:]:
        assert all(bool((a == b).all()) for a, b in zip(jax.tree.leaves(lives[0]), jax.tree.leaves(other), strict=True))
    assert lives[0].chunks.step.obs.shape == (3, 2, 30, 2, 20)
    assert bool(lives[0].chunks.truncated[:, :, -1].all()) and not bool(lives[0].chunks.terminated.any())


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize("skip", [1, 5])
def test_reward_is_velocity_of_the_centre_of_mass_less_control_cost(direction, skip):
    env = robot(direction, skip=skip)
    obs, _ = env.reset(seed=3)
    rng = np.random.default_rng(0)
    other = mujoco.MjData(env.model)  # the closed form is evaluated on a copy: finite difference of the centre of mass
    for _ in range(20):
        action = rng.uniform(-2, 2, 6).astype(np.float32)
        obs, reward, terminated, truncated, _ = env.step(action)
        h, com = 1e-6, []
        for sign in (1, -1):
            other.qpos[:] = env.data.qpos + sign * h * env.data.qvel
            mujoco.mj_kinematics(env.model, other)
            mass, xipos = env.model.body_mass[1:], other.xipos[1:]
            com.append((mass @ xipos) / mass.sum())
        velocity = (com[0][0] - com[1][0]) / (2 * h)
        clipped = np.clip(action.astype(float), -1, 1)
        assert reward == pytest.approx(direction * velocity - 0.05 * np.sum(clipped**2), abs=1e-5)
        np.testing.assert_allclose(obs, [*env.data.qpos[1:], *env.data.qvel, *(com[0] + com[1]) / 2], atol=1e-9)
        assert not terminated and not truncated


def test_directions_differ_in_the_sign_of_the_velocity_only():
    forth, back = robot(1.0), robot(-1.0)
    assert (forth.reset(seed=1)[0] == back.reset(seed=1)[0]).all()
    action = np.linspace(-1, 1, 6, dtype=np.float32)
    for _ in range(5):
        a, b = forth.step(action), back.step(action)
        assert (a[0] == b[0]).all()
        assert a[1] + b[1] == pytest.approx(-2 * 0.05 * float(action @ action), abs=1e-6)


def test_episode_is_truncated_at_the_horizon_and_starts_near_rest():
    env = robot(length=7)
    starts = np.array([env.reset(seed=i)[0] for i in range(200)])
    np.testing.assert_allclose(starts[:, :8].std(0), 0.01, rtol=0.3)
    np.testing.assert_allclose(starts[:, 8:17].std(0), 0.1, rtol=0.3)
    for _ in range(2):
        ends = [env.step(np.zeros(6, np.float32))[2:4] for _ in range(7)]
        assert ends == [(False, False)] * 6 + [(False, True)]
        env.reset(seed=0)
    assert HalfCheetahDir().horizon == 200


def test_model_is_gymnasiums_without_its_pictures(capfd):
    from importlib.resources import files

    ours = robot().model
    assert capfd.readouterr() == ("", "")  # no deprecation line
    theirs = mujoco.MjModel.from_xml_path(str(files("gymnasium") / "envs/mujoco/assets/half_cheetah.xml"))
    for name in ("body_mass", "body_inertia", "dof_damping", "dof_armature", "geom_size", "jnt_range", "actuator_gear"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert np.array_equal(ours.actuator_gear, theirs.actuator_gear) and np.array_equal(
        ours.dof_invweight0, theirs.dof_invweight0
    )
    assert ours.opt.timestep == theirs.opt.timestep == 0.01


def test_tasks_are_balanced_shuffled_and_whole_in_every_split():
    family = HalfCheetahDir()
    assert family.tiny and family.size == 2 and not family.on_device and family.name == "half-cheetah-dir"
    for split in ("train", "validation", "test"):
        tasks = family.split(split).sample(jax.random.key(0), 40)
        assert np.bincount(tasks.index).tolist() == [20, 20]
        assert np.array_equal(tasks.params, 1.0 - 2.0 * np.asarray(tasks.index))
    orders = {tuple(family.sample(jax.random.key(k), 8).index.tolist()) for k in range(10)}
    assert len(orders) > 5
    assert {family.sample(jax.random.key(k), 1).index.item() for k in range(10)} == {0, 1}
    assert sorted(family.sample(jax.random.key(0), 2).index.tolist()) == [0, 1]


def test_workers_need_no_jax():
    needed = "innerloop.worlds.workers, innerloop.tasks.cheetah, innerloop.tasks.robot_env"
    code = f"import {needed}, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    f = HalfCheetahDir()
    assert {f.make.func.__module__, f.assign.__module__} == {"innerloop.tasks.robot_env"}
    assert type(f.native).__module__ == "innerloop.tasks.cheetah"
