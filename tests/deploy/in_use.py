"""One life in a device family, driven step by step with the keys of `core.live`. Not the tests."""

from dataclasses import replace

import jax
import numpy as np

from innerloop import registry
from innerloop.core import live, select
from innerloop.tasks.names import family as find

SMALL = {"width": 8, "hidden": (8,), "memory": "gru", "layers": 1, "embed": 8, "members": 2, "ensemble": 2}
SMALL |= {"predictions": 4, "life_width": 8, "model_width": 8, "head_width": 8, "bins": 5}


def small(name, family):
    """A recipe's inner on a family, with small nets, living chunks of two episodes."""
    found = find(family)
    recipe = registry.maker(name)(found, 10_000)

    def shrunk(inner):
        chosen = {n: v for n, v in SMALL.items() if getattr(inner, n, None) and isinstance(getattr(inner, n), type(v))}
        if "embed" in chosen and not isinstance(inner.embed, int):
            chosen["embed"] = (8,)
        parts = {n: shrunk(getattr(inner, n)) for n in ("base", "prober") if hasattr(getattr(inner, n, None), "plan")}
        return replace(inner, **chosen, **parts)

    return shrunk(recipe.inner), found


def lived(inner, family, meta, task, key):
    """`core.live`, jitted."""
    return jax.jit(lambda meta, task, key: live(inner, family, family.spaces, meta, task, key))(meta, task, key)


def walk(agent, family, task, key, steps=None):
    """Drive `agent` through the life that `lived` lives; the actions, in order."""
    plan = agent.plan
    _, key_steps, key_reset = jax.random.split(key, 3)
    reset, step = jax.jit(family.reset), jax.jit(family.step)
    state, obs = reset(task, jax.random.split(key_reset, 1)[0])
    actions = []
    for key_chunk in jax.random.split(key_steps, plan.chunks):
        key_rows, key_restart = jax.random.split(key_chunk)
        for t, key_row in enumerate(jax.random.split(key_rows, plan.steps)):
            if steps is not None and len(actions) == steps:
                return actions
            keys = jax.random.split(key_row, 3)
            actions.append(agent.act(jax.tree.map(np.asarray, obs)))
            action = np.asarray(actions[-1])
            state, arrived, reward, terminated, truncated = step(task, state, action, keys[1])
            cut = plan.restart and t + 1 == plan.steps
            state, obs = select(terminated | truncated, reset(task, keys[2]), (state, arrived))
            state, obs = reset(task, jax.random.split(key_restart, 1)[0]) if cut else (state, obs)
            ends = bool(terminated), bool(truncated) or bool(cut and not terminated)
            agent.reward(float(reward), *ends, obs=jax.tree.map(np.asarray, arrived))
    return actions
