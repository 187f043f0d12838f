"""What every inner promises, whichever it is: numbers in brackets are those of the design's list of contract tests.

Not here: device world == host world on the same environment [13] (tests/worlds), outers (test_outers.py), exact
gradients [9] (test_gradients_are_exact.py), restarts of processes [12, 14] (test_restarts.py).
"""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import close, distance, same
from registry import CASES, INNERS, TASKS, Case, defined, lived, replayed

import innerloop.inner
from innerloop.core import Cursor, Discrete, Inner, Task, live, replay
from innerloop.worlds import DeviceWorld

every = pytest.mark.parametrize("case", CASES, ids=repr)
methods = pytest.mark.parametrize("case", INNERS, ids=repr)


def one(tree, i=0):
    return jax.tree.map(lambda x: x[i], tree)


def test_every_inner_has_a_case():
    covered = {type(case.inner) for case in CASES}
    missing = defined(innerloop.inner, Inner) - covered
    assert not missing, f"{missing} stand in no recipe and in no baseline, so the contract suite does not see them"


@pytest.mark.parametrize("case", [c for c in INNERS if c.family.name.endswith("point-goal")], ids=repr)
def test_replay_is_live(case: Case):
    """[1], bit for bit on the plain path: nothing jitted, mapped or overridden."""
    made = lived(case)

    class Plain(type(case.inner)):
        unroll = Inner.unroll

    inner = Plain(**{f: getattr(case.inner, f) for f in case.inner.__dataclass_fields__}).with_plan(
        case.inner.plan._replace(steps=2, streams=1)
    )
    with jax.disable_jit():
        life, cursor = live(inner, made.family, made.family.spaces, made.meta, one(made.tasks), jax.random.key(0))
        decision, _, fast = replay(inner, made.meta, life, learn_last=True)
    same(decision.dist, life.chunks.dist)
    same(decision.value, life.chunks.value)
    same(fast, cursor.fast)


@every
def test_replay_is_live_when_jitted_and_mapped(case: Case):
    """[1] and [15]: at the sampling parameters the old policy has ratio 1 and KL 0."""
    made = lived(case)
    rows = made.lives.chunks
    decision, _, fast = replayed(case)(made.meta, made.lives)
    close(decision.dist, rows.dist, 2e-6)
    close(decision.value, rows.value, 2e-6)
    # a baseline that fits its few rows perfectly leaves rounding errors as advantages, and standardises them; Retrace's sums of
    # values in squashed units are large
    close(fast, made.cursor.fast, 2e-2 if "from scratch" in case.name else 1e-4 if "disco" in case.name else 1e-5)
    ratio = jnp.exp(decision.dist.log_prob(rows.action) - rows.log_prob)
    np.testing.assert_allclose(ratio, 1.0, atol=1e-5)
    np.testing.assert_allclose(rows.dist.kl(decision.dist), 0.0, atol=1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if type(c.inner).unroll is not Inner.unroll], ids=repr)
def test_unroll_is_the_scan(case: Case):
    """[2]"""
    made = lived(case)
    rows, start = one(one(made.lives.chunks)), one(made.lives.start)
    fast, decision = jax.jit(case.inner.unroll)(made.meta, start, rows.step)
    slow, scanned = jax.jit(lambda *x: Inner.unroll(case.inner, *x))(made.meta, start, rows.step)
    close(fast, slow, 2e-6)
    close(decision, scanned, 2e-6)


@methods
def test_mapped_lives_are_the_lives_one_by_one(case: Case):
    """[3]; and a life whose last chunk is not learned from is the same life."""
    made = lived(case)
    keys = jax.random.split(made.key, TASKS)
    alone = jax.jit(lambda t, key: live(case.inner, made.family, made.family.spaces, made.meta, t, key, learn_last=False))
    life, cursor = alone(one(made.tasks, 2), keys[2])
    close(life, one(made.lives, 2), 1e-5)
    close((cursor.world, cursor.step), (one(made.cursor.world, 2), one(made.cursor.step, 2)), 1e-5)
    _, _, fast = replay(case.inner, made.meta, life, learn_last=True)  # [4]: and nothing is jitted as a whole
    close(fast, one(made.cursor.fast, 2), 1e-5)


@every
def test_permuting_experience_permutes_what_was_learned(case: Case):
    """[5]; and the task itself, which an outer may see in a life, is not looked at."""
    made = lived(case)
    order = jnp.array([2, 0, 3, 1])
    blind = made.lives._replace(task=jax.tree.map(jnp.zeros_like, made.lives.task))
    fast = replayed(case)(made.meta, made.lives)[2]
    close(replayed(case)(made.meta, one(blind, order))[2], one(fast, order), 1e-6)
    if case in INNERS:
        assert min(distance(one(fast, i), one(fast, j)) for i in range(TASKS) for j in range(i)) > 1e-6


