"""A user's environment as a family: what varies, its splits, its name, and its spaces."""

import gymnasium
import jax
import numpy as np
import pytest

from innerloop.core import Box, Discrete
from innerloop.tasks.names import family
from innerloop.tasks.own import named
from innerloop.tasks.switching import Acting, plain, seen
from innerloop.tasks.varying import Choice, Range, count, parsed
from innerloop.worlds.check import check_environment

MOD = "innerloop_own_env"


class Still(gymnasium.Env):
    """Pays what it was made with."""

    observation_space = gymnasium.spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, np.inf]), dtype=np.float64)
    action_space = gymnasium.spaces.Box(np.array([0.0, -2.0]), np.array([1.0, 2.0]), dtype=np.float64)

    def __init__(self, pay=0.0, kind="a", legs=2):
        self.pay, self.kind, self.legs = pay, kind, legs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.time += 1
        return np.zeros(2), self.pay, False, self.time >= 5, {}


class Seeing(Still):
    """Shows a picture of what it pays, beside a vector."""

    observation_space = gymnasium.spaces.Dict(
        camera=gymnasium.spaces.Box(0, 255, (18, 16, 3), np.uint8), arm=gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)
    )
    action_space = gymnasium.spaces.Discrete(3)

    def shown(self):
        return {"camera": np.full((18, 16, 3), 10 * self.time, np.uint8), "arm": np.full(2, 0.1 * self.time)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.shown(), {}

    def step(self, action):
        _, *rest = super().step(action)
        return self.shown(), *rest


@pytest.fixture(autouse=True)
def module(monkeypatch):
    import sys
    import types

    found = types.ModuleType(MOD)
    found.make, found.seeing = Still, Seeing
    found.listed = lambda pay, kind: Still(pay, kind)
    found.listed.tasks = [{"pay": float(i), "kind": "b"} for i in range(10)]
    monkeypatch.setitem(sys.modules, MOD, found)


def test_values_are_read():
    assert parsed("x", "5:15") == Range(5, 15, whole=True)
    assert parsed("x", "5:15.5") == Range(5, 15.5)
    assert parsed("x", "1e-3:1:log") == Range(1e-3, 1, log=True)
    assert parsed("x", "2,3,4") == Choice((2, 3, 4))
    assert parsed("x", "ice,sand") == Choice(("ice", "sand"))
    assert parsed("x", "true") == Choice((True,))
    assert count((("a", Range(0, 3, whole=True)), ("b", Choice((1, 2))))) == 8
    assert count((("a", Range(0, 3)),)) == -1
    for wrong in ("5:1", "1:2:lin", "0:1:log", "nan:1", "2,,3"):
        with pytest.raises(ValueError):
            parsed("x", wrong)


def test_a_range_is_drawn_evenly_and_the_name_finds_it_again():
    name = named(f"{MOD}:make", ["pay=-1.0:1.0", "kind=a,b", "legs=2:4"], {"episodes": 2, "max-steps": None})
    fam = family(name)
    assert fam.name == name and family(fam.name) == fam
    assert fam.horizon == 5 and fam.episodes == 2 and fam.size == -1 and not fam.tiny
    params = np.asarray(fam.sample(jax.random.key(0), 3000).params)
    assert params.shape == (3000, 3)
    assert abs(params[:, 0].mean()) < 0.05 and params[:, 0].min() > -1
    assert set(params[:, 1]) == {0.0, 1.0} and set(params[:, 2]) == {2.0, 3.0, 4.0}
    other = np.asarray(fam.split("test").sample(jax.random.key(0), 3000).params)
    assert not np.array_equal(params, other)


def test_finite_tasks_are_dealt_to_the_splits():
    fam = family(f"env:{MOD}:make?legs=1:5&kind=a,b")
    ids = [set(np.asarray(fam.split(s).sample(jax.random.key(0), 100).index).tolist()) for s in ("train", "validation", "test")]
    assert set.union(*ids) == set(range(10)) and sum(map(len, ids)) == 10
    params = np.asarray(fam.sample(jax.random.key(0), 6).params)
    assert len({tuple(p) for p in params}) == 6
    assert family(f"env:{MOD}:make?legs=1:2").tiny


def test_listed_tasks_are_what_make_is_called_with():
    fam = family(f"env:{MOD}:listed?max-steps=3")
    assert fam.size == 10 and fam.horizon == 3
    task = jax.tree.map(np.asarray, fam.sample(jax.random.key(0), 4))
    env = fam.make()
    for index, params in zip(task.index, task.params, strict=True):
        fam.assign(env, params)
        env.reset(seed=0)
        assert env.step(np.zeros(2))[1] == float(index)
        assert env.env.kind == "b"
    assert [env.step(np.zeros(2))[3] for _ in range(2)] == [False, True]


def test_the_environment_of_a_task_is_kept_for_it_and_closed_after():
    fam = family(f"env:{MOD}:make?pay=0.0:1.0")
    env = fam.make()
    fam.assign(env, np.array([0.25]))
    env.reset(seed=0)
    first = env.env
    fam.assign(env, np.array([0.25]))
    env.reset(seed=1)
    assert env.env is first
    fam.assign(env, np.array([0.5]))
    env.reset(seed=0)
    assert env.env is not first and env.env.pay == 0.5


def test_spaces_are_put_into_ours():
    spaces = family(f"env:{MOD}:make").spaces
    assert spaces.obs == Box((2,)) and spaces.action == Box((2,), -1.0, 1.0)
    acting = Acting(Still.action_space)
    np.testing.assert_allclose(acting(np.array([-1.0, 0.5])), [0.0, 1.0])
    np.testing.assert_allclose(acting(np.array([9.0, -9.0])), [1.0, -2.0])
    several = Acting(gymnasium.spaces.MultiDiscrete([2, 3], start=[1, 0]))
    assert several.agent.n == 6 and [several(i).tolist() for i in (0, 5)] == [[1, 0], [2, 2]]
    assert Acting(gymnasium.spaces.Discrete(3, start=-1))(0) == -1
    with pytest.raises(ValueError, match="combinations"):
        Acting(gymnasium.spaces.MultiBinary(20))
    nested = gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(3, start=2), b=gymnasium.spaces.MultiDiscrete([2, 5]))
    assert plain(nested)["b"] == gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2), gymnasium.spaces.Discrete(5)])
    got = seen(nested, {"a": 4, "b": np.array([1, 3])})
    assert got["a"] == 2 and tuple(got["b"]) == (1, 3)
    with pytest.raises(ValueError, match="cannot be read"):
        plain(gymnasium.spaces.Text(5))
    assert Discrete(3) != Box((3,))


