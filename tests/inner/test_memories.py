"""What memories take in, what the forgetful keep, and that the random baseline is random."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Discrete, Plan, Spaces, birth
from innerloop.inner.forgetful import Forgetful
from innerloop.inner.indifferent import Indifferent
from innerloop.inner.recurrent import Recurrent

SPACES = Spaces(Box((2,), -1.0, 1.0), Discrete(3))
INNER = Recurrent(Plan(1, 4, 1), SPACES, width=6)
META = INNER.init(jax.random.key(0))
FAST = INNER.begin(META, jax.random.key(0))
STEP = birth(SPACES, jnp.full((1, 2), 0.3), 1)._replace(born=jnp.zeros(1, bool), first=jnp.zeros(1, bool))
OTHER = {
    "obs": jnp.full((1, 2), -0.5),
    "action": jnp.array([2], jnp.int32),
    "reward": jnp.array([1.0]),
    "first": jnp.ones(1, bool),
    "terminated": jnp.ones(1, bool),
}


@pytest.mark.parametrize("field", OTHER)
def test_the_memory_is_fed_with(field):
    """Observation, previous action, previous reward, episode begins, and how the last one ended."""
    plain = INNER.observe(META, FAST, STEP)
    assert np.abs(plain.read - INNER.observe(META, FAST, STEP._replace(**{field: OTHER[field]})).read).max() > 1e-4


def test_a_memory_runs_on_when_an_episode_begins():
    memory = INNER.observe(META, FAST, STEP)
    begun = STEP._replace(first=jnp.ones(1, bool))
    assert np.abs(INNER.observe(META, memory, begun).read - INNER.observe(META, FAST, begun).read).max() > 1e-4


def test_at_birth_there_is_no_previous_action():
    born = STEP._replace(born=jnp.ones(1, bool))
    one, two = (INNER.observe(META, FAST, born._replace(action=jnp.array([a], jnp.int32))).read for a in (0, 2))
    np.testing.assert_array_equal(one, two)


def test_a_transition_is_fed_in_whole_on_request():
    """With the observation that the previous action was taken in; at birth there is none."""
    inner = replace(INNER, transition=True, embed=5)
    meta = inner.init(jax.random.key(0))
    fast = inner.begin(meta, jax.random.key(0))
    ahead = [inner.observe(meta, fast, STEP._replace(obs=jnp.full((1, 2), x))) for x in (0.0, 0.9)]
    one, two = (inner.observe(meta, fast._replace(before=f.before), STEP).read for f in ahead)
    assert np.abs(one - two).max() > 1e-4
    born = STEP._replace(born=jnp.ones(1, bool))
    one, two = (inner.observe(meta, fast._replace(before=f.before), born).read for f in ahead)
    np.testing.assert_array_equal(one, two)


def test_sizes_below_0_are_refused():
    with pytest.raises(ValueError, match="inner.embed is -1; it must be at least 0"):
        replace(INNER, embed=-1).check()


@pytest.mark.parametrize("every", ["episode", "step"])
def test_the_forgetful_decide_as_if_just_born(every):
    inner = Forgetful(INNER, every)
    fast = inner.begin(META, jax.random.key(0))
    for reward in (1.0, -2.0):
        fast = inner.observe(META, fast, STEP._replace(reward=jnp.array([reward]), action=jnp.array([1], jnp.int32)))
    late = STEP._replace(first=jnp.ones(1, bool), reward=jnp.array([5.0]), terminated=jnp.ones(1, bool))
    newborn = INNER.observe(META, FAST, birth(SPACES, STEP.obs, 1)).read
    np.testing.assert_allclose(inner.observe(META, fast, late).now.read, newborn, atol=1e-6)
    within = inner.observe(META, fast, STEP._replace(reward=jnp.array([5.0]))).now.read
    assert (np.abs(within - newborn).max() > 1e-4) == (every == "episode")


def test_the_forgetful_learn_nothing():
    inner = Forgetful(INNER, "never")
    assert type(inner).learn(inner, META, inner.begin(META, jax.random.key(0)), None, jax.random.key(0)) is not None
    assert inner.with_plan(Plan(3, 2, 1)).plan == Plan(3, 2, 1) and inner.with_plan(Plan(3, 2, 1)).every == "never"


@pytest.mark.parametrize("action", [Discrete(3), Box((2,), -2.0, 4.0), Box((2,))])
def test_the_indifferent_play_evenly_within_bounds(action):
    inner = Indifferent(Plan(1, 1, 1), Spaces(SPACES.obs, action))
    dist = inner.decide((), (), jnp.zeros((4000, 2))).dist
    x = np.asarray(dist.sample(jax.random.key(0)))
    if isinstance(action, Discrete):
        assert np.abs(np.bincount(x, minlength=3) / 4000 - 1 / 3).max() < 0.03
    else:
        low, high = (action.low, action.high) if action.bounded else (-1.0, 1.0)
        assert x.min() >= low and x.max() <= high and np.abs(x.mean(0) - (low + high) / 2).max() < 0.1 * (high - low)
