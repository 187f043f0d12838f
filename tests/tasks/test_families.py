"""What every family on device keeps to, whichever it is."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core.spaces import Box, Discrete
from innerloop.tasks import SPLITS
from innerloop.tasks.names import examples, family

INSTALLED = {"xland": importlib.util.find_spec("xminigrid") is not None}  # extras: families that need another package
NAMES = [name for name in examples() if family(name).on_device and INSTALLED.get(name.split("-")[0], True)]


@pytest.fixture(params=NAMES)
def env(request):
    return family(request.param)


SAMPLE = jax.jit(lambda env, key: env.sample(key, 120), static_argnums=0)  # one size: each one compiles anew


def draw(env, seed=0):
    return SAMPLE(env, jax.random.key(seed))


def some(env, n):
    return jax.tree.map(lambda x: x[:n], draw(env))


def actions(env, key, n):
    """Uniform actions [n, ...]."""
    space = env.spaces.action
    if isinstance(space, Discrete):
        return jax.random.randint(key, (n,), 0, space.n, jnp.int32)
    return jax.random.uniform(key, (n, *space.shape), minval=space.low, maxval=space.high)


def parts(space):
    """The spaces in a (nested) space, in the order of an observation's leaves."""
    return jax.tree.leaves(space, is_leaf=lambda x: isinstance(x, (Discrete, Box)))


