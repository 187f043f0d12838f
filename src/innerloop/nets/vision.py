"""How an observation becomes the vector that nets read: images by a small convolutional encoder, all else flattened.

Not what stands behind it: memories and heads read vectors. An encoder's parameters are part of its inner's meta-parameters.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.core import Box, accept
from innerloop.core.spaces import encode, images, vectors, width
from innerloop.nets.layers import Dense
from innerloop.nets.moments import Moments

SIGHTS = ("auto", "conv", "flat")  # by convolutions where there is an image (auto, conv), or flattened like all else
FEATURES = 128  # that an image is encoded in
CHANNELS = (16, 32)  # of the first layer, and of those behind it
COARSE = 6  # cells of a side at which no further layer follows


class Convolution(eqx.Module):
    """Kernels of twice their stride, then a rectifier; x [R, h, w, C] → [R, h', w', O]. Padded to whole strides.

    As one product of matrices: an image is cut into blocks of stride × stride pixels, and a kernel covers four of them. XLA's
    own convolution is many times slower on a CPU where its gradient stands in a loop (`benchmarks/vision.py`).
    """

    kernel: Array  # [2 stride, 2 stride, C, O]
    bias: Array  # [O]

    @staticmethod
    def init(key: Array, stride: int, inputs: int, outputs: int) -> Convolution:
        """He-normal kernels, zero biases."""
        kernel = jax.nn.initializers.he_normal()(key, (2 * stride, 2 * stride, inputs, outputs), jnp.float32)
        return Convolution(kernel, jnp.zeros(outputs))

    def __call__(self, x: Array) -> Array:
        s, (*_, inputs, outputs) = self.kernel.shape[0] // 2, self.kernel.shape
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((0, -n % s, 0) for n in x.shape[1:3]), (0, 0, 0)])
        r, h, w = x.shape[0], x.shape[1] // s, x.shape[2] // s
        x = jnp.moveaxis(x.reshape(r, h, s, w, s, inputs), 2, 3).reshape(r, h, w, s * s * inputs)
        x = jnp.concatenate([x[:, i : h - 1 + i, j : w - 1 + j] for i in range(2) for j in range(2)], -1)
        kernel = jnp.moveaxis(self.kernel.reshape(2, s, 2, s, inputs, outputs), 2, 1).reshape(-1, outputs)
        y = x @ kernel
        return jax.nn.relu(y + jnp.broadcast_to(self.bias, y.shape))


class Eye(eqx.Module):
    """One image [..., H, W, C] → features [..., F], after Mnih et al. 2015 with fewer channels: kernels of 8 × 8 at stride 4
    (4 × 4 at stride 2 where a side is under 32 pixels), then of 4 × 4 at stride 2 until few cells are left; a dense layer."""

    layers: tuple[Convolution, ...]
    dense: Dense

    @staticmethod
    def init(key: Array, space: Box) -> Eye:
        key_layers, key_dense = jax.random.split(key)
        sides, channels, layers = list(space.shape[:2]), space.shape[2], []
        while max(sides) > COARSE and min(sides) > 2:
            stride = 4 if not layers and min(sides) >= 32 else 2
            outputs = CHANNELS[min(len(layers), 1)]
            layers.append(Convolution.init(jax.random.fold_in(key_layers, len(layers)), stride, channels, outputs))
            sides, channels = [-(-n // stride) - 1 for n in sides], outputs
        return Eye(tuple(layers), Dense.init(key_dense, sides[0] * sides[1] * channels, FEATURES))

    def __call__(self, x: Array) -> Array:
        lead = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:])
        for layer in self.layers:
            x = layer(x)
        return jax.nn.relu(self.dense(x.reshape(*lead, -1)))


def check(sight: str, space: Any) -> None:
    """ValueError where `inner.vision` is not accepted for these observations."""
    accept("inner.vision", sight, SIGHTS)
    if sight == "conv" and not images(space):
        raise ValueError(
            "inner.vision is 'conv', and these observations hold no image, a box [height, width, channels] of 16 × 16 pixels "
            "at least; set inner.vision to 'auto' or 'flat'."
        )


def make(sight: str, key: Array, space: Any) -> tuple[Eye, ...] | None:
    """An encoder for each image, in the order of `encode`; None where all is flattened."""
    seen = images(space)
    if sight == "flat" or not seen:
        return None
    return tuple(Eye.init(jax.random.fold_in(key, i), image) for i, (image, _) in enumerate(seen))


def flat(eyes: tuple[Eye, ...] | None, space: Any, obs: Any) -> Array:
    """What is flattened of an observation, float32 [..., P]: all of it, or where there are eyes all but the images."""
    return encode(space, obs) if eyes is None else vectors(space, obs)


def flat_width(sight: str, space: Any) -> int:
    """P, the length of what `flat` gives."""
    return width(space) - (0 if sight == "flat" else sum(image.width for image, _ in images(space)))


def seen_width(sight: str, space: Any) -> int:
    """Length of what `look` gives."""
    return flat_width(sight, space) + (0 if sight == "flat" else FEATURES * len(images(space)))


def look(eyes: tuple[Eye, ...] | None, moments: Moments | None, space: Any, obs: Any) -> Array:
    """An observation as nets read it, float32 [..., D]: what is flattened, standardised by `moments` where there are any, and
    then the features of its images."""
    x = flat(eyes, space, obs)
    x = x if moments is None else moments.standardise(x)
    if eyes is None:
        return x
    features = [eye(image.scale(y)) for eye, (image, y) in zip(eyes, images(space, obs), strict=True)]
    return jnp.concatenate([x, *features], -1)
