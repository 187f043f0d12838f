"""A learned map between tasks: the adapted agent for task j, foretold from that of task i and a little of j's experience.

Trained on pairs of the training split's tasks, tried on held-out pairs by what the foretold agent earns in an episode. Not an
inner: it asks how much structure adapted agents have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from innerloop.core import Inner, Lifetime, Plan, TaskDistribution, World
from innerloop.core.spaces import encode
from innerloop.evaluate.statistics import over_tasks
from innerloop.evaluate.task_map import episode_returns
from innerloop.nets.layers import Dense, Perceptron

AXES = 16  # principal axes of adapted agents that are foretold, at most
FEATURES = 24  # numbers of a transition whose products are averaged; more are projected at random
STEPS, PAIRS, HIDDEN, LR = 3000, 256, (128, 128), 1e-3


class Shape(NamedTuple):
    """How agents become vectors and back: what varies between adapted agents, along their principal axes."""

    mean: Array  # [D]
    axes: Array  # [K, D]
    scale: Array  # [K]


def _floats(tree: Any) -> tuple[Any, Any]:
    keep = jax.tree.map(lambda x: jnp.issubdtype(x.dtype, jnp.inexact), tree)
    return jax.tree.map(lambda x, k: x if k else None, tree, keep), jax.tree.map(lambda x, k: None if k else x, tree, keep)


def vectors(fasts: Any) -> Array:
    """Agents, leaves [B, ...], as [B, D]."""
    return jax.vmap(lambda one: ravel_pytree(_floats(one)[0])[0])(fasts)


def agents(rows: Array, like: Any) -> Any:
    """Vectors [B, D] as agents; what is no real number is taken from `like`, one agent."""
    reals, rest = _floats(like)
    back = ravel_pytree(reals)[1]
    made = jax.vmap(back)(rows)
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(rows), *jnp.shape(x))), rest)
    return jax.tree.map(lambda a, b: b if a is None else a, made, wide, is_leaf=lambda x: x is None)


def shape_of(rows: Array) -> Shape:
    """Of adapted agents [B, D]."""
    mean = jnp.mean(rows, 0)
    _, s, axes = jnp.linalg.svd(rows - mean[None], full_matrices=False)
    kept = min(AXES, int(jnp.sum(s > 1e-6 * s[0])))
    return Shape(mean, axes[:kept], s[:kept] / jnp.sqrt(len(rows)))


def placed(shape: Shape, rows: Array) -> Array:
    """[B, D] → [B, K], standardised."""
    return (rows - shape.mean[None]) @ shape.axes.T / shape.scale[None]


def experience(inner: Inner[Any, Any], lives: Lifetime) -> Array:
    """What lives [B, ...] have shown: means of all products of two numbers of a transition, [B, F]."""
    rows, spaces = lives.chunks, inner.spaces
    seen = [encode(spaces.obs, rows.step.obs), encode(spaces.action, rows.action), encode(spaces.obs, rows.next_obs)]
    x = jnp.concatenate([*seen, rows.reward[..., None]], -1)
    if x.shape[-1] > FEATURES:
        mix = jax.random.normal(jax.random.key(0), (x.shape[-1] - 1, FEATURES - 1)) / jnp.sqrt(x.shape[-1])
        x = jnp.concatenate([x[..., :-1] @ mix, x[..., -1:]], -1)
    x = jnp.concatenate([x, jnp.ones_like(x[..., :1])], -1)
    x = jnp.where(rows.mask[..., None], x, 0.0).reshape(len(x), -1, x.shape[-1])
    count = jnp.maximum(jnp.sum(rows.mask.reshape(len(x), -1), 1), 1)
    return (jnp.einsum("bni,bnj->bij", x, x) / count[:, None, None]).reshape(len(x), -1)


def fitted(key: Array, places: Array, shown: Array) -> Callable[[Array, Array], Array]:
    """The map, trained on pairs of tasks: places [B, K] of adapted agents, and what each has shown [B, F], standardised."""
    key_net, key_out, key_run = jax.random.split(key, 3)
    net = (
        Perceptron.init(key_net, places.shape[1] + shown.shape[1], HIDDEN),
        Dense.init(key_out, HIDDEN[-1], places.shape[1], scale=0.1),
    )

    def foretell(net: Any, place: Array, shown: Array) -> Array:
        return net[1](net[0](jnp.concatenate([place, shown], -1), "gelu"))

    optimiser = optax.adamw(optax.cosine_decay_schedule(LR, STEPS), weight_decay=1e-3)

    def step(carry: Any, key: Array) -> tuple[Any, None]:
        net, state = carry
        i, j = jax.random.randint(key, (2, PAIRS), 0, len(places))
        gradient = jax.grad(lambda n: jnp.mean((foretell(n, places[i], shown[j]) - places[j]) ** 2))(net)
        change, state = optimiser.update(gradient, state, net)
        return (optax.apply_updates(net, change), state), None

    trained = jax.jit(lambda n: jax.lax.scan(step, (n, optimiser.init(n)), jax.random.split(key_run, STEPS))[0][0])(net)
    return lambda place, shown: foretell(trained, place, shown)


def learned_map(
    inner: Inner[Any, Any],
    meta: Any,
    family: TaskDistribution,
    world: World,
    held_out: tuple[TaskDistribution, World],
    counts: tuple[int, int],
    key: Array,
) -> dict[str, Any]:
    """Train on `counts[0]` tasks of `family`, try on `counts[1]` of `held_out`.

    Returns:
        what agents earn in an episode of a held-out task, each {"mean", "lo", "hi"} over tasks: "foretold" from another task's
        agent and a little experience; "nearest", the agent of the training task whose little experience is most alike;
        "same_experience", the agent that adapted to that little experience alone; "adapted" to a whole life; "unadapted". And
        "steps" of a little experience, and "axes".
    """
    little = inner.with_plan(Plan(1, family.horizon, inner.plan.streams))

    def lived(which: TaskDistribution, world: World, count: int, key: Array) -> tuple[Any, ...]:
        key_tasks, key_full, key_little = jax.random.split(key, 3)
        tasks = which.sample(key_tasks, count)

        def both(meta: Any, tasks: Any) -> tuple[Any, Any, Array]:
            full = world.live(inner, meta, tasks, key_full)[1].fast
            lives, end = world.live(little, meta, tasks, key_little)
            return full, end.fast, experience(inner, lives)

        return tasks, *(jax.jit(both) if world.jittable else both)(meta, tasks)

    keys = jax.random.split(key, 5)
    _, full, _, shown = lived(family, world, counts[0], keys[0])
    other, other_world = held_out
    tasks, held, soon, held_shown = lived(other, other_world, counts[1], keys[1])
    rows = vectors(full)
    shape = shape_of(rows)
    mean, std = jnp.mean(shown, 0)[None], jnp.std(shown, 0)[None] + 1e-6
    shown, held_shown = (shown - mean) / std, jnp.clip((held_shown - mean) / std, -10.0, 10.0)
    foretell = fitted(keys[2], placed(shape, rows), shown)
    others = jnp.roll(jnp.arange(counts[1]), 1)
    place = foretell(placed(shape, vectors(held))[others], held_shown)
    guessed = shape.mean[None] + (place * shape.scale[None]) @ shape.axes
    apart = jnp.sum((held_shown[:, None] - shown[None]) ** 2, -1)
    near = jax.tree.map(lambda x: x[jnp.argmin(apart, 1)], full)
    like = jax.tree.map(lambda x: x[0], full)
    fresh = jax.vmap(inner.begin, (None, 0))(meta, jax.random.split(keys[3], counts[1]))
    contenders = {
        "foretold": agents(guessed, like),
        "nearest": near,
        "same_experience": soon,
        "adapted": held,
        "unadapted": fresh,
    }
    earned = {
        name: np.asarray(episode_returns(inner, meta, other, other_world, fasts, tasks, keys[4]))
        for name, fasts in contenders.items()
    }
    found: dict[str, Any] = {name: over_tasks(values[:, None]).curve()[0] for name, values in earned.items()}
    found = {name: {k: value[k] for k in ("mean", "lo", "hi")} for name, value in found.items()}
    steps = little.plan.steps * little.plan.streams
    return found | {"steps": steps, "axes": len(shape.scale), "trained_on": counts[0], "tasks": counts[1]}
