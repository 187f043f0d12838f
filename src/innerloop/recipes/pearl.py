"""PEARL: probabilistic embeddings for actor-critic meta-RL (Rakelly et al. 2019, arXiv 1903.08254).

initialise encoder q_φ, policy π_θ, critics Q, a fixed set of training tasks, each with a memory
repeat: in a few of the tasks, live a trial: every episode with one z, of N(0, I) first and of q_φ(z | c) after
        many times: for some tasks, z ~ q_φ(z | c) of the newest trial's rows c; of rows from all of the memory
            φ, Q: (Q(o, a, z) − target)² and kl_weight · KL(q_φ(z | c) ‖ N(0, I))
            θ:    α log π_θ(a | o, z) − min Q(o, a, z),  z constant
adapt:  live on; every episode draws a z given all finished ones
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.posterior_sampling import PosteriorSampling
from innerloop.outer.soft_actor_critic import SoftActorCritic
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family
from innerloop.tasks.shown import PREFIX, Shown

_LEAN = {
    "inner": {"hidden": (64, 64), "embed": (64, 64)},
    "outer": {"hidden": (64, 64), "batch": 32, "replays": 100, "capacity": 2000, "lr": 1e-3, "kl_weight": 0.1},
}
_CHEETAH: dict[str, Any] = {  # trials of 1,000 steps, as published, then fewer and smaller gradient steps, for two cores
    "inner": {"hidden": (128, 128), "embed": (64, 64), "arrived": False, "wait": 2},
    "outer": {
        "hidden": (128, 128),
        "batch": 32,  # paper: 256
        "replays": 800,  # paper: 2,000
        "context_rows": 400,
        "kl_weight": 0.1,
        "lr": 1e-3,
    },
    "episodes": 5,
    "evaluated": 3,  # two draws from the prior, then the belief, as published
    "meta_batch": 5,
    "updates": 125,
    "held_out": 10,
}
_PEARL: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    "semi-circle-pearl": {
        # Five draws from the prior, as published: misses alone give a belief that is sure and wrong, and the search ends.
        "inner": {**_LEAN["inner"], "arrived": False, "wait": 5},
        "outer": {
            **_LEAN["outer"],
            "pool": 70,  # paper: 80, of which we keep ten for validation
            "task_batch": 10,
            "batch": 64,  # paper: 256
            "context": 128,  # paper: 1024
            "discount": 0.9,
            "reward_scale": 20.0,  # paper: 100; the higher it is, the less a draw from the prior explores
            "kl_weight": 1.0,  # paper: 0.5, from λ = 0.1 summed over 10 tasks, beside a loss 25 times as large
            "capacity": 4000,
            "privileged": True,
        },
        "meta_batch": 10,
        "streams": 8,  # trials side by side in one task, so that a place says little of which task it is
        "updates": 200,
        "held_out": 10,
    },
    # Critics err by the spread of one step's reward where they know no task: with a scale of 1 and the same KL it is cheaper to
    # infer nothing, and all episodes go to the middle of the arc.
    "semi-circle-dense": {
        "inner": _LEAN["inner"],
        "outer": {**_LEAN["outer"], "discount": 0.9, "reward_scale": 10.0, "temperature": 0.5},
        "meta_batch": 10,
        "updates": 500,
        "held_out": 40,
    },
    "grid-navi": {
        "inner": _LEAN["inner"],
        "outer": {**_LEAN["outer"], "pool": 21, "batch": 64, "discount": 0.95, "reward_scale": 10.0, "temperature": 0.5},
        "meta_batch": 7,
        "streams": 8,
        "updates": 300,
        "held_out": 100,
    },
    "half-cheetah-vel": _CHEETAH,
    "half-cheetah-dir": _CHEETAH | {"outer": _CHEETAH["outer"] | {"task_batch": 4, "batch": 128}},  # of two tasks
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """PEARL on `family`; `steps`: environment steps, if not the family's preset. On a family that shows its task: without a
    latent, which is soft actor-critic by those who know."""
    chosen = preset(_PEARL, family.name.removeprefix(PREFIX)) or {**_LEAN, "meta_batch": 10, "updates": 500, "held_out": 40}
    steps_lived = family.horizon * chosen.get("episodes", family.episodes)
    plan = Plan(chunks=1, steps=steps_lived, streams=chosen.get("streams", 1))
    inner, outer = chosen["inner"], chosen["outer"]
    if isinstance(family, Shown):
        inner, outer = inner | {"latent": 0}, outer | {"privileged": False}
    known = {"pool": family.size} if 0 < family.size < 100 else {}
    meta_batch = min(chosen["meta_batch"], known.get("pool", 100))
    return Recipe(
        name="pearl",
        family=family.name,
        inner=PosteriorSampling(plan, family.spaces, **inner),
        outer=SoftActorCritic(family, **(known | outer)),
        meta_batch=meta_batch,
        steps=steps or chosen["updates"] * meta_batch * plan.interactions,
        unit="episode",
        evaluation=plan._replace(steps=family.horizon * chosen.get("evaluated", family.episodes), streams=1),
        held_out=chosen["held_out"],
        evaluations=10,
        save_every=60.0,
    )
