"""The convolutional encoder: CPU-microseconds an image, by products of matrices (`nets/vision.py`) and by XLA's convolution.

    python benchmarks/vision.py [--images 600]      writes benchmarks/results/vision.json

Three uses: the features of a batch; a gradient; and gradients in a loop (`lax.scan`), which is how minibatches are learned
from. Both do the same sums (a test compares them). Compiled beforehand; the best of several rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box
from innerloop.nets.vision import Convolution, Eye
from innerloop.run.folder import versions

RESULTS = Path(__file__).parent / "results" / "vision.json"
SPACE = Box((42, 40, 1), 0.0, 255.0, "uint8")  # an Atari picture
LOOPS, ROUNDS = 6, 5


def by_xla(layer: Convolution, x: Array) -> Array:
    """What the layer does, by `jax.lax.conv_general_dilated`."""
    stride = layer.kernel.shape[0] // 2
    pad = [(0, 0, 0), *((0, -n % stride, 0) for n in x.shape[1:3]), (0, 0, 0)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), pad)
    y = jax.lax.conv_general_dilated(x, layer.kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(y + layer.bias)


def by_products(layer: Convolution, x: Array) -> Array:
    return layer(x)


def uses(apply: Callable[[Convolution, Array], Array]) -> dict[str, Callable[[Eye, Array], Any]]:
    def features(eye: Eye, x: Array) -> Array:
        x = SPACE.scale(x)
        for layer in eye.layers:
            x = apply(layer, x)
        return jax.nn.relu(eye.dense(x.reshape(len(x), -1)))

    def gradient(eye: Eye, x: Array) -> Eye:
        return jax.grad(lambda eye: jnp.mean(features(eye, x) ** 2))(eye)

    def loop(eye: Eye, x: Array) -> Eye:
        def one(eye: Eye, x: Array) -> tuple[Eye, None]:
            return eqx.apply_updates(eye, jax.tree.map(lambda g: -1e-3 * g, gradient(eye, x))), None

        return jax.lax.scan(one, eye, x.reshape(LOOPS, -1, *x.shape[1:]))[0]

    return {"features": features, "gradient": gradient, "gradients in a loop": loop}


def microseconds(f: Callable[..., Any], eye: Eye, x: Array) -> float:
    compiled = jax.jit(f).lower(eye, x).compile()
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        jax.block_until_ready(compiled(eye, x))
        best = min(best, time.process_time() - begin)
    return round(best / len(x) * 1e6, 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=600)
    images = options.parse_args().images // LOOPS * LOOPS
    eye = Eye.init(jax.random.key(0), SPACE)
    x = jax.random.randint(jax.random.key(1), (images, *SPACE.shape), 0, 256).astype(jnp.uint8)
    rows = {
        name: {use: microseconds(f, eye, x) for use, f in uses(apply).items()}
        for name, apply in (("products of matrices", by_products), ("XLA's convolution", by_xla))
    }
    found = {"cpu_microseconds_per_image": rows, "images": images, "cores": os.cpu_count()}
    found |= {"machine": platform.machine(), "versions": versions()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
