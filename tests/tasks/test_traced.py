"""JAX environments as families: stepped as the original is, broken ones told apart, own classes without a package."""

import dataclasses
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Discrete
from innerloop.requests import examined
from innerloop.run.settings import ConfigError
from innerloop.tasks.names import family

SEED = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Params:
    gravity: float = 9.8
    arms: int = 2
    max_steps_in_episode: int = 20


class Space:
    """A space as gymnax has them."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


class Falling:
    """Gymnax's interface: a stone falls from a height; action 1 of 2 slows it; over on the ground."""

    default_params = Params()

    def observation_space(self, params):
        return Space(spaces={"height": Space(low=-np.inf, high=np.inf, shape=()), "hand": Space(n=3)})

    def action_space(self, params):
        return Space(n=2)

    def reset(self, key, params):
        height = jax.random.uniform(key, (), minval=5.0, maxval=10.0)
        return self.obs(height), (height, jnp.zeros(()))

    def obs(self, height):
        return {"height": height, "hand": jnp.where(height > 5, 2, 0)}

    def step(self, key, state, action, params):
        height, speed = state
        speed = speed + 0.01 * params.gravity * (1 - action)
        height = height - speed
        return self.obs(height), (height, speed), -speed, height < 0, {}


class State(NamedTuple):
    obs: jax.Array
    reward: jax.Array
    done: jax.Array


class Line:
    """Brax's interface: drift, and a push."""

    observation_size, action_size = 1, 1
    varies = {"drift": (-1.0, 1.0)}

    def __init__(self, drift=0.0):
        self.drift = drift

    def reset(self, rng):
        return State(jnp.zeros(1), jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        return State(state.obs + self.drift + action, -jnp.sum(jnp.abs(state.obs)), jnp.zeros(()))


class Branching(Line):
    def step(self, state, action):
        return super().step(state, action if self.drift > 0 else -action)


class Endless(Line):
    def step(self, state, action):
        return State(state.obs / 0.0, state.reward, state.done)


class Growing(Line):
    def step(self, state, action):
        return State(jnp.zeros(2), state.reward, state.done)


class Deaf(Line):
    def step(self, state, action):
        return State(state.obs + action, state.reward, state.done)


def named(kind, query=""):
    return f"env:{kind}{query}"


HERE = __name__


def walk(found, task, key, steps, actions):
    """Rows of one episode, by the family."""
    reset, step = jax.jit(found.reset), jax.jit(found.step)
    state, obs = reset(task, key)
    rows = [(obs, 0.0, False, False)]
    for i in range(steps):
        state, obs, reward, terminated, truncated = step(task, state, actions[i], jax.random.fold_in(key, i))
        rows.append((obs, float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            break
    return rows


def one(found, **values):
    """The task of these values."""
    task = jax.tree.map(lambda x: x[0], found.sample(SEED, 1))
    return task._replace(params=jnp.array([values[name] for name, _ in found.varies]))


def test_a_class_of_gymnax_s_interface_needs_no_package():
    found = family(named(f"gymnax:{HERE}:Falling", "?gravity=5.0:15.0&arms=2,3&max-steps=30"))
    assert "gymnax" not in sys.modules
    assert found.spaces.obs == {"height": Box(()), "hand": Discrete(3)} and found.spaces.action == Discrete(2)
    assert (found.on_device, found.horizon, found.episodes, found.size) == (True, 30, 3, -1)
    light, heavy = (walk(found, one(found, gravity=g, arms=0.0), SEED, 30, [0] * 30) for g in (5.0, 15.0))
    assert heavy[-1][2] and not heavy[-1][3]  # on the ground
    speeds = [-row[1] for row in heavy[1:4]]
    np.testing.assert_allclose(speeds, [0.15, 0.3, 0.45], rtol=1e-5)
    assert len(heavy) < len(light)
    kept = walk(found, one(found, gravity=5.0, arms=0.0), SEED, 30, [1] * 30)
    assert len(kept) == 31 and kept[-1][3] and not kept[-1][2]  # cut, not ended


def test_a_class_of_brax_s_interface_needs_no_package():
    found = family(named(f"brax:{HERE}:Line", "?max-steps=5"))
    assert (found.spaces.obs, found.spaces.action) == (Box((1,)), Box((1,), -1.0, 1.0))
    rows = walk(found, one(found, drift=0.25), SEED, 5, np.full((5, 1), 3.0))  # an action is clipped
    np.testing.assert_allclose([row[0][0] for row in rows], [0, 1.25, 2.5, 3.75, 5.0, 6.25])
    assert rows[-1][3] and "brax" not in sys.modules
    drawn = found.sample(SEED, 100).params
    assert drawn.shape == (100, 1) and -1 <= drawn.min() < -0.5 and 0.5 < drawn.max() <= 1
    assert not np.array_equal(drawn, found.split("test").sample(SEED, 100).params)


def test_lives_are_lived_in_it():
    """With everything that a family on the device goes through: vmapped, in a scan, over whole trials."""
    from innerloop.recipes import rl2
    from innerloop.worlds import world_of

    found = family(named(f"gymnax:{HERE}:Falling", "?gravity=5.0:15.0&max-steps=12"))
    recipe = rl2.make(found, 1000)
    world, meta = world_of(found), recipe.inner.init(SEED)
    life, _ = jax.jit(lambda key: world.live(recipe.inner, meta, found.sample(key, 3), key))(SEED)
    assert life.chunks.reward.shape[0] == 3 and bool(jnp.all(jnp.isfinite(life.chunks.reward)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"gymnax:{HERE}:Falling?gravty=5.0:15.0", "Did you mean gravity?"),
        (f"gymnax:{HERE}:Falling?arms=2.0:3.5", "a whole number"),
        (f"gymnax:{HERE}:Falling?max_steps_in_episode=2:3", "--max-steps"),
        (f"gymnax:{HERE}:Falling?gravity=low,high", "what JAX traces are numbers"),
        (f"gymnax:{HERE}:Absent", "cannot be imported"),
        (f"brax:{HERE}:Line", "nothing says how long an episode may be"),
        (f"brax:{HERE}:Line?wind=0.0:1.0&max-steps=5", "cannot be made with wind"),
    ],
)
def test_what_cannot_be_made_is_said(name, said):
    with pytest.raises((ConfigError, ValueError), match=said):
        found = examined(named(name))
        raise ValueError(" ".join(found.problems))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("Branching", "no `if` on their values"), ("Endless", "NaN or infinity"), ("Growing", "shape")],
)
def test_a_broken_one_is_told_apart(kind, said):
    found = examined(named(f"brax:{HERE}:{kind}", "?max-steps=5"))
    assert said in found.problems[0] and len(found.problems) == 1


