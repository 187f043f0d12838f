"""PEARL (Rakelly et al. 2019, arXiv 1903.08254): soft actor-critic told a latent drawn from a posterior over the task.

initialise encoder q, policy π, critics; a pool of training tasks, each with its replay
repeat: in the next tasks of the pool, live a trial: each episode with one latent, at first z ~ N(0, 1), then z ~ q(z | trial)
        several times: for some tasks of the pool draw recent transitions c, and any transitions b
            z ~ q(z | c); critics and q by (Q(s, a, z) − y)² on b and KL(q ‖ N(0, 1)); π by SAC on b, given z
adapt:  live on; every finished episode sharpens the posterior that the next one's latent is drawn from
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.inner.posterior_sampling import PosteriorSampling
from innerloop.outer.pearl import PEARL
from innerloop.recipes.presets import preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_FAMILIES: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    # Published: discount 0.9, reward scale 100, latent 5, and −distance for the critics, the sparse reward for the encoder.
    "semi-circle-pearl": {
        "steps": 500_000,
        "meta_batch": 10,
        "inner": {"hidden": (64, 64), "guesses": 3},
        "outer": {
            "pool": 70,
            "discount": 0.9,
            "hidden": (64, 64),
            "reward_scale": 10.0,
            "lr": 1e-3,
            "kl_weight": 0.1,
            "shaped": True,
        },
    },
    "half-cheetah": {
        "steps": 2_000_000,
        "meta_batch": 10,
        "inner": {"guesses": 2},
        "outer": {"reward_scale": 5.0, "replays": 400, "capacity": 20_000},
    },
    "probe": {"steps": 100_000},
}


def make(family: Family, steps: int | None = None) -> Recipe:
    """PEARL on `family`; `steps`: environment steps, if not the family's preset."""
    chosen = preset(_FAMILIES, family.name)
    plan = Plan(chunks=1, steps=family.horizon * family.episodes, streams=1)
    return Recipe(
        name="pearl",
        family=family.name,
        inner=PosteriorSampling(plan, family.spaces, **chosen.get("inner", {})),
        outer=PEARL(tasks=family, **chosen.get("outer", {})),
        meta_batch=chosen.get("meta_batch", 10),
        steps=steps or chosen.get("steps", 1_000_000),
        unit=family.unit,
        evaluation=plan,
        held_out=200 if family.on_device else 40,
        report_every=5,
    )
