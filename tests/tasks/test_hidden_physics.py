"""Hidden physics: Gymnasium's machines with other constants, and ranges that do not overlap."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Task
from innerloop.tasks.classic_control import NOMINAL, Acrobot, CartPole, MountainCar, Pendulum, Physics
from innerloop.tasks.hidden_physics import INNER, OUTER
from innerloop.tasks.names import family

NAMES = ("hidden-cartpole", "hidden-mountain-car", "hidden-acrobot", "hidden-pendulum")


@pytest.mark.parametrize("name", NAMES)
def test_ranges_of_training_and_beyond_do_not_overlap(name: str):
    near, far = (family(f"{name}{end}") for end in ("", "-beyond"))
    inside, outside = (
        jax.jit(lambda key, f=f: f.split("test").sample(key, 2000))(jax.random.key(0)).params for f in (near, far)
    )
    assert set(inside) == set(near.control.varies)
    for key in inside:
        if key == "friction":
            most = near.control.friction
            assert (inside[key] >= 0).all() and (inside[key] <= most).all() and inside[key].max() > 0.98 * most
            assert (outside[key] >= most).all() and (outside[key] <= 2 * most).all()
            continue
        size = np.exp(np.abs(np.log(outside[key])))
        assert (np.exp(np.abs(np.log(inside[key]))) <= INNER * 1.0001).all()
        assert (size >= INNER * 0.9999).all() and (size <= OUTER * 1.0001).all()
        assert 0.4 < (inside[key] > 1).mean() < 0.6 and 0.4 < (outside[key] > 1).mean() < 0.6


def theirs(env: gymnasium.Env, physics: Physics) -> None:
    """Put physics without friction into Gymnasium's environment, by its own attributes."""
    raw = env.unwrapped
    name = type(raw).__name__
    if name == "CartPoleEnv":
        raw.gravity, raw.masspole, raw.length = 9.8 * physics.gravity, 0.1 * physics.mass, 0.5 * physics.length
        raw.total_mass, raw.polemass_length = raw.masscart + raw.masspole, raw.masspole * raw.length
    elif name == "Continuous_MountainCarEnv" or name == "MountainCarEnv":
        raw.gravity, raw.force = 0.0025 * physics.gravity, 0.001 / physics.mass
    elif name == "PendulumEnv":
        raw.g, raw.m, raw.l = 10.0 * physics.gravity, physics.mass, physics.length
    else:
        raw.LINK_MASS_1 = raw.LINK_MASS_2 = physics.mass
        raw.LINK_LENGTH_1 = physics.length
        raw.LINK_COM_POS_1 = raw.LINK_COM_POS_2 = 0.5 * physics.length
        raw.LINK_MOI = physics.mass * physics.length**2


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize(
    ("name", "control", "gravity"),
    [
        ("CartPole-v1", CartPole(), 1.3),
        ("MountainCar-v0", MountainCar(), 1.3),
        ("Pendulum-v1", Pendulum(), 1.3),
        ("Acrobot-v1", Acrobot(), 1.0),
    ],
)
def test_other_physics_are_gymnasiums_with_other_constants(name, control, gravity):
    """Acrobot's gravity is written into its equations there, so it stays."""
    physics = NOMINAL._replace(gravity=gravity, mass=0.7, length=1.4)
    env, rng = gymnasium.make(name).unwrapped, np.random.default_rng(0)
    theirs(env, physics)
    step = jax.jit(lambda state, action: control.step(state, action, physics))
    env.reset(seed=0)
    for _ in range(100):
        action = rng.integers(control.action.n) if hasattr(control.action, "n") else rng.uniform(-2, 2, 1).astype(np.float32)
        before = jnp.asarray(env.state, jnp.float32)
        _, reward, terminated, *_ = env.step(action)
        after, paid, ended = step(before, jnp.asarray(action))
        np.testing.assert_allclose(after, np.asarray(env.state), rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(paid, reward, rtol=1e-4, atol=1e-4)
        assert bool(ended) == terminated
        if terminated:
            env.reset()


@pytest.mark.parametrize(
    ("control", "start"), [(MountainCar(), [-0.9, 0.0]), (Acrobot(), [0.8, 0.5, 0, 0]), (Pendulum(), [2.0, 0])]
)
def test_friction_brings_a_machine_to_rest(control, start):
    nothing = jnp.zeros(1) if isinstance(control, Pendulum) else jnp.int32(1)
    moving = slice(len(start) // 2, None)

    @jax.jit
    def speed(friction):
        physics = NOMINAL._replace(friction=friction)
        step = lambda state, _: (control.step(state, nothing, physics)[0],) * 2  # noqa: E731
        states = jax.lax.scan(step, jnp.array(start, jnp.float32), None, 1500)[1]
        return jnp.abs(states[-100:, moving]).max()

    assert speed(control.friction) < 0.1 * speed(0.0)


def test_friction_slows_a_cart():
    state, control = jnp.array([0.0, 1.0, 0.0, 0.0]), CartPole()
    free, held = (control.step(state, jnp.int32(1), NOMINAL._replace(friction=f))[0] for f in (0.0, control.friction))
    assert float(held[1]) == pytest.approx(
        float(free[1]) - 0.02 * 2.0 / 1.1 * (1 + 0.05 / 1.1 / (0.5 * (4 / 3 - 0.1 / 1.1))), abs=1e-4
    )


def test_an_agent_sees_no_physics():
    env = family("hidden-pendulum")
    light, heavy = (
        Task(jnp.int32(-1), {k: jnp.float32(v) for k, v in params.items()})
        for params in (
            {"gravity": 1.0, "mass": 1.0, "length": 1.0, "friction": 0.0},
            {"gravity": 1.0, "mass": 1.4, "length": 1.0, "friction": 0.0},
        )
    )
    (state, seen), (_, same) = env.reset(light, jax.random.key(0)), env.reset(heavy, jax.random.key(0))
    np.testing.assert_array_equal(seen, same)
    moved = [env.step(task, state, jnp.array([2.0]), jax.random.key(1))[1] for task in (light, heavy)]
    assert not np.array_equal(*moved)
