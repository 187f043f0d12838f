"""Every robot: both ways of stepping it, its dynamics against Gymnasium's own, its rewards, and the law of its tasks."""

import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import gymnasium
import jax
import mujoco
import numpy as np
import pytest

from innerloop.tasks import ants, cheetah, humanoids, walkers
from innerloop.tasks.names import examples, family
from innerloop.tasks.robot import body
from innerloop.worlds.bench import STEP_FAULT, Bench, Layout, Slots
from innerloop.worlds.boundary import Leaf
from innerloop.worlds.mujoco import Fleet

ROBOTS = [name for name in examples() if family(name).native is not None]
TERMINATING = {"ant-dir", "ant-vel", "ant-dir-circle", "humanoid-dir", "walker-dir", "walker-vel", "walker-params"}


def params_of(fam, n):
    """n tasks' parameters, one pytree each."""
    params = jax.tree.map(np.asarray, fam.sample(jax.random.key(1), n).params)
    return [jax.tree.map(lambda x, i=i: x[i], params) for i in range(n)]


def crew(kind, fam, params, **options):
    robot = fam.native
    width = fam.spaces.obs.width
    layout = Layout(len(params), 0, (Leaf((), (width,), False, -np.inf, np.inf),), Leaf((), (robot.motors,), False, -1, 1))
    slots = Slots(layout)
    made = kind(robot, slots, **options) if kind is Fleet else kind(fam.make, fam.assign, slots)
    made.assign(params)
    slots.todo[:] = True
    slots.words[:, 2] = np.arange(len(params))
    made.reset()
    return made