@pytest.mark.parametrize("kind", sorted(defined(innerloop.inner, Inner), key=repr))
def test_no_inner_is_ever_given_the_task(kind: type[Inner]):
    """By type: no method takes a task or a life; `absorb`, the outer's call, aside."""
    accepted = {
        "init": ["key"],
        "begin": ["meta", "key"],
        "observe": ["meta", "fast", "step"],
        "decide": ["meta", "fast", "obs"],
        "learn": ["meta", "fast", "chunk", "key"],
        "unroll": ["meta", "fast", "steps"],
    }
    for method, names in accepted.items():
        found = inspect.signature(getattr(kind, method))
        assert list(found.parameters)[1:] == names
        assert not any("Task" in str(p.annotation) or "Lifetime" in str(p.annotation) for p in found.parameters.values())


@pytest.mark.parametrize("case", INNERS[:2], ids=repr)
def test_fresh_lives_are_independent(case: Case):
    """[6]: a life that begins anew is the same life, whatever was lived before; else it goes on from the cursor."""
    made = lived(case)
    world = DeviceWorld(made.family)
    again = jax.jit(lambda key, cursor, fresh: world.live(case.inner, made.meta, made.tasks, key, cursor, fresh))
    fresh = jnp.array([True, False, True, True])
    lives, cursor = again(made.key, made.cursor, fresh)
    back = [0, 2, 3]
    close(one((lives, cursor), np.array(back)), one((made.lives, made.cursor), np.array(back)), 1e-5)
    assert not lives.fresh[1]
    same(one(lives.start, 1), one(made.cursor.fast, 1))
    same(one(lives.chunks.step.obs, (1, 0, 0)), one(made.cursor.step.obs, 1))
    assert not jnp.any(one(lives.chunks.step.born, 1))


@every
def test_decisions_before_any_training_are_valid(case: Case):
    """[7]"""
    made = lived(case)
    rows, space = made.lives.chunks, made.family.spaces.action
    for x in jax.tree.leaves(rows.dist):
        assert jnp.all(jnp.isfinite(x))
    assert jnp.all(jnp.isfinite(rows.log_prob)) and jnp.all(jnp.isfinite(rows.value))
    assert jnp.all(jnp.isfinite(rows.dist.entropy()))
    assert rows.action.dtype == space.zeros().dtype and rows.value.dtype == jnp.float32
    assert rows.action.shape == (TASKS, *case.inner.plan[:3], *space.zeros().shape)
    if isinstance(space, Discrete):
        assert jnp.all((rows.action >= 0) & (rows.action < space.n))
    mode = rows.dist.mode()
    assert (mode.shape, mode.dtype) == (rows.action.shape, rows.action.dtype)


@every
def test_decide_broadcasts_over_leading_axes(case: Case):
    """One set of task parameters reads many observations; memories, one for each stream, come with theirs."""
    made = lived(case)
    fast, obs = one(made.cursor.fast), one(made.cursor.step.obs)
    thrice = lambda tree: jax.tree.map(lambda x: jnp.stack([x, x, x]), tree)  # noqa: E731
    memories = all(jnp.ndim(x) and x.shape[0] == case.inner.plan.streams for x in jax.tree.leaves(fast))
    more = case.inner.decide(made.meta, thrice(fast) if memories else fast, thrice(obs))
    close(one(more, 1), case.inner.decide(made.meta, fast, obs), 1e-6)


@every
def test_the_future_does_not_change_the_past(case: Case):
    """[8]: decisions up to step t of chunk k are the same whatever comes after it."""
    made = lived(case)
    k, t = 1, 2
    rows = made.lives.chunks

    def otherwise(x):
        other = jnp.ones_like(x) if x.dtype in (jnp.bool_, jnp.int32) else x + 3.0
        return x.at[:, k, t + 1 :].set(other[:, k, t + 1 :])

    after = rows._replace(step=jax.tree.map(otherwise, rows.step))
    ended = jax.tree.map(lambda x: x.at[:, k, t:].set(jnp.ones_like(x)[:, k, t:]), (rows.action, rows.reward, rows.terminated))
    after = after._replace(action=ended[0], reward=ended[1], terminated=ended[2])
    before, _, _ = replayed(case)(made.meta, made.lives)
    changed, _, _ = replayed(case)(made.meta, made.lives._replace(chunks=after))
    past = lambda d: (jax.tree.map(lambda x: x[:, :k], d), jax.tree.map(lambda x: x[:, k, : t + 1], d))  # noqa: E731
    close(past(changed), past(before), 1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if type(c.inner).learn is not Inner.learn], ids=repr)
