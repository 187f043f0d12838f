"""Evaluation by the mode: steps are taken on sampled experience, and what the agents then do is their mode's return."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Plan, stages
from innerloop.evaluate.adaptation import Evaluator
from innerloop.inner.gradient import Gradient
from innerloop.tasks.names import family as find
from innerloop.worlds import DeviceWorld, HostWorld

sys.path.append(str(Path(__file__).parents[1] / "worlds"))
from walks import DeviceWalk, HostWalk

FAMILY = find("point-goal")
INNER = Gradient(Plan(3, FAMILY.horizon, 4, True), FAMILY.spaces, hidden=(8,), lr=2.0)
META = INNER.init(jax.random.key(0))
TASKS = 3


def test_stages_are_the_agents_that_lived_each_chunk():
    world = DeviceWorld(FAMILY)
    tasks = FAMILY.sample(jax.random.key(1), TASKS)
    lives, _ = jax.jit(lambda k: world.live(INNER, META, tasks, k))(jax.random.key(2))
    fasts = jax.jit(jax.vmap(lambda life: stages(INNER, META, life)))(lives)
    assert fasts.steps.tolist() == [[0, 1, 2]] * TASKS
    dist = jax.vmap(jax.vmap(lambda fast, obs: INNER.decide(META, fast, obs).dist))(fasts, lives.chunks.step.obs)
    np.testing.assert_allclose(dist.mean, lives.chunks.dist.mean, atol=1e-3)  # the step is large, and so are roundings


def test_the_mode_of_the_adapted_policies_is_what_counts():
    evaluator = Evaluator(INNER, FAMILY, DeviceWorld(FAMILY), "gradient step", stochastic=False)
    found, tasks = evaluator(META, TASKS, jax.random.key(3))
    key_tasks, key_lives = jax.random.split(jax.random.fold_in(jax.random.key(3), 0))
    key_lived = jax.random.split(key_lives, 4)[0]
    drawn = FAMILY.sample(key_tasks, TASKS)
    np.testing.assert_array_equal(drawn.params, tasks.params)
    lives, _ = DeviceWorld(FAMILY).live(INNER, META, drawn, key_lived, learn_last=False)
    for b in range(TASKS):
        one = jax.tree.map(lambda x, b=b: x[b], (drawn, lives))
        fasts = stages(INNER, META, one[1])
        for k in range(3):
            fast, total = jax.tree.map(lambda x, k=k: x[k], fasts), 0.0
            state, obs = FAMILY.reset(one[0], jax.random.key(0))
            for _ in range(FAMILY.horizon):
                action = INNER.decide(META, fast, obs[None]).dist.mode()[0]
                state, obs, reward, over, _ = FAMILY.step(one[0], state, action, jax.random.key(0))
                total += float(reward)
                if over:
                    break
            np.testing.assert_allclose(found[b, k], total, rtol=1e-4)
    assert np.abs(found[:, 1] - found[:, 0]).max() > 1e-3  # adaptation took place, though the mode's gradient is zero


def test_the_host_judges_as_the_device_does():
    plan = Plan(2, 14, 3, True)
    inner = Gradient(plan, HostWalk().spaces, hidden=(8,), lr=2.0)
    meta = inner.init(jax.random.key(0))
    found = []
    for family, world in ((DeviceWalk(), DeviceWorld(DeviceWalk())), (HostWalk(), HostWorld(HostWalk(), workers=0))):
        found.append(Evaluator(inner, family, world, "gradient step", stochastic=False)(meta, 4, jax.random.key(5))[0])
    np.testing.assert_allclose(*found, atol=1e-5)
    assert jnp.isfinite(found[0]).all()