def at(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def rollout(env, tasks, policy, key):
    """One episode in each of the tasks; policy(state, t) → actions [B]. Rewards [T, B], until the first end."""
    count = tasks.index.shape[0]
    key_reset, key_steps = jax.random.split(key)
    state, _ = jax.vmap(env.reset)(tasks, jax.random.split(key_reset, count))

    def advance(carry, xs):
        state, running = carry
        t, key = xs
        state, _, reward, terminated, truncated = jax.vmap(env.step)(
            tasks, state, policy(state, t), jax.random.split(key, count)
        )
        return (state, running & ~(terminated | truncated)), (jnp.where(running, reward, 0.0), running)

    xs = (jnp.arange(env.horizon), jax.random.split(key_steps, env.horizon))
    (_, running), (rewards, lived) = jax.lax.scan(advance, (state, jnp.ones(count, bool)), xs)
    return rewards, lived, running


def test_equal_families_are_one_static_argument(env):
    twin = family(env.name)
    assert env == twin and hash(env) == hash(twin)
    assert env != env.split("test")
    assert env.split("train") == env


def test_unknown_split_is_refused(env):
    with pytest.raises(ValueError, match="'held-out'; accepted: train, validation, test"):
        env.split("held-out")


def test_sampling_is_a_function_of_key_and_split(env):
    once, again = draw(env), draw(family(env.name))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    assert once.index.shape == (120,) and once.index.dtype == jnp.int32
    assert all(x.shape[0] == 120 for x in jax.tree.leaves(once))


def test_splits_draw_what_they_promise(env):
    drawn = {which: draw(env.split(which)) for which in SPLITS}
    ids = {which: set(np.asarray(tasks.index).tolist()) for which, tasks in drawn.items()}
    if env.size == -1:
        assert all(found == {-1} for found in ids.values())
        flat = [np.concatenate([np.reshape(x, (120, -1)) for x in jax.tree.leaves(t.params)], 1) for t in drawn.values()]
        for i in range(3):
            for j in range(i):
                assert np.mean(np.all(flat[i] == flat[j], axis=1)) < 0.01
    elif env.tiny:
        assert all(found == set(range(env.size)) for found in ids.values())
    else:
        assert not (ids["train"] & ids["validation"] or ids["train"] & ids["test"] or ids["validation"] & ids["test"])
        held = {which: set(env.split(which).ids) for which in SPLITS}
        assert set.union(*held.values()) == set(range(env.size)) and sum(map(len, held.values())) == env.size
        assert all(found <= held[which] for which, found in ids.items())


def test_finite_families_draw_without_replacement(env):
    if env.size == -1:
        return
    for which in SPLITS:
        view = env.split(which)
        count = len(getattr(view, "ids", range(env.size)))
        index = np.asarray(draw(view).index)
        packs = [sorted(index[i : i + count].tolist()) for i in range(0, 120 - count + 1, count)]
        assert all(pack == packs[0] and len(set(pack)) == count for pack in packs)
        assert len(set(index.tolist())) == min(count, 120)
    if env.size > 1:
        assert draw(env, 0).index.tolist() != draw(env, 1).index.tolist()


def test_reset_and_step_keep_their_types(env):
    task = at(draw(env), 0)
    key = jax.random.key(1)
    state, obs = jax.eval_shape(env.reset, task, key)
    ahead, seen, reward, terminated, truncated = jax.eval_shape(env.step, task, state, at(actions(env, key, 1), 0), key)

    def types(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)

    assert types(state) == types(ahead)
    assert types(obs) == types(seen)
    assert reward.shape == terminated.shape == truncated.shape == ()
    assert reward.dtype == jnp.float32
    assert terminated.dtype == truncated.dtype == jnp.bool_
    for seen, space in zip(jax.tree.leaves(obs), parts(env.spaces.obs), strict=True):
        assert seen.dtype == (jnp.int32 if isinstance(space, Discrete) else jnp.float32)
        assert seen.shape == (() if isinstance(space, Discrete) else space.shape)


def test_observations_stay_in_their_space(env):
    tasks = some(env, 16)

    def play(state, key):
        keys = jax.random.split(key, 16)
        state, obs, *_ = jax.vmap(env.step)(tasks, state, actions(env, key, 16), keys)
        return state, obs

    @jax.jit
    def episode(key):
        state, obs = jax.vmap(env.reset)(tasks, jax.random.split(key, 16))
        return obs, jax.lax.scan(play, state, jax.random.split(key, env.horizon))[1]

    for seen in episode(jax.random.key(1)):
        for obs, space in zip(jax.tree.leaves(seen), parts(env.spaces.obs), strict=True):
            low, high = (0, space.n - 1) if isinstance(space, Discrete) else (space.low, space.high)
            assert jnp.all((obs >= low) & (obs <= high))


def test_vmap_and_jit_are_the_loop(env):
    tasks = some(env, 4)
    keys, acts = jax.random.split(jax.random.key(1), 4), actions(env, jax.random.key(2), 4)
    states, obs = jax.vmap(env.reset)(tasks, keys)
    together = jax.jit(jax.vmap(env.step))(tasks, states, acts, keys)
    state, seen = env.reset(at(tasks, 2), keys[2])
    jax.tree.map(np.testing.assert_array_equal, (state, seen), at((states, obs), 2))
    alone = env.step(at(tasks, 2), state, acts[2], keys[2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), alone, at(together, 2))


def test_an_episode_ends_at_its_horizon(env):
    tasks = some(env, 8)
    zeros = env.spaces.action.zeros((8,))
    _, lived, running = jax.jit(lambda key: rollout(env, tasks, lambda state, t: zeros, key))(jax.random.key(1))
    if env.name.startswith(("projected-cartpole", "hidden-cartpole", "xland", "grid-world", "highway")):
        return  # a pole falls before, a goal may be met by chance, tasks have horizons of their own, cars may collide
    assert jnp.all(lived)  # nothing else ends early under action 0: no goal lies on the origin
    assert bool(jnp.all(running)) == env.name.startswith("bandit")  # whose trial no episode ends


def test_best_reads_any_batch(env):
    tasks = some(env, 6)
    best = env.best(tasks)
    if best is None:
        return
    assert best.shape == (6,)
    folded = env.best(jax.tree.map(lambda x: jnp.reshape(x, (2, 3, *x.shape[1:])), tasks))
    np.testing.assert_allclose(jnp.ravel(folded), best, rtol=1e-6)
    np.testing.assert_allclose(env.best(at(tasks, 3)), best[3], rtol=1e-6)


def test_definitions_by_the_papers():
    known = {name: family(name) for name in NAMES if not name.startswith("xland")}
    assert {name: (env.horizon, env.episodes, env.size) for name, env in known.items()} == {
        "bandit-k5-n10": (10, 1, -1),
        "tabular-mdp-n10": (10, 10, -1),
        "point-goal": (100, 3, -1),
        "two-step": (200, 1, -1),
        "grid-navi": (15, 4, 21),
        "grid-world": (50, 10, -1),
        "two-colours": (32_000, 1, 2),
        "dark-room": (20, 10, 81),
        "dark-room-hard": (20, 30, 289),
        "dark-key-to-door": (50, 10, 6561),
        "projected-cartpole": (200, 4, -1),
        "projected-mountain-car": (200, 4, -1),
        "projected-acrobot": (500, 4, -1),
        "projected-pendulum": (200, 4, -1),
        **{f"hidden-cartpole{end}": (200, 4, -1) for end in ("", "-beyond")},
        **{f"hidden-mountain-car{end}": (200, 4, -1) for end in ("", "-beyond")},
        **{f"hidden-acrobot{end}": (500, 4, -1) for end in ("", "-beyond")},
        **{f"hidden-pendulum{end}": (200, 4, -1) for end in ("", "-beyond")},
        "market-making": (60, 4, -1),
        "market-making-beyond": (60, 4, -1),
        "highway": (30, 3, -1),
        "highway-beyond": (30, 3, -1),
        "insulin-dosing": (96, 4, 30),
        "insulin-dosing-unannounced": (96, 4, 30),
        "semi-circle-pearl": (20, 6, 100),
        "semi-circle-varibad": (100, 3, -1),
        "semi-circle-dense": (20, 3, -1),
        "semi-circle-dense-below": (20, 3, -1),
        "probe-reward": (10, 1, 2),
        "probe-observation": (4, 1, 4),
        "probe-cost": (2, 1, 2),
        "probe-across": (2, 4, 2),
        "probe-alike": (10, 1, 1),
    }
    assert isinstance(family("point-goal").spaces.action, Box)