def test_rows_that_are_no_transitions_teach_nothing(case: Case):
    """`learn` honours the mask: what stands in masked rows changes nothing, and a wholly masked chunk keeps all finite."""
    made = lived(case)
    rows, fast = one(one(made.lives.chunks), 0), one(made.lives.start)
    rows = one(one(made.lives.chunks))
    mask = rows.mask.at[2:4, 0].set(False)

    def spoil(x):
        return jnp.where(jnp.reshape(mask, mask.shape + (1,) * (x.ndim - 2)), x, jnp.ones_like(x) * 7)

    flags = {"first": rows.step.first, "terminated": rows.step.terminated, "born": rows.step.born}
    action = jnp.where(jnp.reshape(mask, mask.shape + (1,) * (rows.action.ndim - 2)), rows.action, jnp.zeros_like(rows.action))
    obs = rows.step.obs if rows.step.obs.dtype == jnp.int32 else spoil(rows.step.obs)
    spoiled = rows._replace(
        step=rows.step._replace(obs=obs, reward=spoil(rows.step.reward), **flags),
        action=action,
        log_prob=spoil(rows.log_prob),
        value=spoil(rows.value),
        reward=spoil(rows.reward),
        next_obs=jax.tree.map(spoil, rows.next_obs),
    )
    learn = jax.jit(case.inner.learn)
    key = jax.random.key(3)
    close(learn(made.meta, fast, spoiled._replace(mask=mask), key), learn(made.meta, fast, rows._replace(mask=mask), key), 2e-6)
    nothing = learn(made.meta, fast, spoiled._replace(mask=jnp.zeros_like(mask)), key)
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(nothing))


@methods
def test_segments_are_one_long_life(case: Case):
    """Without chance, two lives of one chunk, the second from the first one's cursor, are one life of two chunks."""
    made = lived(case)
    half = case.inner.with_plan(case.inner.plan._replace(chunks=1))

    def lived_by(inner):
        task, spaces = one(made.tasks), made.family.spaces
        return jax.jit(
            lambda key, cursor, fresh: live(inner, made.family, spaces, made.meta, task, key, cursor, fresh, stochastic=False)
        )

    key, elsewhere = jax.random.key(5), one(made.cursor, 1)
    whole, end = lived_by(case.inner)(key, elsewhere, True)
    segment = lived_by(half)
    first, middle = segment(key, elsewhere, True)
    second, last = segment(key, middle, False)
    assert first.fresh and not second.fresh
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first.chunks, second.chunks)
    close(joined, whole.chunks, 1e-5)
    close(last, end, 1e-5)
    _, ahead, fast = jax.jit(lambda life: replay(half, made.meta, life, learn_last=True))(second)
    close(fast, last.fast, 1e-5)
    assert ahead.shape == (case.inner.plan.streams,)


@pytest.mark.parametrize("case", INNERS[:1], ids=repr)
@pytest.mark.parametrize("restart", [False, True])
def test_a_restart_ends_every_chunk_with_its_episodes(case: Case, restart: bool):
    """Five steps of a family with episodes of two: the last row is cut where chunks restart, and only there."""
    made = lived(case)
    inner = case.inner.with_plan(case.inner.plan._replace(steps=5, restart=restart))
    life, cursor = jax.jit(lambda key: live(inner, made.family, made.family.spaces, made.meta, one(made.tasks), key))(made.key)
    rows = life.chunks
    ended = rows.terminated | rows.truncated
    assert made.family.horizon == 2 and not rows.terminated[0, -1].any()
    assert (rows.truncated[:, :-1] == 0).all() and (rows.truncated[0, -1] == restart).all()
    assert (rows.truncated[1, -1] == restart).all()  # without restarts the second chunk begins within an episode
    first = rows.step.first
    assert first[0, 0].all() and (first[1, 0] == restart).all() and (life.last.first == ended[-1, -1]).all()
    assert (first[:, 1:] == ended[:, :-1]).all()
    assert (rows.step.obs[first] == 0).all()  # the environment did begin anew
    assert rows.step.born[0, 0].all() and rows.step.born.sum() == case.inner.plan.streams
    assert (rows.step.action[1, 0] == rows.action[0, -1]).all() and (rows.step.reward[1, 0] == rows.reward[0, -1]).all()
    assert (rows.step.arrived[1, 0] == rows.next_obs[0, -1]).all()
    if restart:
        assert (cursor.world.time == 0).all()
    assert (cursor.step.obs == life.last.obs).all()


def test_a_task_is_nothing_but_its_index_and_parameters():
    assert Task._fields == ("index", "params") and Cursor._fields == ("fast", "world", "step", "episode")
