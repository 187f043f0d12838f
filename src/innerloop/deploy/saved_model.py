"""Graphs as one TensorFlow SavedModel, each a signature; the only file that imports TensorFlow.

Not by jax2tf: its graphs fail in TensorFlow with current JAX where the batch is open. A graph is StableHLO of a version that
TensorFlow reads, called by one operation (XlaCallModule).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop.deploy.portable import Graph, Portable, batched, constant, example, expected
from innerloop.deploy.primitives import Inexportable

STABLEHLO = "1.13.0"  # every TensorFlow from 2.19 on reads it; tried with 2.21


def needs() -> None:
    """ImportError, saying what to install, where the extra is missing."""
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"an export as SavedModel needs TensorFlow ({error}); install it with pip install 'innerloop[tf]', best in an "
            "environment of its own."
        ) from error


def write(made: Portable, out: Path, agents: int | None) -> dict[str, str]:
    """OUT/saved_model, each graph run once beside the original as TensorFlow reads it back."""
    import tensorflow as tf

    module = tf.Module()
    signatures = {name: function(graph, agents) for name, graph in made.graphs.items()}
    tf.saved_model.save(module, str(out / "saved_model"), signatures=signatures)
    loaded = tf.saved_model.load(str(out / "saved_model"))
    for name, graph in made.graphs.items():
        _try(graph, loaded.signatures[name], agents)
    return {}


def function(graph: Graph, agents: int | None) -> Any:
    """The graph as a tf.function of named arrays."""
    import tensorflow as tf

    call = _called(graph, agents) if graph.inputs else _repeated(graph, agents)
    specs = [tf.TensorSpec([agents, *p.shape], p.dtype, name=p.name) for p in graph.inputs]
    if not graph.inputs and agents is None:
        specs = [tf.TensorSpec([1], tf.int64, name="agents")]
    names = [p.name for p in graph.outputs]
    return tf.function(lambda *xs: dict(zip(names, call(*xs), strict=True)), input_signature=specs)


def _called(graph: Graph, agents: int | None) -> Callable[..., list[Any]]:
    import tensorflow as tf
    from jaxlib.mlir.dialects import stablehlo
    from tensorflow.compiler.tf2xla.python import xla as tfxla

    size: Any = jax.export.symbolic_shape("agents")[0] if agents is None else agents
    specs = [jax.ShapeDtypeStruct((size, *p.shape), p.dtype) for p in graph.inputs]
    exported = jax.export.export(jax.jit(batched(graph)), platforms=["cpu"])(*specs)
    if len(exported.module_kept_var_idx) != len(graph.inputs):
        raise Inexportable(f"`{graph.name}` does not read all of its inputs")
    text = exported.mlir_module()
    try:
        module = stablehlo.serialize_portable_artifact_str(text, STABLEHLO)
    except Exception as error:
        raise Inexportable(f"`{graph.name}` is not to be said in StableHLO {STABLEHLO}: {error}") from error
    types = [tf.as_dtype(p.dtype) for p in graph.outputs]
    shapes = [[agents, *p.shape] for p in graph.outputs]
    version = exported.calling_convention_version

    def call(*xs: Any) -> list[Any]:
        out = tfxla.call_module(
            [*xs], version=version, module=module, Tout=types, Sout=shapes, platforms=["CPU"],
            has_token_input_output=False,
        )  # fmt: skip
        return list(out)

    return call


def _repeated(graph: Graph, agents: int | None) -> Callable[..., list[Any]]:
    import tensorflow as tf

    values = [np.asarray(x) for x in constant(graph)]

    def call(*count: Any) -> list[Any]:
        lead = tf.cast(count[0], tf.int32) if count else tf.constant([agents], tf.int32)
        return [tf.broadcast_to(tf.constant(x)[None], tf.concat([lead, tf.constant(x.shape, tf.int32)], 0)) for x in values]

    return call


def _try(graph: Graph, signature: Any, agents: int | None) -> None:
    """Inexportable where TensorFlow does not run the graph, or finds other numbers than JAX does."""
    import tensorflow as tf

    count = agents or 3
    given = example(graph, count)
    told = {p.name: tf.constant(x) for p, x in zip(graph.inputs, given, strict=True)}
    if not graph.inputs and agents is None:
        told = {"agents": tf.constant([count], tf.int64)}
    try:
        found = {name: x.numpy() for name, x in signature(**told).items()}
    except Exception as error:
        raise Inexportable(f"TensorFlow does not run `{graph.name}`: {str(error).splitlines()[0]}") from error
    for port, y in zip(graph.outputs, expected(graph, count, given), strict=True):
        x = found[port.name]
        if x.shape != y.shape or x.dtype != y.dtype or not np.allclose(x, y, 1e-3, 1e-3, equal_nan=True):
            raise Inexportable(f"`{graph.name}` gives another {port.name} in TensorFlow than in JAX")
