"""What can be named on the command line: recipes, and the baselines that stand beside each in every report.

Not the families' names: those are in `tasks/names.py`. Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from innerloop.core import Inner
    from innerloop.run.config import Recipe
    from innerloop.tasks.family import Family

RECIPES = {  # name: (module, one line)
    "rl2": ("innerloop.recipes.rl2", "RL²: a recurrent policy whose memory adapts; PPO over whole trials"),
    "varibad": ("innerloop.recipes.varibad", "VariBAD: a belief about the task, learned by explaining trials; PPO on it"),
    "dpt": ("innerloop.recipes.dpt", "DPT: a transformer told what was optimal at every step of a history"),
    "ad": ("innerloop.recipes.ad", "AD: a transformer that foretells what a learning agent does next, from its history"),
    "amago": ("innerloop.recipes.amago", "AMAGO: off-policy actor and critic over whole trials from a replay memory"),
    "pearl": (
        "innerloop.recipes.pearl",
        "PEARL: a latent drawn from a belief over the task for every episode; soft actor-critic",
    ),
    "oracle": ("innerloop.recipes.oracle", "the task-id oracle: one policy that is shown the task; a baseline, not a method"),
    "maml": ("innerloop.recipes.maml", "MAML: policy-gradient steps from meta-learned parameters; TRPO outside"),
    "fomaml": ("innerloop.recipes.fomaml", "FOMAML: MAML without the second order"),
    "maml-lvc": ("innerloop.recipes.maml_lvc", "MAML with the low-variance curvature surrogate inside"),
    "maml-dice": ("innerloop.recipes.maml_dice", "MAML with the DiCE surrogate inside: unbiased second order"),
    "e-maml": ("innerloop.recipes.e_maml", "E-MAML: what is lived before adaptation is paid for what it leads to"),
    "anil": ("innerloop.recipes.anil", "ANIL: inner steps move the last layer alone"),
    "cavia": ("innerloop.recipes.cavia", "CAVIA: inner steps move a few context parameters alone"),
    "meta-sgd": ("innerloop.recipes.meta_sgd", "Meta-SGD: MAML with a learned step size for every parameter"),
    "lpo": ("innerloop.recipes.lpo", "LPO: what keeps a policy step close is learned, by evolution over agents' lives"),
    "reptile": ("innerloop.recipes.reptile", "Reptile: meta-parameters move towards the adapted ones"),
    "metamodel": (
        "innerloop.recipes.metamodel",
        "MetaModel: a population, and a model that predicts what each member earns here",
    ),
    "metamodel-maml": (
        "innerloop.recipes.metamodel_maml",
        "MetaModel over MAML: choose the parameters that gradient steps begin at",
    ),
    "lpg": ("innerloop.recipes.lpg", "LPG: the update rule itself is learned, through the steps of agents that it trains"),
    "lpg-es": ("innerloop.recipes.lpg_es", "LPG's rule by evolution, over segments of agents' lives"),
    "disco": ("innerloop.recipes.disco", "DiscoRL: a discovered update rule, from its published file or trained anew"),
    "es-maml": ("innerloop.recipes.es_maml", "ES-MAML: MAML's parameters by evolution, with no second derivative"),
    "self-tuned": (
        "innerloop.recipes.self_tuned",
        "an actor-critic that tunes its discount, λ, entropy weight and step size by meta-gradients",
    ),
    "multitask": ("innerloop.recipes.multitask", "multi-task TRPO, then fine-tuning by policy gradient; a control"),
    "promp": ("innerloop.recipes.promp", "ProMP: clipped steps with a KL penalty before adaptation; LVC inside"),
}

TEACHERS = {  # name: (module:function, one line); (family, episodes) → an inner without meta-learned parameters
    "q-learning": ("innerloop.recipes.teachers:q_learning", "tabular where observations are discrete, else linear"),
    "policy-gradient": ("innerloop.recipes.teachers:policy_gradient", "from random parameters, a step after every episode"),
    "random": ("innerloop.recipes.teachers:random", "uniformly random actions"),
}


def teacher(name: str) -> Callable[[Family, int], Inner]:
    """The function behind a teacher's name; ValueError for an unknown one."""
    if name not in TEACHERS:
        near = difflib.get_close_matches(name, TEACHERS, 1, 0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no teacher {name!r}.{hint} Accepted: {', '.join(TEACHERS)}, a run folder, or zoo:NAME.")
    module, _, function = TEACHERS[name][0].partition(":")
    return getattr(importlib.import_module(module), function)


def maker(name: str) -> Callable[..., Recipe]:
    """The `make(family, steps=None)` of a recipe, or of "package.module:make"; ValueError for an unknown name."""
    if ":" in name:
        from innerloop.outside import imported

        return imported(name, "--recipe")
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1, 0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no recipe {name!r}.{hint} Accepted: {', '.join(RECIPES)}, or package.module:make.")
    return importlib.import_module(RECIPES[name][0]).make


def unadapted(recipe: Recipe) -> Inner:
    """The recipe's own net, keeping no experience from one unit to the next."""
    from innerloop.inner.forgetful import Forgetful

    inner = recipe.inner.with_plan(recipe.evaluation)
    if inner.population:
        return inner.rivals()["single-best"]
    if recipe.unit == "gradient step" or recipe.evaluation.chunks > 1:  # it learns from chunks
        return Forgetful(inner, "never")
    return Forgetful(inner, recipe.unit)


def from_scratch(recipe: Recipe, family: Family) -> Inner:
    """A policy with random parameters, trained in the test task alone with the same interaction: by policy gradient, or beside
    inners that learn from random parameters themselves by actor-critic."""
    from innerloop.core import Plan
    from innerloop.inner.discovered_rule import DiscoveredRule
    from innerloop.inner.drift_policy import DriftPolicy
    from innerloop.inner.gradient import Gradient
    from innerloop.inner.learned_rule import LearnedRule
    from innerloop.inner.self_tuned import SelfTuned

    plan = recipe.evaluation
    if isinstance(recipe.inner, DiscoveredRule):
        return SelfTuned(plan, family.spaces, recipe.inner.hidden, tunes=(), discount=recipe.inner.discount)
    if isinstance(recipe.inner, (LearnedRule, SelfTuned, DriftPolicy)):
        mine = recipe.inner
        return SelfTuned(plan, family.spaces, mine.hidden, mine.activation, tunes=(), discount=mine.discount)
    if isinstance(recipe.inner, Gradient):
        plain = {"adapts": "all", "context": 0, "rates": "fixed", "inherits": False}
        return replace(recipe.inner.with_plan(plan), **plain)
    if recipe.unit == "step":
        plan = Plan(chunks=plan.chunks * plan.steps, steps=1, streams=plan.streams)
        return Gradient(plan, family.spaces, hidden=(), lr=0.5, later=1.0, weights="return", inherits=False)
    plan = Plan(chunks=plan.chunks * plan.steps // family.horizon, steps=family.horizon, streams=plan.streams)
    return Gradient(plan, family.spaces, hidden=(64, 64), activation="tanh", lr=0.1, later=1.0, inherits=False)


def baselines(recipe: Recipe, family: Family) -> dict[str, tuple[Inner, Any]]:
    """{name: (inner, whether it takes the run's meta-parameters)} for every baseline that lives in the family."""
    from innerloop.inner.indifferent import Indifferent

    return {
        "no adaptation": (unadapted(recipe), True),
        "from scratch": (from_scratch(recipe, family), False),
        "random": (Indifferent(recipe.evaluation, family.spaces), False),
    }