@pytest.mark.parametrize("name", ROBOTS)
def test_both_ways_of_stepping_agree(name):
    fam = replace(family(name), length=25)
    params = params_of(fam, 2)
    params = [params[0], params[0], params[1]]
    one, two, threads = (crew(*x) for x in ((Bench, fam, params), (Fleet, fam, params), (Fleet, fam, params)))
    threads.close()
    threads = crew(Fleet, fam, params, threads=2)
    rng, ends = np.random.default_rng(0), 0
    for t in range(60):
        hard = 3.0 if t % 20 < 10 else 0.5
        action = rng.uniform(-hard, hard, (3, fam.native.motors)) * fam.native.scale
        for c in (one, two, threads):
            c.slots.action[:] = action
            c.step()
        for field in ("terminated", "truncated", "status", "episode"):
            assert np.array_equal(getattr(one.slots, field), getattr(two.slots, field)), (t, field)
        for field in ("reward", "terminated"):
            assert np.array_equal(getattr(two.slots, field), getattr(threads.slots, field))
        ended = one.slots.terminated | one.slots.truncated
        ends += ended.sum()
        np.testing.assert_allclose(one.slots.reward, two.slots.reward, atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(one.slots.obs[0], two.slots.obs[0], atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(one.slots.final[0][ended], two.slots.final[0][ended], atol=1e-6, rtol=1e-6)
    assert ends >= 6 and not one.slots.status.any()
    for c in (one, two, threads):
        c.close()


GYM = {
    "HalfCheetah-v5": (cheetah.GymCheetahDir(1000, 5), {}),
    "Ant-v5": (ants.AntGoal(1000, 5), {}),
    "Hopper-v5": (walkers.HopperParams(1000, 4), {}),
    "Walker2d-v5": (walkers.WalkerDir(1000, 4), {"xml_file": "walker2d.xml"}),
    "Humanoid-v5": (humanoids.HumanoidDir(1000, 5), {}),
    "Swimmer-v5": (walkers.SwimmerVel(1000, 4), {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", GYM)
def test_dynamics_are_gymnasiums(name, capfd, monkeypatch):
    """The same qpos and qvel after every control step, from the same start under the same controls."""
    if find_spec("imageio") is None:  # Gymnasium's robots import it, to render; nothing is rendered here
        monkeypatch.setitem(sys.modules, "imageio", ModuleType("imageio"))
    robot, options = GYM[name]
    env = gymnasium.make(name, **options).unwrapped
    env.reset(seed=0)
    fleet = Fleet(
        robot, Slots(Layout(1, 0, (Leaf((), (robot.width,), False, -1, 1),), Leaf((), (robot.motors,), False, -1, 1)))
    )
    fleet.assign([{} if robot.motors == 3 else np.float32(1.0) if robot.motors in (2, 6) else np.ones(2, np.float32)])
    assert env.dt == pytest.approx(robot.dt) and np.array_equal(env.model.body_mass, robot.model.body_mass)
    fleet.slots.todo[:] = True
    fleet.reset()
    qpos, qvel = fleet._split(fleet._state)
    qpos[0], qvel[0] = env.data.qpos, env.data.qvel
    rng = np.random.default_rng(0)
    for _ in range(25):
        action = rng.uniform(-1, 1, robot.motors).astype(np.float32)
        env.data.qacc_warmstart[:] = 0.0  # a cold start, as here
        _, _, _, _, info = env.step(robot.limit * action.astype(np.float64))
        fleet.slots.action[0] = action
        before = fleet._state[0, 1]
        fleet.step()
        if fleet.slots.episode[0]:
            break  # fallen: both go different ways now
        qpos, qvel = fleet._split(fleet._state)
        np.testing.assert_allclose(qpos[0], env.data.qpos, atol=1e-9)
        np.testing.assert_allclose(qvel[0], env.data.qvel, atol=1e-9)
        if name in ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Swimmer-v5"):
            assert info["x_velocity"] == pytest.approx((qpos[0, 0] - before) / robot.dt, abs=1e-6)
    env.close()


def scene(name):
    """A robot some steps into an episode: env, another MjData at the same state after `mj_forward`, and one more step."""
    fam = family(name)
    env = fam.make()
    task = params_of(fam, 3)[1]
    fam.assign(env, task)
    env.reset(seed=5)
    rng = np.random.default_rng(1)
    for _ in range(8):
        env.step(0.3 * rng.uniform(-1, 1, env.robot.motors))

    def forward():
        data = mujoco.MjData(env.model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = env.data.qpos, env.data.qvel, env.data.ctrl
        mujoco.mj_forward(env.model, data)
        mujoco.mj_rnePostConstraint(env.model, data)
        mujoco.mj_subtreeVel(env.model, data)
        return data

    before = forward()
    action = 1.5 * env.robot.scale * rng.uniform(-1, 1, env.robot.motors)
    obs, reward, *_ = env.step(action)
    a = np.clip(action / env.robot.scale, -1, 1)
    return before, forward(), a, task, obs, reward, env.robot.dt


def forces(data):
    return np.sum(np.clip(data.cfrc_ext, -1, 1) ** 2)


REWARDS = {  # name: (before, after, clipped action, task, dt) → reward, from MuJoCo's own quantities
    "half-cheetah-dir": lambda b, a, u, d, dt: d * a.subtree_linvel[1, 0] - 0.05 * u @ u,
    "half-cheetah-vel": lambda b, a, u, v, dt: -abs(a.subtree_linvel[1, 0] - v) - 0.05 * u @ u,
    "half-cheetah-dir-promp": lambda b, a, u, d, dt: d * (a.qpos[0] - b.qpos[0]) / 0.05 - 0.05 * u @ u,
    "half-cheetah-dir-pearl": lambda b, a, u, d, dt: d * (a.qpos[0] - b.qpos[0]) / 0.05 - 0.05 * u @ u,
    "half-cheetah-vel-u3": lambda b, a, u, v, dt: -abs((a.qpos[0] - b.qpos[0]) / 0.05 - v) - 0.05 * u @ u,
    "ant-dir": lambda b, a, u, d, dt: d * a.subtree_linvel[1, 0] - 0.005 * u @ u - 0.0005 * forces(a) + 0.05,
    "ant-vel": lambda b, a, u, v, dt: 1.05 - abs(a.subtree_linvel[1, 0] - v) - 0.005 * u @ u - 0.0005 * forces(a),
    "ant-dir-circle": lambda b, a, u, d, dt: d @ (a.qpos - b.qpos)[:2] / 0.05 - 0.5 * u @ u - 0.0005 * forces(a) + 1.0,
    "ant-goal": lambda b, a, u, g, dt: -np.abs(a.qpos[:2] - g).sum() - 0.1 * u @ u - 0.0005 * forces(a),
    "humanoid-dir": lambda b, a, u, d, dt: (
        0.25 * d @ (a.subtree_com - b.subtree_com)[1, :2] / 0.003
        - 0.1 * 0.16 * u @ u
        - min(5e-7 * np.sum(a.cfrc_ext**2), 10.0)
        + 5.0
    ),
    "walker-dir": lambda b, a, u, d, dt: d * (a.qpos[0] - b.qpos[0]) / 0.016 + 1.0 - 0.001 * u @ u,
    "walker-vel": lambda b, a, u, v, dt: 15.0 - abs((a.qpos[0] - b.qpos[0]) / 0.016 - v) - 0.001 * u @ u,
    "walker-params": lambda b, a, u, p, dt: (a.qpos[0] - b.qpos[0]) / 0.01 + 1.0 - 0.001 * u @ u,
    "hopper-params": lambda b, a, u, p, dt: (a.qpos[0] - b.qpos[0]) / 0.008 + 1.0 - 0.001 * u @ u,
    "swimmer-vel": lambda b, a, u, v, dt: -abs((a.qpos[0] - b.qpos[0]) / 0.04 - v) - 0.0001 * u @ u,
}


@pytest.mark.parametrize("name", ROBOTS)
def test_rewards_are_the_definitions(name):
    before, after, action, task, obs, reward, dt = scene(name)
    assert reward == pytest.approx(REWARDS[name](before, after, action, task, dt), abs=1e-6)
    assert obs.shape == family(name).spaces.obs.shape and np.isfinite(obs).all()


@pytest.mark.parametrize("name", ["ant-dir", "humanoid-dir"])
def test_what_is_sensed_is_up_to_date(name):
    before, after, _, _, obs, *_ = scene(name)
    if name == "ant-dir":
        parts = [after.qpos, after.qvel, np.clip(after.cfrc_ext, -1, 1), after.xmat[1], after.subtree_com[1]]
    else:
        parts = [after.qpos[2:], after.qvel, after.cinert, after.cvel, after.qfrc_actuator, after.cfrc_ext]
    np.testing.assert_allclose(obs, np.concatenate([np.ravel(p) for p in parts]), atol=1e-7)


def test_centre_of_mass_in_closed_form():
    model = body("half_cheetah.xml")
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    qpos, qvel = 3 * rng.standard_normal((5, 9)), 3 * rng.standard_normal((5, 9))
    com, velocity = cheetah.centre_of_mass(qpos, qvel)
    for i in range(5):
        data.qpos[:], data.qvel[:] = qpos[i], qvel[i]
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        np.testing.assert_allclose(com[i], data.subtree_com[1], atol=1e-12)
        assert velocity[i] == pytest.approx(data.subtree_linvel[1, 0], abs=1e-12)


def test_falls_terminate_and_others_do_not():
    for name in ROBOTS:
        robot = family(name).native
        qpos = np.tile(robot.model.qpos0, (2, 1))
        qpos[1, 2 if robot.model.nq in (15, 24) else 1] = 5.0
        state = np.zeros((2, robot.model.nv))
        fallen = robot.fallen(walkers.Motion(qpos, state, ()))
        assert not fallen[0] and fallen[1] == (name in TERMINATING), name
    hopper = family("hopper-params").native
    low, tilted, fast = (np.array([[0.0, 1.25, 0, 0, 0, 0]]) for _ in range(3))
    low[0, 1], tilted[0, 2] = 0.69, -0.21
    still = np.zeros((1, 6))
    assert hopper.fallen(walkers.Motion(low, still, ())) and hopper.fallen(walkers.Motion(tilted, still, ()))
    assert hopper.fallen(walkers.Motion(fast, still + 101, ())) and not hopper.fallen(walkers.Motion(fast, still, ()))


def test_a_swimmer_is_paid_for_being_near_its_velocity():
    robot = family("swimmer-vel").native
    at = lambda x: walkers.Motion(np.array([[x, 0, 0, 0, 0.0]]), np.zeros((1, 5)), ())  # noqa: E731
    near, far = (robot.reward(at(0.0), at(v * robot.dt), np.zeros((1, 2)), np.array([0.15])) for v in (0.15, 0.3))
    assert near == pytest.approx(0.0) and far == pytest.approx(-0.15)


LAWS = {
    "half-cheetah-vel": (0.0, 2.0), "half-cheetah-vel-u3": (0.0, 3.0), "ant-vel": (0.0, 3.0),
    "walker-vel": (0.0, 10.0), "swimmer-vel": (0.1, 0.2),
}  # fmt: skip


@pytest.mark.parametrize("name", ROBOTS)
def test_tasks_follow_their_law_and_splits_keep_apart(name):
    fam, key = family(name), jax.random.key(0)
    drawn = {which: fam.split(which).sample(key, 400) for which in ("train", "validation", "test")}
    index, p = np.asarray(drawn["train"].index), drawn["train"].params
    if fam.size == 100:
        ids = {which: set(np.asarray(t.index).tolist()) for which, t in drawn.items()}
        assert [len(i) for i in ids.values()] == [40, 20, 40] and len(set.union(*ids.values())) == 100
        again = fam.split("train").sample(jax.random.key(7), 40)
        a, b = np.argsort(again.index), np.array([np.flatnonzero(index == i)[0] for i in range(40)])
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[a], y[b]), again.params, p)  # a body has its number
        for field, base in {"body_mass": 1.5, "body_inertia": 1.5, "geom_friction": 1.5, "dof_damping": 1.3}.items():
            x = np.log(np.asarray(p[field])[b]).ravel() / np.log(base)
            assert np.abs(x).max() <= 3.001 and abs(x.mean()) < 0.4 and abs(x.std() - np.sqrt(3)) < 0.2, field
            assert p[field].shape[1:] == getattr(fam.native.model, field).shape
        return
    if fam.tiny:
        assert np.bincount(index).tolist() == [200, 200] and np.array_equal(p, 1.0 - 2.0 * index)
        return
    assert (index == -1).all()
    for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not np.isin(np.asarray(drawn[a].params), np.asarray(drawn[b].params)).all()
    x = np.asarray(p, np.float64)
    if name in LAWS:
        low, high = LAWS[name]
        unit = (x - low) / (high - low)
    else:
        radius, angle = np.linalg.norm(x, axis=1), np.arctan2(x[:, 1], x[:, 0])
        unit = angle / (2 * np.pi) + 0.5
        if name == "ant-goal":
            assert abs(np.mean((radius / 3) ** 2) - 0.5) < 0.06 and radius.max() <= 3
        else:
            np.testing.assert_allclose(radius, 1, atol=1e-6)
    assert unit.min() >= -1e-6 and unit.max() <= 1 + 1e-6
    assert abs(unit.mean() - 0.5) < 0.06 and abs(unit.std() - 12**-0.5) < 0.03


def test_bodies_differ_by_their_factors_and_streams_share_one():
    fam = family("walker-params")
    robot, (a, b) = fam.native, params_of(fam, 2)
    fleet = crew(Fleet, fam, [a, a, b])
    assert fleet._models[0] is fleet._models[1] is not fleet._models[2]
    for field in walkers.VARIED:
        np.testing.assert_allclose(getattr(fleet._models[2], field), getattr(robot.model, field) * b[field], rtol=1e-6)
    assert np.array_equal(fleet._models[2].geom_size, robot.model.geom_size)
    assert np.array_equal(robot.model.body_mass, type(robot)(1, 1).model.body_mass)
    fleet._state[:] = fleet._state[0]
    fleet.slots.action[:] = 0.5
    fleet.step()
    assert np.array_equal(fleet._state[0], fleet._state[1]) and not np.allclose(fleet._state[0], fleet._state[2], atol=1e-6)


def test_actions_beyond_the_limits_are_clipped_and_scaled():
    plain, scaled = family("half-cheetah-dir-promp", scale=1.0).native, family("half-cheetah-dir-promp").native
    action = np.array([[0.5, -0.1, 2.0, -3.0, 0.0, 1.0]])
    np.testing.assert_array_equal(plain.admitted(action), np.clip(action, -1, 1))
    np.testing.assert_allclose(scaled.admitted(10 * action), plain.admitted(action))
    assert family("half-cheetah-dir-promp").spaces.action.high == 10.0


def test_only_those_that_diverge_are_faulty(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into the working folder
    fam = family("half-cheetah-dir-promp")
    fleet = crew(Fleet, fam, params_of(fam, 4))
    fleet._state[2, 12] = np.nan
    fleet.slots.todo[3] = False
    fleet._state[3, 12] = 1e12
    fleet.step()
    assert fleet.slots.status.tolist() == [0, 0, STEP_FAULT, 0]
    assert np.isfinite(fleet._state).all() and np.isfinite(fleet.slots.obs[0][:2]).all()
