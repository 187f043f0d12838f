"""The performance model, MetaModel: predict what each of several inner models would earn in this task, and choose.

initialise P inner models and a meta-model
repeat: draw tasks; in each, let every inner model live, and the meta-model's choice of them (after a probe)
        phase 1, inner loop:  each inner model learns from the tasks that it is relatively best in
        phase 2, meta-model:  regress the returns of all P on what the trial has shown: (f(experience)_p − return_p)²
        phase 3, probe:       PPO on what the probe and the choices after it earn
adapt:  probe, predict, act with the best; what it earns corrects the prediction
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.feedforward import Feedforward
from innerloop.inner.performance_model import PerformanceModel
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.performance import Performance
from innerloop.outer.ppo import PPO
from innerloop.recipes.presets import held_out, preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_MEMBERS = {"lr": 2e-3, "minibatches": 2, "gae_lambda": 0.95, "entropy_weight": 0.003}
_PROBE = {"lr": 1e-3, "minibatches": 4, "gae_lambda": 0.95, "entropy_weight": 0.01, "anneal_entropy": True}
_FAMILIES: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "semi-circle-dense": {"episodes": 1, "inner": {"probe": 2}, "updates": 400},
    # One life of the chooser in a task, and an entropy bonus of 0.01, left a probe that saw 5 of the 24 cells.
    "grid-navi": {
        "inner": {"probe": 15, "switch": "episode"},
        "probe": {"entropy_weight": 0.05},
        "outer": {"choosers": 8},
        "updates": 400,
    },
    # Sparse: five steps say nothing, so the probe is a whole episode.
    "semi-circle-pearl": {
        "inner": {"probe": 20, "switch": "episode"},
        "probe": {"entropy_weight": 0.05},
        "outer": {"choosers": 8},
        "updates": 400,
    },
    "half-cheetah-vel": {
        "episodes": 1,
        "meta_batch": 16,
        "updates": 200,
        "base": {"normalise_obs": True},
        "prober": {"normalise": True},
        "inner": {"probe": 10, "normalise": True},
        "members": {"lr": 1e-3, "epochs": 8, "discount": 0.97, "gae_lambda": 0.9, "entropy_weight": 0.0},
        "outer": {"population": 0.8, "repeats": 16},
        "held_out": 20,
    },
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """The performance model on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = preset(_FAMILIES, family.name)
    plan = Plan(chunks=1, steps=family.horizon * chosen.get("episodes", family.episodes), streams=1)
    inner = PerformanceModel(
        Feedforward(plan, family.spaces, **chosen.get("base", {})),
        Recurrent(plan, family.spaces, **chosen.get("prober", {})),
        plan,
        family.spaces,
        family.horizon,
        **chosen.get("inner", {}),
    )
    members, probe = PPO(**_MEMBERS | chosen.get("members", {})), PPO(**_PROBE | chosen.get("probe", {}))
    outer = Performance(family, members, probe, **chosen.get("outer", {}))
    meta_batch = chosen.get("meta_batch", 64)
    return Recipe(
        name="metamodel",
        family=family.name,
        inner=inner,
        outer=outer,
        meta_batch=meta_batch,
        steps=steps or chosen.get("updates", 400) * meta_batch * outer.lives(inner) * plan.interactions,
        unit=family.unit,
        evaluation=plan,
        held_out=chosen.get("held_out", held_out(family)),
        report_every=10,
    )
