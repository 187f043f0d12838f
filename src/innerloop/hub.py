"""Runs on the Hugging Face Hub: `innerloop hub push RUN ORG/NAME`, `innerloop hub pull ORG/NAME --out DIR`.

Not a registry of our own. What goes up is a zoo entry (`shelf.py`) with its card as README.md; what comes down is FILES and no
other, verified as a zoo entry is: every byte of the weights by its digest, the recipe by the sizes of the weights. Nothing
that comes down is executed: a recipe or family that names a module of Python is refused, unless the user names that module too.
The package `huggingface_hub` is the extra `innerloop[hub]`; HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean what it says.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from innerloop.loading import load, locate
from innerloop.run import checkpoint, sealed
from innerloop.run.folder import FolderError, check_name, read_json, write_atomically, write_json
from innerloop.run.settings import ConfigError
from innerloop.shelf import put
from innerloop.tasks import envpool_env
from innerloop.tasks.traced import kind_of

try:
    from huggingface_hub import EvalResult, HfApi, ModelCardData
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )  # fmt: skip
    from huggingface_hub.utils import validate_repo_id
except ImportError:
    raise ConfigError("runs on the Hugging Face Hub need the package huggingface_hub: pip install 'innerloop[hub]'") from None

WEIGHTS = ("weights/manifest.json", "weights/state.safetensors")
NEEDED = ("recipe.json", "run.json", "card.json", "evaluation.json", *WEIGHTS)
FILES = (*NEEDED, "baselines.json", "README.md")
LARGEST = 1 << 30  # bytes of weights; the other files: a 64th
SOURCE = "source.json"  # where a pulled folder came from


def push(path: str | Path, repo: str, *, private: bool = False, licence: str | None = None, message: str = "") -> str:
    """Upload a finished, evaluated run (or the first seed of several), a zoo entry or a pulled folder; the commit's address.

    Args:
        repo: "ORG/NAME"; made if it is not there.
        private: whether to make it so. `licence`: as the Hub names it, "apache-2.0", say. message: of the commit.

    Raises:
        ConfigError: the run is not finished or evaluated, or the repository holds something else. OSError: the Hub did not
        answer.
    """
    name = _checked(repo)
    api = HfApi(library_name="innerloop")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / name
        found = locate(path)
        if (found / "weights").is_dir():
            for file in FILES:
                if (found / file).is_file() and file != "README.md":
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(found / file, folder / file)
        else:
            try:
                put(found, name, folder.parent)
            except ValueError as error:
                raise ConfigError(str(error)) from None
        card = _verified(folder)
        write_atomically(folder / "README.md", readme(card, read_json(folder / "evaluation.json"), repo, licence).encode())
        with _asking(repo):
            if api.repo_exists(repo):
                there = set(api.list_repo_files(repo)) - {".gitattributes"}
                if there and "card.json" not in there:
                    raise ConfigError(
                        f"{repo} holds something else ({', '.join(sorted(there)[:3])}); it stays as it is. Choose another name."
                    )
            else:
                api.create_repo(repo, private=private)
            said = message or f"{card['recipe']} on {card['family']}, digest {card['training_digest'][:12]}"
            done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=said, delete_patterns=list(FILES))
    return str(done.commit_url)


def pull(repo: str, out: str | Path, *, revision: str | None = None, trust: Collection[str] = ()) -> dict[str, Any]:
    """Download an entry into a new folder, and verify it.

    Args:
        repo: "ORG/NAME". revision: a branch, a tag or a commit.
        trust: "package.module:make" of modules that its recipe or family may name; they are imported from this machine, and
            never downloaded.

    Returns:
        its card, and "source": {"repo", "commit"}.

    Raises:
        ConfigError: it names a module that is not trusted. FolderError: `out` is occupied, or what came is no entry, or is
        damaged. OSError: the Hub did not answer.
    """
    _checked(repo)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{out} is not empty; choose another folder with --out.")
    api = HfApi(library_name="innerloop")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=out.parent) as made:
        folder = Path(made) / "entry"
        with _asking(repo):
            info = api.model_info(repo, revision=revision, files_metadata=True)
            sizes = {file.rfilename: file.size for file in info.siblings or ()}
            _fits(repo, sizes)
            for file in FILES:
                if file in sizes:
                    api.hf_hub_download(repo, file, revision=info.sha, local_dir=folder)
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        _plain(folder, repo, trust)
        card = _verified(folder) | {"source": {"repo": repo, "commit": info.sha}}
        write_json(folder / SOURCE, card["source"])
        if out.is_dir():
            out.rmdir()
        folder.rename(out)
    return card


def _checked(repo: str) -> str:
    """The name by which an entry is known; ConfigError if `repo` cannot be one."""
    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise ValueError(f"{repo!r} is no ORG/NAME.")
        return check_name(repo.partition("/")[2].lower())
    except (HFValidationError, ValueError) as error:
        raise ConfigError(f"{error} Accepted: ORG/NAME, for example mylab/rl2-grid-navi.") from None


class _asking:
    """What the Hub refuses, in a sentence."""

    def __init__(self, repo: str):
        self.repo = repo

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RepositoryNotFoundError):
            raise FolderError(
                f"there is no {self.repo} on the Hub, or it is private and no token that may read it is set (`hf auth login`, "
                "HF_TOKEN)."
            ) from error
        if isinstance(error, LocalEntryNotFoundError):
            raise OSError(f"the Hub did not answer: {error}") from error
        if isinstance(error, EntryNotFoundError):
            raise FolderError(f"{self.repo}: {error}") from error
        if isinstance(error, HfHubHTTPError):
            raise OSError(f"the Hub refused ({error}).") from error
        if error is not None and type(error).__module__.split(".")[0] in ("httpx", "httpcore"):
            raise OSError(f"the Hub did not answer ({type(error).__name__}: {error}).") from error


def _fits(repo: str, sizes: Mapping[str, int | None]) -> None:
    missing = [file for file in NEEDED if file not in sizes]
    if missing:
        raise FolderError(f"{repo} holds no run of innerloop: {', '.join(missing)} is missing.")
    for file in FILES:
        most = LARGEST if file == WEIGHTS[1] else LARGEST >> 6
        if (sizes.get(file) or 0) > most:
            raise FolderError(f"{repo}: {file} has {sizes[file]:,} bytes, more than the {most:,} that are accepted.")


def _plain(folder: Path, repo: str, trust: Collection[str]) -> None:
    """ConfigError if recipe or family would import a module that the user does not trust."""
    recipe = read_json(folder / "recipe.json")
    request = recipe.get("request")
    if not isinstance(request, Mapping) or "inner" not in recipe:
        raise FolderError(f"{repo}: its recipe.json is no full recipe.")
    named = [str(name) for name in (request.get("recipe"), request.get("tasks"), recipe.get("family"), *_nets(recipe))]
    for name in named:
        source = re.sub(r"^(shown:)+", "", name)
        source = source.removeprefix("env:").partition("?")[0]
        source = source.partition(":")[2] if kind_of(source) else source  # a package's environment, or a module after all
        if source.startswith(envpool_env.KIND):
            continue
        if ":" in source and source not in trust:
            raise ConfigError(
                f"{repo} names {source}, which would run as a module of Python on this machine. If you have that module, and "
                f"trust it: --trust {source}"
            )


def _nets(part: Any) -> Iterator[str]:
    """What any inner of a recipe names as its network, `inner.keras`; also as a setting of the request."""
    if isinstance(part, Mapping):
        for name, value in part.items():
            if str(name).rpartition(".")[2] == "keras" and value:
                yield str(value)
            yield from _nets(value)
    elif isinstance(part, list):
        for value in part:
            yield from _nets(value)


def _verified(folder: Path) -> dict[str, Any]:
    """The card of an entry whose weights are whole, are those of its card, and fit its recipe."""
    card = read_json(folder / "card.json")
    try:
        told = checkpoint.read_card(folder / "weights")
        sealed.verify(folder / "weights")
    except sealed.READING as problem:
        raise FolderError(f"the weights are damaged: {sealed.reason(problem)}.") from None
    if not isinstance(card.get("training_digest"), str) or told.get("training_digest") != card["training_digest"]:
        raise FolderError("the card tells of other weights than those that lie beside it.")
    recipe, family, _, _ = load(folder)
    if (card.get("recipe"), card.get("family")) != (recipe.name, family.name):
        raise FolderError(f"the card tells of {card.get('recipe')} on {card.get('family')}, the recipe of {recipe.name}.")
    return card


def readme(card: Mapping[str, Any], evaluation: Mapping[str, Any], repo: str, licence: str | None = None) -> str:
    """The model card: metadata that the Hub reads, then what it is, what it earns, and how to use it.

    Args:
        card, evaluation: card.json and evaluation.json of a zoo entry.
    """
    result = card["result"]
    total = result["total"]
    reach = {"tasks": result["tasks"], "lo": total["lo"], "hi": total["hi"]}
    measured = EvalResult(
        task_type="reinforcement-learning", task_name="meta-reinforcement learning", dataset_type=card["family"],
        dataset_name=f"{card['family']}, {result['split']} tasks", metric_type="mean_return",
        metric_name="return on held-out tasks", metric_value=round(total["mean"], 4), metric_args=reach,
    )  # fmt: skip
    data = ModelCardData(
        library_name="innerloop", pipeline_tag="reinforcement-learning", license=licence, model_name=card["name"],
        tags=["meta-reinforcement-learning", "reinforcement-learning", "jax", card["recipe"], card["family"]],
        eval_results=[measured],
    )  # fmt: skip
    unit = result["unit"]
    rows = [("this agent", result["curve"]), *((name, b["curve"]) for name, b in evaluation.get("baselines", {}).items())]
    lines = [f"| | first {unit} | last {unit} |", "|---|---:|---:|"]
    lines += [f"| {name} | {_point(curve[0])} | {_point(curve[-1])} |" for name, curve in rows if curve]
    oracle = result.get("oracle")
    known = f"\nThe oracle ({oracle['name']}) earns {_figure(oracle['total'])} in all.\n" if oracle else ""
    versions, seeds = card["versions"], card["seeds"]
    return f"""---
{data.to_yaml()}
---

