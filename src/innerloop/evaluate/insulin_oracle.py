"""Insulin dosing by rules that know the patient: how the days of held-out patients go with them.

Not an oracle: nobody knows the optimum. The basal-bolus rule is what a well-informed patient does, and an agent may surpass it.
It is always told of meals: where agents are not (`insulin-dosing-unannounced`), the days are the same, and its name says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Task, Transitions
from innerloop.evaluate.statistics import over_tasks
from innerloop.tasks import insulin_dosing
from innerloop.tasks.insulin_dosing import InsulinDosing

AT_ONCE = 2000  # days side by side


def _basal(family: InsulinDosing, task: Task, obs: Array) -> Array:
    return insulin_dosing.action(task.params.basal)[None]


def _nothing(family: InsulinDosing, task: Task, obs: Array) -> Array:
    return jnp.full(1, -1.0)


INFORMED = "basal-bolus"
RULES: dict[str, Callable[[InsulinDosing, Task, Array], Array]] = {
    INFORMED: InsulinDosing.basal_bolus,
    "basal": _basal,
    "no insulin": _nothing,
}


def days(rule: str, count: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns and measures of days with patients of the test split, who take turns.

    Args:
        rule: one of RULES.
        count: of days.

    Returns:
        [count], {measure: [count]}
    """
    family = InsulinDosing(which="test")

    def day(task: Task, key: Array) -> tuple[Array, dict[str, Array]]:
        key_reset, key_steps = jax.random.split(key)
        state, obs = family.reset(task, key_reset)

        def step(carry: Any, key: Array) -> tuple[Any, tuple[Array, dict[str, Array]]]:
            state, obs = carry
            action = RULES[rule](family, task, obs)
            state, arrived, reward, terminated, _ = family.step(task, state, action, key)
            told = family.measure(task, Transitions(obs, action, reward, arrived, terminated))
            return (state, arrived), (reward, told)

        rewards, told = jax.lax.scan(step, (state, obs), jax.random.split(key_steps, family.horizon))[1]
        return jnp.sum(rewards), jax.tree.map(jnp.mean, told)

    @jax.jit
    def some(key: Array) -> Any:
        key_tasks, key_days = jax.random.split(key)
        return jax.vmap(day)(family.sample(key_tasks, AT_ONCE), jax.random.split(key_days, AT_ONCE))

    keys = jax.random.split(jax.random.key(seed), -(-count // AT_ONCE))
    found = [jax.tree.map(np.asarray, some(key)) for key in keys]
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *found)


def reference(name: str, seed: int, count: int) -> dict[str, Any]:
    """What `oracles.references` gives of a family: all rules over `count` days each, one like another, with the measures."""
    trial, told_of_meals = InsulinDosing.n, "" if name == InsulinDosing.bare else ", told of meals"

    def alike(values: np.ndarray) -> tuple[list[dict[str, float]], dict[str, float]]:
        one = over_tasks(values).point()
        return [{"experience": i} | one for i in range(trial)], one

    baselines: dict[str, Any] = {}
    for rule in RULES:
        returns, told = days(rule, count, seed)
        curve, one = alike(returns)
        measures = {}
        for measure, about in InsulinDosing.measures.items():
            levels, level = alike(told[measure])
            measures[measure] = {**about._asdict(), "curve": levels, "trial": level}
        total = {key: trial * value for key, value in one.items()}
        baselines[rule + told_of_meals * (rule == INFORMED)] = {"curve": curve, "total": total, "measures": measures}
    settings = {"seed": seed, "days": count}
    return {"unit": "episode", "trial": trial, "oracle": None, "baselines": baselines, "settings": settings}
