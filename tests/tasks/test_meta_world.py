"""Meta-World: the package's own tasks, split without overlap, and its own numbers behind our faster reach."""

import importlib.metadata
import importlib.util

import jax
import numpy as np
import pytest

from innerloop.tasks import meta_world, sawyer_env
from innerloop.tasks.family import SPLITS
from innerloop.tasks.names import family

INSTALLED = importlib.util.find_spec("metaworld") is not None
REASON = "the extra metaworld is not installed: it pins mujoco==3.3.0, and has an environment of its own"


@pytest.fixture(scope="module")
def metaworld():
    return pytest.importorskip("metaworld", reason=REASON)


@pytest.mark.parametrize("name", ["ml1-reach", "ml1-button-press-topdown-wall", "ml1-reach-r1-t100-n2", "ml10", "ml45-t200"])
def test_names_lead_back(name):
    assert family(name).name == name and family(name).split("test").name == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ml1-reech", "Did you mean 'reach'"),
        ("ml1", "ml1-reach, for example"),
        ("ml25", "a class of its training"),
        ("ml11", "no such benchmark"),
        ("ml1-reach-r3", "no rewards of version 3"),
    ],
)
def test_what_the_benchmark_has_not_is_refused(name, said):
    with pytest.raises(ValueError, match=said):
        family(name)


@pytest.mark.skipif(INSTALLED, reason="the extra metaworld is installed")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ValueError, match=r"pip install 'innerloop\[metaworld\]'"):
        family("ml1-reach").spaces  # noqa: B018


@pytest.mark.parametrize("name", ["ml1-push", "ml10", "ml45"])
def test_splits_are_disjoint_and_whole(name):
    env = family(name)
    ids = [env.split(which).ids for which in SPLITS]
    assert sorted(i for rows in ids for i in rows) == list(range(env.size))
    assert [len(rows) / 50 for rows in ids] == {"ml1-push": [0.8, 0.2, 1], "ml10": [8, 2, 5], "ml45": [36, 9, 5]}[name]


def test_classes_are_the_packages(metaworld):
    assert {f"{name}-v3" for name in meta_world.CLASSES} == set(metaworld.ML1.ENV_NAMES)


@pytest.mark.parametrize("name", ["ml1-reach", "ml10", pytest.param("ml45", marks=pytest.mark.slow)])
def test_the_packages_train_and_test_tasks_are_disjoint(metaworld, name):
    env = family(name)
    goals = env.goals
    tasks = list(zip(goals.kind.tolist(), map(tuple, goals.place.tolist()), strict=True))
    assert len(set(tasks)) == len(tasks) == env.size and goals.train == 50 * env._classes[0]
    of = {which: {tasks[i] for i in env.split(which).ids} for which in SPLITS}
    assert not of["test"] & (of["train"] | of["validation"])
    if name != "ml1-reach":
        kinds = [{goals.kinds[k] for k, _ in of[which]} for which in SPLITS]
        assert kinds[0] == kinds[1] and not kinds[0] & kinds[2]
        assert sorted(kinds[0]) == sorted(getattr(metaworld, name.upper())(seed=0).train_classes)


def test_a_batch_deals_classes_evenly(metaworld):
    env = family("ml10")
    task = env.sample(jax.random.key(0), 420)
    first = np.asarray(task.index)[:400]
    assert sorted(first.tolist()) == env.ids  # all of them, before any comes again
    for pack in np.asarray(task.params.kind).reshape(-1, 10):
        assert sorted(pack.tolist()) == list(range(10))
    assert set(np.asarray(env.split("test").sample(jax.random.key(0), 5).params.kind).tolist()) == set(range(10, 15))


def walked(reference, env, actions, *, toward=None):
    """Both environments by the same actions, an episode of each: the greatest difference, and who succeeded."""
    seen, mine = reference.reset()[0], env.reset()[0]
    worst, done = np.max(np.abs(seen - mine)), 0
    for action in actions:
        if toward is not None:
            push = np.clip(10.0 * (toward - seen[:3]), -1, 1)
            action = np.array([*push, 0.0], np.float32)
        seen, reward, *_, info = reference.step(action)
        mine, earned, terminated, _, told = env.step(action)
        worst = max(worst, np.max(np.abs(seen - mine)), abs(float(reward) - earned))
        assert info["success"] == told["success"] and not terminated
        done += told["success"]
    return worst, done


