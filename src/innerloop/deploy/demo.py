"""`innerloop demo`: a page on which agents of the zoo adapt, in the browser.

Not the page (`live/`), nor the export (`export.py`). The page needs onnxruntime-web, 14 MB of WebAssembly that no Python
package carries: it is taken from a folder, or fetched by npm where the user asks for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from innerloop.run.settings import ConfigError

SITE = Path(__file__).parent / "live"
AGENTS = {"room": "zoo:varibad-grid-navi", "arms": "zoo:rl2-bandit-k5-n100", "plane": "zoo:promp-point-goal"}
VERSION = "1.30.0"  # of onnxruntime-web
# SHA-512 of npm's archive of it.
PACKAGE = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def cache() -> Path:
    """Where exports and the runtime are kept between demos."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "innerloop"


def runtime(given: Path | None = None, *, fetch: bool = False) -> Path:
    """A folder that holds RUNTIME.

    Args:
        given: an unpacked onnxruntime-web, or its `dist`; None: what was fetched before.
        fetch: get it by npm, if it is not there yet; its archive is verified.

    Raises:
        ConfigError: it is not there, or not what it should be.
    """
    if given is not None:
        for folder in (given, given / "dist", given / "package" / "dist"):
            if all((folder / name).is_file() for name in RUNTIME):
                return folder
        raise ConfigError(
            f"--runtime {given} does not hold {', '.join(RUNTIME)}; give the unpacked npm package onnxruntime-web."
        )
    kept = cache() / f"onnxruntime-web-{VERSION}"
    if all((kept / name).is_file() for name in RUNTIME):
        return kept
    if not fetch:
        raise ConfigError(
            f"the page needs onnxruntime-web {VERSION} (14 MB). `innerloop demo --fetch` gets it by npm, once; or give an "
            "unpacked one: --runtime DIR."
        )
    return _fetched(kept)


def _fetched(kept: Path) -> Path:
    if shutil.which("npm") is None:
        raise ConfigError(
            f"--fetch needs npm, which is not installed; get the npm package onnxruntime-web {VERSION}: --runtime DIR."
        )
    with tempfile.TemporaryDirectory() as home:
        got = subprocess.run(["npm", "pack", f"onnxruntime-web@{VERSION}"], cwd=home, capture_output=True, text=True)
        archives = list(Path(home).glob("*.tgz"))
        if got.returncode or len(archives) != 1:
            raise ConfigError(f"npm could not get onnxruntime-web {VERSION}: {got.stderr.strip()[-200:]}")
        found = hashlib.sha512(archives[0].read_bytes()).hexdigest()
        if found != PACKAGE:
            raise ConfigError(f"what npm gave as onnxruntime-web {VERSION} is not what was published: SHA-512 {found}.")
        kept.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archives[0]) as archive:
            for name in RUNTIME:
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None
                (kept / name).write_bytes(member.read())
    return kept


def build(out: Path, runtime: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """The whole site in the folder `out`: page, runtime and exported agents. What is there and current is kept."""
    from innerloop.deploy.export import export
    from innerloop.loading import load

    for file in SITE.iterdir():
        _copied(file, out / file.name)
    for name in RUNTIME:
        _copied(runtime / name, out / "runtime" / name)
    for name, run in AGENTS.items():
        folder = out / "agents" / name
        recipe, _, meta, digest = load(run)
        if _digest(folder) == digest:
            continue
        say(f"exporting {run}")
        shutil.rmtree(folder, ignore_errors=True)
        card = {"run": run, "digest": digest, "recipe": recipe.name, "family": recipe.family}
        export(recipe.inner.with_plan(recipe.evaluation), meta, folder, card=card)
    return out


def _digest(folder: Path) -> Any:
    manifest = folder / "manifest.json"
    return json.loads(manifest.read_text("utf-8")).get("digest") if manifest.is_file() else None


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


class _Quiet(SimpleHTTPRequestHandler):
    """Files of one folder, with the types that browsers ask for."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Of the site, to this machine alone; `serve_forever` it."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
