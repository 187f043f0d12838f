"""Runs and zoo entries as what they hold: recipe, family and meta-parameters; and what a new run takes from an older one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from innerloop.requests import recover
from innerloop.run.folder import FolderError, RunFolder, read_json

if TYPE_CHECKING:
    from innerloop.run.config import Recipe
    from innerloop.tasks.family import Family


def locate(name: str | Path) -> Path:
    """The folder of a run, or of a `zoo:NAME`; FolderError says which there are."""
    text = str(name)
    if not text.startswith("zoo:"):
        return Path(name)
    shelf = zoo()
    path = shelf / text.removeprefix("zoo:")
    if not (path / "recipe.json").is_file():
        names = sorted(p.parent.name for p in shelf.glob("*/recipe.json"))
        raise FolderError(f"there is no {text}. The zoo holds: {', '.join(names) or 'nothing'}.")
    return path


def zoo() -> Path:
    """Where the shipped checkpoints lie: in the installed package, or beside the sources."""
    installed = Path(__file__).parent / "zoo"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "zoo"


def load(path: str | Path) -> tuple[Recipe, Family, Any, str]:
    """(recipe, family, meta-parameters, digest of the checkpoint) of one run folder or zoo entry."""
    import jax

    from innerloop.run import checkpoint
    from innerloop.run.train import Trainer
    from innerloop.worlds import world_of

    path = locate(path)
    recipe, family = recover(read_json(path / "recipe.json"))
    if (path / "weights").is_dir():
        like = jax.eval_shape(recipe.inner.init, jax.random.key(0))
        meta, card = checkpoint.load_meta(path / "weights", like)
        return recipe, family, meta, card["training_digest"]
    world = world_of(family, workers=0)
    like = jax.eval_shape(lambda: Trainer(recipe, family, world).first(0))
    carried, manifest = checkpoint.restore(path, like, resuming=False)
    return recipe, family, recipe.outer.meta(carried.outer), manifest["digest"]


def stages(path: str | Path) -> list[dict[str, Any]]:
    """How the meta-parameters of a run folder or zoo entry were trained, the oldest stage first: each {"command", "seed",
    "env_steps", "cpu_seconds", "device"}. More than one where a run began with another's (`start`)."""
    from innerloop.run import checkpoint

    path = locate(path)
    if path.suffix == ".npz":
        return []
    if (path / "weights").is_dir():
        card = read_json(path / "card.json")
        own = {"command": card["command"], "seed": card["seeds"][0], "env_steps": card["env_steps"]}
        own |= {"cpu_seconds": card["cpu_seconds"][0], "device": card.get("device", "cpu")}  # older cards are all of CPUs
        return [*card.get("before", []), own]
    manifest, record = checkpoint.verify(path), RunFolder(path).record
    own = {"command": record["command"], "seed": record["seed"], "env_steps": manifest["extra"]["env_steps"]}
    own |= {"cpu_seconds": record.get("cpu_seconds"), "device": manifest["facts"]["device"]}
    return [*record.get("start", {}).get("stages", []), own]


def starting_point(recipe: Recipe) -> tuple[Any, str]:
    """The meta-parameters that a new run of `recipe` begins with, and the digest of where they come from; None and "" for
    fresh ones.

    Raises:
        ConfigError: they do not fit the recipe's inner. FolderError: there is no such run.
    """
    if not recipe.start:
        return None, ""
    if recipe.start.endswith(".npz"):
        return _published(recipe)
    import jax

    from innerloop.run.settings import ConfigError
    from innerloop.run.tensors import Damaged, check_like, describe, leaves

    _, _, meta, found = load(recipe.start)
    try:
        check_like(describe(leaves(meta)), jax.eval_shape(recipe.inner.init, jax.random.key(0)))
    except Damaged as misfit:
        raise ConfigError(
            f"start={recipe.start}: its meta-parameters do not fit this recipe's: {misfit} Accepted: a run of the same inner, "
            "with the same sizes, in a family of the same spaces."
        ) from None
    return meta, found


def _published(recipe: Recipe) -> tuple[Any, str]:
    """The weights of a published rule's file, and its SHA-256; ConfigError where they do not fit the recipe."""
    from innerloop.inner.discovered_rule import DiscoveredRule
    from innerloop.nets.disco import from_arrays
    from innerloop.run.rule_file import Sizes, read_rule
    from innerloop.run.settings import ConfigError

    inner = recipe.inner
    if not isinstance(inner, DiscoveredRule):
        raise ConfigError(f"start={recipe.start}: a published rule is for the recipe disco, not for {recipe.name}.")
    try:
        rule = read_rule(recipe.start)
    except ValueError as error:
        raise ConfigError(f"start={recipe.start}: {error}") from None
    if rule.sizes != Sizes(inner.predictions, inner.width, inner.life_width):
        p, h, m = rule.sizes
        raise ConfigError(
            f"start={recipe.start}: its sizes are others; set inner.predictions={p}, inner.width={h}, inner.life_width={m}."
        )
    return from_arrays(rule.weights), rule.sha256


def begun(recipe: Recipe, run: RunFolder) -> Any:
    """What `starting_point` gives where the run has no checkpoint yet, recorded; ConfigError where it is no longer the same."""
    from innerloop.run.settings import ConfigError

    if any((run.path / "checkpoints").glob("step-*")):
        return None
    meta, found = starting_point(recipe)
    if found and run.record.get("start", {"digest": found})["digest"] != found:
        raise ConfigError(f"start={recipe.start} is another than when this run was made; give it back, or train anew.")
    if found:
        run.update(start={"run": recipe.start, "digest": found, "stages": stages(recipe.start)})
    return meta
