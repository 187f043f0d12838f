"""On a CPU, no program of a run calls LAPACK on a batch of matrices: two such calls at once hang (`core/in_turn.py`).

Programs are traced, with the recipes' own sizes, and not run.
"""

from __future__ import annotations

from typing import Any

import jax
import pytest
from jax.extend import core

from innerloop import registry
from innerloop.run.trainer import Trainer
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld

LAPACK = {"cholesky", "triangular_solve", "householder_product", "geqrf", "qr", "lu", "eigh", "eig", "svd"}
TASKS = ("probe-across", "tabular-mdp-n2", "projected-pendulum")  # a GRU, a matrix memory, continuous actions
PROGRAMS = (core.Jaxpr, core.ClosedJaxpr)


def batched(jaxpr: core.Jaxpr) -> list[str]:
    """LAPACK's calls with a batch, in a program and all that it calls."""
    found = []
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in LAPACK:
            shapes = [x.aval.shape for x in eqn.invars]
            if any(len(shape) > 2 and shape[:-2] != (1,) * len(shape[:-2]) for shape in shapes):
                found.append(f"{eqn.primitive.name} {shapes}")
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, PROGRAMS)):
            found += batched(getattr(inner, "jaxpr", inner)) if isinstance(inner, PROGRAMS) else []
    return found


def programs(name: str, tasks: str) -> Any:
    """A recipe's update, and the lives of its baselines; none where the recipe refuses the family."""
    try:
        recipe = registry.maker(name)(family(tasks), 10_000).settled()
        its = family(recipe.family)
        recipe.inner.check()
        recipe.outer.check(recipe.inner)
    except ValueError:
        return
    world = DeviceWorld(its)
    trainer = Trainer(recipe, its, world)
    yield jax.make_jaxpr(lambda carried: trainer.iterate(carried))(jax.eval_shape(lambda: trainer.first(0)))
    drawn = its.sample(jax.random.key(0), 4)
    for inner, _ in registry.baselines(recipe, its).values():

        def lived(key: Any, inner: Any = inner) -> Any:
            return world.live(inner, inner.init(key), drawn, key)[0].last.obs

        if not recipe.inner.population:
            yield jax.make_jaxpr(lived)(jax.random.key(0))


@pytest.mark.parametrize("name", sorted(registry.RECIPES))
def test_no_recipe_calls_lapack_on_a_batch(name: str):
    met = 0
    for tasks in TASKS:
        for program in programs(name, tasks):
            assert not batched(program.jaxpr), (tasks, batched(program.jaxpr))
            met += 1
    assert met or name in ("dpt", "ad")


def test_a_batch_would_be_seen():
    program = jax.make_jaxpr(jax.jit(jax.vmap(lambda x: jax.numpy.linalg.qr(x)[0])))(jax.numpy.zeros((3, 2, 2)))
    assert batched(program.jaxpr)