def test_one_that_drops_what_varies_gets_a_remark():
    assert "drops what varies" in examined(named(f"brax:{HERE}:Deaf", "?max-steps=5")).remarks[0]
    good = examined(named(f"brax:{HERE}:Line", "?max-steps=5"))
    assert good == ([], [])


GYMNAX = {
    "CartPole-v1": "gravity=5.0:15.0", "Pendulum-v1": "g=5.0:15.0", "Acrobot-v1": "link_mass_1=0.5:2.0",
    "MountainCar-v0": "gravity=0.002:0.003", "MountainCarContinuous-v0": "power=0.001:0.002", "Breakout-MinAtar": "",
    "Catch-bsuite": "", "FourRooms-misc": "fail_prob=0.1:0.5", "PointRobot-misc": "", "Reacher-misc": "",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("name", GYMNAX)
def test_gymnax_is_stepped_as_it_steps_itself(name):
    """A thousand random steps: the same observations, rewards and ends. Each from the same state: rounding grows in Acrobot."""
    gymnax = pytest.importorskip("gymnax", reason="it pins older versions of JAX and Gymnasium")
    found = family(named(f"gymnax:{name}", f"?{GYMNAX[name]}" if GYMNAX[name] else ""))
    env, params = gymnax.make(name)
    task = jax.tree.map(lambda x: x[0], found.sample(SEED, 1))
    if GYMNAX[name]:
        params = params.replace(**{GYMNAX[name].partition("=")[0]: task.params[0]})
    with jax.numpy_rank_promotion("allow"):
        theirs_reset, theirs_step = jax.jit(env.reset_env), jax.jit(env.step_env)
        reset, step = jax.jit(found.reset), jax.jit(found.step)
        rng, space, ours = np.random.default_rng(0), env.action_space(params), found.spaces.action
        over = True
        for i in range(1000):
            key = jax.random.fold_in(SEED, i)
            if over:
                (obs, _), (state, mine), time = theirs_reset(key, params), reset(task, key), 0
                np.testing.assert_array_equal(np.ravel(mine), np.ravel(obs))
            if isinstance(ours, Discrete):
                action = their_action = rng.integers(ours.n)
            else:
                action = rng.uniform(-1, 1, ours.shape).astype(np.float32)
                their_action = space.low + (action + 1) * 0.5 * (space.high - space.low) if ours.bounded else action
            obs, _, their_reward, *ends, _ = theirs_step(key, state[0], their_action, params)
            state, mine, reward, terminated, truncated = step(task, state, action, key)
            time += 1
            np.testing.assert_allclose(np.ravel(mine), np.ravel(obs), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(float(reward), float(their_reward), rtol=1e-5, atol=1e-6)
            over = bool(terminated | truncated)
            assert over == any(bool(end) for end in ends) or (over and time == found.horizon)


def alike(found, reset, step, space=None):
    """The family beside the original's `reset(key)` and `step(state, action)`, from the same states; episodes in 1,000."""
    task = jax.tree.map(lambda x: x[0], found.sample(SEED, 1))
    mine_reset, mine_step = jax.jit(found.reset), jax.jit(found.step)
    rng, over, episodes = np.random.default_rng(0), True, 0
    for i in range(1000):
        key = jax.random.fold_in(SEED, i)
        if over:
            (state, obs), original, episodes = mine_reset(task, key), reset(key), episodes + 1
            np.testing.assert_array_equal(obs, original[0])
        shape = getattr(found.spaces.action, "shape", None)
        action = rng.integers(found.spaces.action.n) if shape is None else rng.uniform(-1, 1, shape).astype(np.float32)
        seen, earned, ended = step(state[0], action)
        state, obs, reward, terminated, truncated = mine_step(task, state, action, key)
        np.testing.assert_allclose(obs, seen, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(reward, earned, rtol=1e-5, atol=1e-6)
        over = bool(terminated | truncated)
        assert bool(terminated) <= bool(ended) <= over
    return episodes


@pytest.mark.filterwarnings("ignore")  # theirs
def test_brax_is_stepped_as_it_steps_itself():
    envs = pytest.importorskip("brax.envs", reason="an extra, tested where it is installed")
    env = envs.get_environment("inverted_pendulum")

    def step(state, action):
        now = env.step(state, action)
        return now.obs, now.reward, now.done

    with jax.numpy_rank_promotion("allow"):
        found = family("env:brax:inverted_pendulum")
        assert found.horizon == 1000
        assert alike(found, lambda key: (env.reset(key).obs,), jax.jit(step)) > 10


@pytest.mark.filterwarnings("ignore")  # theirs
def test_navix_is_stepped_as_it_steps_itself():
    navix = pytest.importorskip("navix", reason="an extra, tested where it is installed")
    env = navix.make("Navix-Empty-Random-5x5-v0")

    def step(state, action):
        now = env.step(state, action)
        return now.observation, now.reward, now.step_type > 0

    with jax.numpy_rank_promotion("allow"):
        found = family("env:navix:Navix-Empty-Random-5x5-v0")
        assert alike(found, lambda key: (env.reset(key).observation,), jax.jit(step)) > 3
        same = family("env:navix:Navix-Empty-Random-5x5-v0?level=0:9")
        task = jax.tree.map(lambda x: x[0], same.sample(SEED, 1))
        np.testing.assert_array_equal(same.reset(task, SEED)[1], same.reset(task, jax.random.key(1))[1])


@pytest.mark.filterwarnings("ignore")  # theirs
def test_playground_is_stepped_as_it_steps_itself():
    registry = pytest.importorskip("mujoco_playground", reason="an extra, tested where it is installed").registry
    env = registry.load("CartpoleBalance")

    def step(state, action):
        now = env.step(state, action)
        return now.obs, now.reward, now.done

    with jax.numpy_rank_promotion("allow"):
        found = family("env:playground:CartpoleBalance?max-steps=100")
        assert alike(found, jax.jit(lambda key: (env.reset(key).obs,)), jax.jit(step)) == 10
