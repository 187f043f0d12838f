"""The names that `--tasks` takes, and the family behind each.

Not the families: each is imported when it is asked for, so that listing the names costs nothing.
"""

from __future__ import annotations

import difflib
import importlib
import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from innerloop.outside import imported

if TYPE_CHECKING:
    from innerloop.tasks.family import Family


class _Entry(NamedTuple):
    """`pattern` with {capitals} for whole numbers ≥ 1, which fill the fields of the same name in small letters, and <words>,
    which fill the fields of theirs; what stands in [brackets] may be left out."""

    pattern: str
    example: str
    module: str
    kind: str


_ENTRIES = (
    _Entry("bandit-k{K}-n{N}", "bandit-k5-n10", "bandit", "Bandit"),
    _Entry("tabular-mdp-n{N}", "tabular-mdp-n10", "tabular_mdp", "TabularMDP"),
    _Entry("projected-cartpole[-n{N}]", "projected-cartpole", "projected", "ProjectedCartPole"),
    _Entry("projected-mountain-car[-n{N}]", "projected-mountain-car", "projected", "ProjectedMountainCar"),
    _Entry("projected-acrobot[-n{N}]", "projected-acrobot", "projected", "ProjectedAcrobot"),
    _Entry("projected-pendulum[-n{N}]", "projected-pendulum", "projected", "ProjectedPendulum"),
    _Entry("hidden-cartpole[-n{N}]", "hidden-cartpole", "hidden_physics", "HiddenCartPole"),
    _Entry("hidden-cartpole-beyond[-n{N}]", "hidden-cartpole-beyond", "hidden_physics", "HiddenCartPoleBeyond"),
    _Entry("hidden-mountain-car[-n{N}]", "hidden-mountain-car", "hidden_physics", "HiddenMountainCar"),
    _Entry("hidden-mountain-car-beyond[-n{N}]", "hidden-mountain-car-beyond", "hidden_physics", "HiddenMountainCarBeyond"),
    _Entry("hidden-acrobot[-n{N}]", "hidden-acrobot", "hidden_physics", "HiddenAcrobot"),
    _Entry("hidden-acrobot-beyond[-n{N}]", "hidden-acrobot-beyond", "hidden_physics", "HiddenAcrobotBeyond"),
    _Entry("hidden-pendulum[-n{N}]", "hidden-pendulum", "hidden_physics", "HiddenPendulum"),
    _Entry("hidden-pendulum-beyond[-n{N}]", "hidden-pendulum-beyond", "hidden_physics", "HiddenPendulumBeyond"),
    _Entry("market-making[-n{N}]", "market-making", "market", "MarketMaking"),
    _Entry("market-making-beyond[-n{N}]", "market-making-beyond", "market", "MarketMakingBeyond"),
    _Entry("highway[-n{N}]", "highway", "highway", "Highway"),
    _Entry("highway-beyond[-n{N}]", "highway-beyond", "highway", "HighwayBeyond"),
    _Entry("highway-env[-n{N}]", "highway-env", "highway", "HighwayEnv"),
    _Entry("highway-env-beyond[-n{N}]", "highway-env-beyond", "highway", "HighwayEnvBeyond"),
    _Entry("insulin-dosing[-n{N}]", "insulin-dosing", "insulin_dosing", "InsulinDosing"),
    _Entry("insulin-dosing-unannounced[-n{N}]", "insulin-dosing-unannounced", "insulin_dosing", "InsulinDosingUnannounced"),
    _Entry("xland-trivial[-n{N}]", "xland-trivial", "xland", "XLandTrivial"),
    _Entry("xland-small[-n{N}]", "xland-small", "xland", "XLandSmall"),
    _Entry("xland-medium[-n{N}]", "xland-medium", "xland", "XLandMedium"),
    _Entry("xland-high[-n{N}]", "xland-high", "xland", "XLandHigh"),
    _Entry("atari-<game>-buttons[-k{K}][-t{T}][-n{N}]", "atari-space-invaders-buttons", "atari", "AtariButtons"),
    _Entry("atari-<game>[-k{K}][-t{T}][-n{N}]", "atari-space-invaders", "atari", "Atari"),
    _Entry("procgen-<game>[-t{T}][-n{N}]", "procgen-coinrun", "procgen", "Procgen"),
    _Entry("ml1-<task>[-r{R}][-t{T}][-n{N}]", "ml1-reach", "meta_world", "ML1"),
    _Entry("ml{K}[-r{R}][-t{T}][-n{N}]", "ml10", "meta_world", "ML"),
    _Entry("point-goal", "point-goal", "point_goal", "PointGoal"),
    _Entry("two-step[-n{N}]", "two-step", "two_step", "TwoStep"),
    _Entry("grid-navi", "grid-navi", "grid_navi", "GridNavi"),
    _Entry("grid-world", "grid-world", "grid_world", "GridWorld"),
    _Entry("two-colours", "two-colours", "two_colours", "TwoColours"),
    _Entry("dark-room[-n{N}]", "dark-room", "dark_room", "DarkRoom"),
    _Entry("dark-room-hard[-n{N}]", "dark-room-hard", "dark_room", "DarkRoomHard"),
    _Entry("dark-key-to-door[-n{N}]", "dark-key-to-door", "dark_room", "DarkKeyToDoor"),
    _Entry("semi-circle-pearl", "semi-circle-pearl", "semi_circle", "SemiCirclePearl"),
    _Entry("semi-circle-varibad", "semi-circle-varibad", "semi_circle", "SemiCircleVaribad"),
    _Entry("semi-circle-dense", "semi-circle-dense", "semi_circle", "SemiCircleDense"),
    _Entry("semi-circle-dense-below", "semi-circle-dense-below", "semi_circle", "SemiCircleDenseBelow"),
    _Entry("half-cheetah-dir", "half-cheetah-dir", "half_cheetah", "HalfCheetahDir"),
    _Entry("half-cheetah-dir-promp", "half-cheetah-dir-promp", "half_cheetah", "HalfCheetahDirPromp"),
    _Entry("half-cheetah-dir-pearl", "half-cheetah-dir-pearl", "half_cheetah", "HalfCheetahDirPearl"),
    _Entry("half-cheetah-vel", "half-cheetah-vel", "half_cheetah", "HalfCheetahVel"),
    _Entry("half-cheetah-vel-u3", "half-cheetah-vel-u3", "half_cheetah", "HalfCheetahVelU3"),
    _Entry("ant-dir", "ant-dir", "ant", "AntDir"),
    _Entry("ant-dir-circle", "ant-dir-circle", "ant", "AntDirCircle"),
    _Entry("ant-goal", "ant-goal", "ant", "AntGoal"),
    _Entry("ant-vel", "ant-vel", "ant", "AntVel"),
    _Entry("humanoid-dir", "humanoid-dir", "humanoid", "HumanoidDir"),
    _Entry("walker-dir", "walker-dir", "walker", "WalkerDir"),
    _Entry("walker-vel", "walker-vel", "walker", "WalkerVel"),
    _Entry("walker-params", "walker-params", "walker", "WalkerParams"),
    _Entry("hopper-params", "hopper-params", "walker", "HopperParams"),
    _Entry("swimmer-vel", "swimmer-vel", "swimmer", "SwimmerVel"),
    _Entry("probe-reward", "probe-reward", "probes", "ProbeReward"),
    _Entry("probe-observation", "probe-observation", "probes", "ProbeObservation"),
    _Entry("probe-cost", "probe-cost", "probes", "ProbeCost"),
    _Entry("probe-across", "probe-across", "probes", "ProbeAcross"),
    _Entry("probe-alike", "probe-alike", "probes", "ProbeAlike"),
)