def test_a_dict_with_images_lives_as_bytes_beside_vectors():
    from innerloop.core import Plan
    from innerloop.inner.recurrent import Recurrent
    from innerloop.worlds import HostWorld

    env = family(f"env:{MOD}:seeing?pay=0:1")
    assert env.spaces.obs == {"camera": Box((18, 16, 3), 0.0, 255.0, "uint8"), "arm": Box((2,), -1.0, 1.0)}
    assert not check_environment(f"{MOD}:seeing", env.corners()).problems
    inner, world = Recurrent(Plan(1, 7, 1), env.spaces, width=8, normalise=True), HostWorld(env, workers=0)
    life, _ = world.live(inner, inner.init(jax.random.key(0)), env.sample(jax.random.key(1), 2), jax.random.key(2))
    seen, arrived = life.chunks.step.obs, life.chunks.next_obs
    assert seen["camera"].dtype == arrived["camera"].dtype == np.uint8 and not world.faults
    np.testing.assert_array_equal(seen["camera"][0, 0, :, 0, 0, 0, 0], [0, 10, 20, 30, 40, 0, 10])
    np.testing.assert_array_equal(arrived["camera"][0, 0, :, 0, 0, 0, 0], [10, 20, 30, 40, 50, 10, 20])
    np.testing.assert_allclose(seen["arm"][0, 0, :5, 0, 0], [0.0, 0.1, 0.2, 0.3, 0.4], rtol=1e-6)


def test_what_is_wrong_is_said():
    for name, said in {
        f"env:{MOD}:nothing": "cannot be imported",
        f"env:{MOD}:make?pay=": "a value is missing",
        f"env:{MOD}:make?max-steps=none": "whole number",
    }.items():
        with pytest.raises(ValueError, match=said):
            family(name).spaces  # noqa: B018
    with pytest.raises(ValueError, match="raised TypeError"):
        family(f"env:{MOD}:make?colour=red").spaces  # noqa: B018
