"""RL² (Duan et al. 2016, arXiv 1611.02779; Wang et al. 2016): a recurrent policy trained over whole trials.

initialise θ
repeat: draw tasks; in each, live a trial of several episodes with an empty memory at its begin only,
        the memory fed with (o_t, a_{t-1}, r_{t-1}, episode begins)
        improve θ by a policy gradient of the whole trial's return
adapt:  live on; the memory does the learning
"""

from __future__ import annotations

from typing import Any

from innerloop.core import Plan
from innerloop.core.spaces import images
from innerloop.inner.recurrent import Recurrent
from innerloop.outer.ppo import PPO
from innerloop.recipes.presets import BY_KEY, held_out, preset
from innerloop.run.config import Recipe
from innerloop.tasks.family import Family

_TEN = {"meta_batch": 2048, "steps": 10_000_000, "outer": {"discount": 1.0, "gae_lambda": 0.8, "entropy_weight": 0.02}}
# Meta-World: every training place once an update. Observations as they are, in m: where the thing stands tells forty places
# apart, and to a net that sees it large, normalised, they are forty answers to be learned by heart.
_HANDS = {
    "meta_batch": 40,
    "outer": {"epochs": 4, "minibatches": 10, "gae_lambda": 0.95},
}
_TRIALS: dict[str, dict[str, Any]] = {  # what departs from the defaults, by family
    # An entropy bonus that is high at first and gone at the end: with a constant one of 0.01 the policy was all but fixed
    # before it had learned to use what it finds out (100 pulls, one seed of 12 M steps each: 73.9, and 76.7 so).
    "bandit": {
        "meta_batch": 1024,
        "steps": 60_000_000,
        "outer": {"gae_lambda": 0.8, "entropy_weight": 0.06, "anneal_entropy": True},
    },
    **{f"bandit-k{k}-n10": _TEN for k in (5, 10)},
    # Past a GRU, to pull the same of 50 arms again is 50 things to learn: three seeds ended at 6.1 to 6.3. Residual blocks pass
    # the last action on to the read-out.
    "bandit-k50-n10": _TEN | {"inner": {"memory": "gdn"}},
    # What pays is an action in a state, so what is remembered are pairs of them: after 4 M steps on ten episodes a matrix
    # written by key had 129, and a GRU of 128 units 109 (one seed each, validation tasks).
    "tabular-mdp": {
        "steps": 40_000_000,
        "inner": BY_KEY,
        "outer": {"minibatches": 32, "gae_lambda": 0.7, "entropy_weight": 0.05, "anneal_entropy": True},
    },
    # With an entropy bonus that falls to 0 the search narrowed to cells that had been goals in training: of 133 on the goals of
    # the validation split 49 after 4 M steps, and with a constant one 64 after 3 M.
    "dark-room": {
        "meta_batch": 128,
        "steps": 4_000_000,
        "inner": BY_KEY,
        "outer": {"entropy_weight": 0.04},
    },
    # Episodes end early where they go well, or where they go badly: in a trial of so many steps, with the next episode
    # beginning at once, a pole that falls costs nothing, and nothing was learned.
    "hidden": {
        "meta_batch": 32,
        "steps": 12_000_000,
        "episodes": True,
        "inner": {"normalise": True},
        "outer": {"lr": 1e-3, "minibatches": 8},
    },
    "probe": {"meta_batch": 256, "steps": 250_000, "inner": {"width": 32}, "outer": {"minibatches": 4}},
    "grid-navi": {"steps": 15_000_000},
    "ml1": {"steps": 20_000_000, **_HANDS},
    "ml1-reach-t100": {"steps": 2_400_000, **_HANDS},
    # Two places of every class an update.
    "ml10": {"steps": 400_000_000, **_HANDS, "meta_batch": 20},
    "ml45": {"steps": 400_000_000, **_HANDS, "meta_batch": 90},
    # A collision ends an episode, and with the third of them the trial: else the next one would begin all the sooner.
    "highway": {
        "meta_batch": 64,
        "steps": 4_000_000,
        "held_out": 200,
        "episodes": True,
        "inner": {"embed": 64, "normalise": True},
        "outer": {"lr": 2e-3, "epochs": 4, "minibatches": 4, "gae_lambda": 0.95, "anneal_entropy": True},
    },
    # The scale of doses is logarithmic, so that a wide policy overdoses on average.
    "insulin-dosing": {
        "meta_batch": 128,
        "steps": 12_000_000,
        "inner": {"normalise": True, "std": 0.2},
        "outer": {"anneal_entropy": True},
    },
}


# Images: lives are large, and few fit into a batch.
_SEEN: dict[str, Any] = {
    "meta_batch": 24,
    "inner": {"normalise": True, "width": 128},
    "outer": {"lr": 2e-3, "epochs": 4, "minibatches": 6, "gae_lambda": 0.95, "anneal_entropy": True},
    "steps": 1_000_000,
}
# Environments that are stepped one by one, and whose observations may be of any size.
_STEPPED: dict[str, Any] = {"meta_batch": 64, "inner": {"normalise": True}, "steps": 2_000_000}


def make(family: Family, steps: int | None = None) -> Recipe:
    """RL² on `family`; `steps`: environment steps, if not the family's preset."""
    other = _SEEN if images(family.spaces.obs) else {} if family.on_device else _STEPPED
    chosen = preset(_TRIALS, family.name.removeprefix("shown:")) or other
    episodes = family.episodes if chosen.get("episodes") else 0
    plan = Plan(chunks=1, steps=family.horizon * family.episodes, streams=1, episodes=episodes)
    outer = {
        "lr": 3e-3,
        "epochs": 2,
        "minibatches": 16,
        "discount": 0.99,
        "gae_lambda": 0.9,
        "entropy_weight": 0.01,
    } | chosen.get("outer", {})
    return Recipe(
        name="rl2",
        family=family.name,
        inner=Recurrent(plan, family.spaces, **chosen.get("inner", {})),
        outer=PPO(**outer),
        meta_batch=chosen.get("meta_batch", 512),
        steps=steps or chosen.get("steps", 10_000_000),
        unit=family.unit,
        evaluation=plan,
        held_out=chosen.get("held_out", held_out(family)),
        report_every=5,
    )