def names() -> list[str]:
    """Every accepted name; {K} and {N} stand for whole numbers ≥ 1, and what is in [brackets] may be left out."""
    return [entry.pattern for entry in _ENTRIES]


def examples() -> list[str]:
    """One concrete name for each family."""
    return [entry.example for entry in _ENTRIES]


def family(name: str, **params: Any) -> Family:
    """The family of this name.

    Args:
        name: one of `names()`, with numbers in place of {K} and {N}, a word in place of <game>; "shown:NAME" is the family
            with its task shown;
            "env:package.module:make?…" is a Gymnasium environment of one's own and what varies (`tasks/own.py`);
            "package.module:make" is a family of one's own, which bears just that name, so that a run finds it again.
        params: further fields of the family.

    Raises:
        ValueError: unknown name or field; the message says what is accepted and which is nearest.
    """
    if name.startswith("shown:"):
        from innerloop.tasks.shown import Shown

        return Shown(family(name.removeprefix("shown:"), **params))
    if name.startswith("env:"):
        from innerloop.tasks import own

        return replace(own.family(name), **params)
    if ":" in name:
        return _own(name, params)
    for entry in _ENTRIES:
        match = re.fullmatch(_regex(entry.pattern), name)
        if match:
            kind = getattr(importlib.import_module(f"innerloop.tasks.{entry.module}"), entry.kind)
            given: dict[str, Any] = {k: int(v) if v.isdigit() else v for k, v in match.groupdict().items() if v}
            _check(name, params, [f.name for f in fields(kind) if f.init and f.name not in given])
            return kind(**given, **params)
    accepted = ", ".join([*names(), "env:package.module:make", "or package.module:make"])
    raise ValueError(f"unknown task family {name!r}; accepted: {accepted}{_nearest(name, examples())}")


def _regex(pattern: str) -> str:
    optional = pattern.replace("[", "(?:").replace("]", ")?")
    worded = re.sub(r"<(\w+)>", r"(?P<\1>[a-z][a-z0-9]*(?:-[a-z0-9]+)*?)", optional)
    return re.sub(r"\{(\w)\}", lambda m: f"(?P<{m[1].lower()}>[1-9][0-9]*)", worded)


def _own(name: str, params: dict[str, Any]) -> Family:
    from innerloop.tasks.family import Family

    made = imported(name, "--tasks")(**params)
    if not isinstance(made, Family):
        raise ValueError(f"--tasks {name!r} returned {type(made).__name__}; accepted: an innerloop.tasks.Family.")
    if made.name != name:
        raise ValueError(f"--tasks {name!r}: the family calls itself {made.name!r}; runs find it again under {name!r} only.")
    return made


def _check(name: str, params: dict[str, Any], accepted: list[str]) -> None:
    for field in params:
        if field not in accepted:
            raise ValueError(
                f"task family {name!r} has no free field {field!r}; accepted: {', '.join(accepted)}{_nearest(field, accepted)}"
            )


def _nearest(given: str, accepted: list[str]) -> str:
    near = difflib.get_close_matches(given, accepted, n=1, cutoff=0.4)
    return f". Did you mean {near[0]!r}?" if near else ""