# {card["name"]}

`{card["recipe"]}`, meta-trained on the task family `{card["family"]}` by `innerloop`: an agent that adapts to a task it has not
met within a few {unit}s. Not a policy for one task.

## What it earns

On {result["tasks"]:,} {result["split"]} tasks that training did not meet; training seeds: {len(seeds)}; means with 95 %
intervals over {result["interval"]}. Return in all: **{_point(total)}**.

{chr(10).join(lines)}
{known}
## How it came about

    {shlex.join(card["command"])}

{card["env_steps"]:,} environment steps; innerloop {versions.get("innerloop", "?")}, jax {versions.get("jax", "?")}. The
weights here are those of seed {seeds[0]}; digest of the training state `{card["training_digest"]}`.

## Use it

    pip install 'innerloop[hub]'
    innerloop hub pull {repo} --out runs/{card["name"]}
    innerloop evaluate runs/{card["name"]}
    innerloop adapt runs/{card["name"]}

`card.json`, `evaluation.json` and `baselines.json` hold all figures, `recipe.json` every setting, `weights/` the
meta-parameters as safetensors with a manifest of SHA-256 digests.
"""


def _figure(value: float) -> str:
    return f"{value:.4g}"


def _point(point: Mapping[str, float]) -> str:
    return f"{_figure(point['mean'])} [{_figure(point['lo'])}, {_figure(point['hi'])}]"


def describe(card: Mapping[str, Any]) -> str:
    """A pulled entry in a line."""
    return f"{card['recipe']} on {card['family']}, seeds {json.dumps(card['seeds'])}, digest {card['training_digest']}"
