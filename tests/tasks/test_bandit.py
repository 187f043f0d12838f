"""The Bernoulli bandit against its law."""

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Task
from innerloop.tasks import Bandit


def test_arms_are_uniform():
    p = np.asarray(Bandit(k=3).sample(jax.random.key(0), 20_000).params)
    np.testing.assert_allclose(p.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(p.var(0), 1 / 12, atol=0.002)
    assert abs(np.corrcoef(p.T)[0, 1]) < 0.03


def test_a_pull_pays_one_with_the_arms_probability():
    env = Bandit(k=3)
    task = Task(jnp.int32(-1), jnp.array([0.2, 0.9, 0.5]))
    for arm, p in enumerate([0.2, 0.9, 0.5]):
        keys = jax.random.split(jax.random.key(arm), 8000)
        pays = jax.vmap(lambda key, arm=arm: env.step(task, (), jnp.int32(arm), key)[2])(keys)
        assert set(np.unique(pays)) == {0.0, 1.0}
        np.testing.assert_allclose(np.mean(pays), p, atol=0.02)
    assert env.best(task) == np.float32(0.9)