@pytest.mark.parametrize("which", ["train", "test"])
def test_reach_is_the_packages_to_the_last_bit(metaworld, which):
    env, ml1 = family("ml1-reach").split(which), metaworld.ML1("reach-v3", seed=0)
    tasks = ml1.train_tasks + ml1.test_tasks
    ours, rng = env.make(), np.random.default_rng(0)
    drawn = env.sample(jax.random.key(1), 2)
    for i in range(2):
        reference = ml1.train_classes["reach-v3"]()
        reference.set_task(tasks[int(drawn.index[i])])
        env.assign(ours, jax.tree.map(lambda x, i=i: np.asarray(x[i]), drawn.params))
        for toward in (None, env.goals.place[int(drawn.index[i]), 3:]):
            actions = np.clip(rng.normal(rng.uniform(-1, 1, 4), 0.8, (250, 4)), -1, 1).astype(np.float32)
            worst, done = walked(reference, ours, actions, toward=toward)
            assert worst == 0.0 and (toward is None or done > 0)


@pytest.mark.parametrize(("kind", "rewards"), [("push-v3", 2), ("drawer-open-v3", 2), ("reach-v3", 1)])
def test_other_classes_are_the_packages(metaworld, kind, rewards):
    env = family(f"ml1-{kind.removesuffix('-v3')}-r{rewards}" if rewards != 2 else f"ml1-{kind.removesuffix('-v3')}")
    ml1, ours = metaworld.ML1(kind, seed=0), env.make()
    reference = ml1.train_classes[kind](reward_function_version=f"v{rewards}")
    reference.set_task(ml1.train_tasks[3])
    env.assign(ours, (0, env.goals.place[3].astype(np.float32)))
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 4)).astype(np.float32)
    assert walked(reference, ours, actions)[0] == 0.0


def test_an_environment_takes_tasks_of_any_class_and_ends_by_its_length(metaworld):
    env = family("ml10-t3")
    ours, goals = env.make(), env.goals
    for row in (0, 60, 0):
        env.assign(ours, (goals.kind[row], goals.place[row].astype(np.float32)))
        obs, _ = ours.reset()
        assert np.all(obs[-3:] == 0.0)  # the goal is hidden
        steps = [ours.step(np.full(4, 3.0))[2:4] for _ in range(3)]
        assert steps == [(False, False), (False, False), (False, True)]


def test_a_goal_of_ones_own_is_taken_as_it_is(metaworld):
    env = sawyer_env.SawyerEnv(("reach-v3",), 2, 5)
    place = np.array([0.0, 0.6, 0.02, 0.05, 0.85, 0.2], np.float32)
    sawyer_env.assign(family("ml1-reach").goals, env, (0, place))
    env.reset()
    np.testing.assert_array_equal(env._arm.env._target_pos, place[3:].astype(np.float64))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_success_is_counted_in_lives(metaworld, workers):
    from innerloop.core import Plan
    from innerloop.evaluate.adaptation import Evaluator
    from innerloop.inner.indifferent import Indifferent
    from innerloop.worlds import world_of

    env = family("ml1-reach-t20").split("test")
    world = world_of(env, workers=workers)
    try:
        inner = Indifferent(Plan(1, 40, 1), env.spaces)
        found, drawn = Evaluator(inner, env, world, "episode").find(inner.init(jax.random.key(0)), 3, jax.random.key(0))
    finally:
        world.close()
    assert found.returns.shape == (3, 2) and found.measures.keys() == env.measures.keys()
    for values in found.measures.values():
        assert set(np.unique(values)) <= {0.0, 100.0}


def test_the_protocol_says_what_a_figure_depends_on(metaworld):
    told = family("ml1-reach-t100").protocol
    assert told["steps in an episode"] == "100 (published: 500)" and told["rewards"] == "v2"
    assert told["metaworld"] == importlib.metadata.version("metaworld")
    assert family("shown:ml1-reach").protocol["steps in an episode"] == "500"
