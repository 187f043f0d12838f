import jax
import jax.numpy as jnp
import numpy as np
import pytest
from walks import DeviceWalk, HostWalk, setup, walks

from innerloop.core import Plan, replay
from innerloop.worlds import DeviceWorld, HostWorld, world_of
from innerloop.worlds.policy import policy_of

GOALS = [2.0, -1.0, 0.0]


@pytest.fixture
def world():
    made = []

    def build(*args, **options):
        made.append(HostWorld(*args, **options))
        return made[-1]

    yield build
    for w in made:
        w.close()


def same(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        name = jax.tree_util.keystr(path)
        assert x.dtype == y.dtype and x.shape == y.shape, f"{name}: {x.dtype}{x.shape} against {y.dtype}{y.shape}"
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), err_msg=name, **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("stochastic", [False, True])
def test_host_world_is_device_world(world, restart, stochastic):
    inner, meta = setup(Plan(3, 20, 4, restart))
    key, tasks = jax.random.key(5), walks(GOALS)
    device, end = DeviceWorld(DeviceWalk()).live(inner, meta, tasks, key, stochastic=stochastic)
    host, host_end = world(HostWalk(), workers=0).live(inner, meta, tasks, key, stochastic=stochastic)
    assert bool(device.chunks.terminated.any() & device.chunks.truncated.any())
    same(device, host, atol=1e-5)
    same(end.fast, host_end.fast, atol=1e-5)
    same(end.step, host_end.step, atol=1e-5)


def test_replay_is_live(world):
    inner, meta = setup(Plan(3, 20, 4))
    life, end = world(HostWalk(), workers=0).live(inner, meta, walks(GOALS), jax.random.key(5))
    decisions, _, fast = jax.vmap(lambda one: replay(inner, meta, one, learn_last=True))(life)
    same(end.fast, fast, atol=1e-5)
    same(life.chunks.dist, decisions.dist, atol=1e-5)


def test_number_of_workers_does_not_matter(world):
    inner, meta = setup(Plan(2, 15, 3))
    tasks = walks(GOALS, noise=0.5)
    lives = [world(HostWalk(), workers=w).live(inner, meta, tasks, jax.random.key(1))[0] for w in (0, 1, 2)]
    same(lives[0], lives[1])
    same(lives[0], lives[2])


def test_starts_differ_between_lives_tasks_streams_and_episodes(world):
    inner, meta = setup(Plan(2, 15, 3, True))
    w = world(HostWalk(), workers=0)
    one, two = (w.live(inner, meta, walks(GOALS, noise=0.5), jax.random.key(k))[0] for k in (1, 2))
    starts = [np.asarray(life.chunks.step.obs[..., 0])[np.asarray(life.chunks.step.first)] for life in (one, two)]
    starts = np.concatenate(starts)
    assert len(np.unique(starts)) == len(starts) > 30


def test_second_life_compiles_nothing_and_equals_itself(world):
    inner, meta = setup(Plan(2, 10, 3))
    w = world(HostWalk(), workers=0)
    first, _ = w.live(inner, meta, walks(GOALS, noise=0.5), jax.random.key(1))
    policy = policy_of(inner, None, True, str(jax.random.key_impl(jax.random.key(0))))
    functions = policy.keys, policy.begin, policy.act, policy.learn
    sizes = [f._cache_size() for f in functions]
    w.live(inner, jax.tree.map(lambda x: x * 1.1, meta), walks([1.0] * 3), jax.random.key(2))
    again, _ = w.live(setup(Plan(2, 10, 3))[0], meta, walks(GOALS, noise=0.5), jax.random.key(1))
    assert sizes == [f._cache_size() for f in (policy.keys, policy.begin, policy.act, policy.learn)]
    same(first, again)


def test_a_life_goes_on_from_its_cursor(world):
    key = jax.random.key(3)
    inner, meta = setup(Plan(2, 10, 3))
    w = world(HostWalk(), workers=2)
    tasks = walks(GOALS, noise=0.5)
    one, cursor = w.live(inner, meta, tasks, key)
    two, end = w.live(inner, meta, tasks, jax.random.key(4), cursor, False)
    assert not np.asarray(two.fresh).any() and np.asarray(one.fresh).all()
    same(one.last, jax.tree.map(lambda x: x[:, 0, 0], two.chunks.step))
    same(cursor.fast, two.start)
    assert not np.asarray(two.chunks.step.born).any() and np.asarray(one.chunks.step.born)[:, 0, 0].all()
    with pytest.raises(ValueError, match="cursor's environments are gone"):
        w.live(inner, meta, tasks, key, cursor, False)
    anew, _ = w.live(inner, meta, tasks, key, end, True)
    same(one, anew)


def test_batched_metas(world):
    inner, meta = setup(Plan(2, 10, 3))
    tasks, key = walks(GOALS), jax.random.key(3)
    metas = jax.tree.map(lambda x: jnp.stack([x, 2 * x, -x]), meta)
    device, _ = DeviceWorld(DeviceWalk()).live(inner, metas, tasks, key, metas=0)
    host, _ = world(HostWalk(), workers=0).live(inner, metas, tasks, key, metas=0)
    same(device, host, atol=1e-5)


def test_fewer_and_more_tasks_than_before(world):
    w = world(HostWalk(), workers=2)
    fresh = world(HostWalk(), workers=0)
    key = jax.random.key(3)
    for goals, streams in ((GOALS, 2), (GOALS[:1], 3), (GOALS * 2, 4)):
        inner, meta = setup(Plan(1, 10, streams))
        same(w.live(inner, meta, walks(goals, 0.5), key)[0], fresh.live(inner, meta, walks(goals, 0.5), key)[0])


def test_world_of_chooses_by_the_family():
    assert isinstance(world_of(DeviceWalk()), DeviceWorld) and world_of(DeviceWalk()).jittable
    assert isinstance(world_of(HostWalk(), workers=0), HostWorld) and not world_of(HostWalk(), workers=0).jittable
    with pytest.raises(ValueError, match="workers is -1"):
        world_of(HostWalk(), workers=-1)


def test_lives_may_share_their_luck(world):
    inner, meta = setup(Plan(2, 10, 3))
    w = world(HostWalk(), workers=0)
    keys = jnp.repeat(jax.random.split(jax.random.key(1), 2), 2)
    lives, _ = w.live(inner, meta, walks([1.0, 1.0, 2.0, 2.0], noise=0.5), keys)
    reward = np.asarray(lives.chunks.reward)
    np.testing.assert_array_equal(reward[0], reward[1])
    np.testing.assert_array_equal(reward[2], reward[3])
