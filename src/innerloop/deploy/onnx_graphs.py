"""Graphs as ONNX models, by jax2onnx; the only file that imports it.

Not the folder around them (`export.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from innerloop.deploy.portable import Graph, Port, Portable, batched, constant, example, expected
from innerloop.deploy.primitives import FOR_ONNX, Inexportable, evaluate, names, trace

OPSET = 21  # of onnxruntime 1.20 and later
LOOPS = {"scan", "while"}
_TYPES = {"float32": "FLOAT", "int32": "INT32", "bool": "BOOL", "uint32": "UINT32"}


def needs() -> None:
    """ImportError, saying what to install, where the extra is missing."""
    try:
        import jax2onnx  # noqa: F401
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"an export to ONNX needs jax2onnx and onnx ({error}); install them with pip install 'innerloop[export]'."
        ) from error


def write(made: Portable, out: Path, agents: int | None) -> dict[str, str]:
    """A model for every graph, each run once beside the original; {graph: file}."""
    for name, graph in made.graphs.items():
        content = model(graph, agents)
        _try(graph, content, agents)
        (out / f"{name}.onnx").write_bytes(content)
    return {name: f"{name}.onnx" for name in made.graphs}


def _try(graph: Graph, content: bytes, agents: int | None) -> None:
    """Inexportable where onnxruntime does not run the model, or finds other numbers than JAX does."""
    import numpy as np
    import onnxruntime

    count = agents or 3
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    given = example(graph, count)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        open_count = not graph.inputs and agents is None
        told = {"agents": np.array([count])} if open_count else {p.name: x for p, x in zip(graph.inputs, given, strict=True)}
        found = session.run(None, told)
    except Exception as error:
        raise Inexportable(
            f"onnxruntime does not run `{graph.name}` as jax2onnx made it: {str(error).splitlines()[0]}"
        ) from error
    for port, x, y in zip(graph.outputs, found, expected(graph, count, given), strict=True):
        if x.shape != y.shape or x.dtype != y.dtype or not np.allclose(x, y, 1e-3, 1e-3, equal_nan=True):
            raise Inexportable(f"`{graph.name}` as jax2onnx made it gives another {port.name} than JAX does")


def model(graph: Graph, batch: int | None) -> bytes:
    """The graph of `batch` agents (None: of any number) as a serialised ONNX model.

    Raises:
        Inexportable: jax2onnx does not know what the graph is made of.
    """
    import onnx

    made = _model(graph, batch) if graph.inputs else _constant(graph, batch)
    made.producer_name, made.graph.name = "innerloop", graph.name
    onnx.checker.check_model(made)
    return made.SerializeToString()


def _model(graph: Graph, batch: int | None) -> Any:
    if batch is None and names(graph.program) & LOOPS:
        return _each_in_turn(graph)
    size: Any = jax.export.symbolic_shape("agents")[0] if batch is None else batch
    return _converted(graph, batched(graph), [jax.ShapeDtypeStruct((size, *p.shape), p.dtype) for p in graph.inputs])


def _converted(graph: Graph, f: Callable[..., Any], specs: list[Any]) -> Any:
    from jax2onnx import to_onnx

    program = trace(f, *specs)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # of shapes that it does not write down
    try:
        made = to_onnx(
            lambda *xs: evaluate(program, xs, FOR_ONNX), specs, model_name=graph.name, opset=OPSET,
            input_names=[p.name for p in graph.inputs],
        )  # fmt: skip
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Inexportable(f"jax2onnx does not convert `{graph.name}`: {reason}") from error
    _name_outputs(made, [p.name for p in graph.outputs])
    _forget_unused(made.graph)
    return made


def _each_in_turn(graph: Graph) -> Any:
    """For any number of agents, one after the other: inside a loop jax2onnx needs every length to be known."""
    from onnx import helper

    one = _converted(graph, graph.call, [jax.ShapeDtypeStruct(p.shape, p.dtype) for p in graph.inputs])
    inputs, outputs = ([p.name for p in ports] for ports in (graph.inputs, graph.outputs))
    body = helper.make_graph(
        [*one.graph.node], f"{graph.name}_of_one", [*one.graph.input], [*one.graph.output], [*one.graph.initializer],
        value_info=[*one.graph.value_info],
    )  # fmt: skip
    _rename(body, {name: f"one_{name}" for name in (*inputs, *outputs)})
    scan = helper.make_node("Scan", inputs, outputs, body=body, num_scan_inputs=len(inputs))
    whole = helper.make_graph([scan], graph.name, *([_value(p) for p in ports] for ports in (graph.inputs, graph.outputs)))
    return helper.make_model(whole, opset_imports=one.opset_import, ir_version=one.ir_version, functions=one.functions)


def _value(port: Port, batch: int | None = None) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(port.name, getattr(TensorProto, _TYPES[port.dtype]), [batch or "agents", *port.shape])


def _rename(graph: Any, new: dict[str, str]) -> None:
    """Values of a graph, and where its loops read them."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [new.get(name, name) for name in ends]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, new)


def _forget_unused(graph: Any) -> set[str]:
    """Without initial values that nothing reads; returns the names that it reads, its loops included."""
    read = {name for node in graph.node for name in node.input} | {x.name for x in graph.output}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                read |= _forget_unused(attribute.g)
    held = [x for x in graph.initializer if x.name in read]
    del graph.initializer[:]
    graph.initializer.extend(held)
    return read


def _name_outputs(made: Any, names: list[str]) -> None:
    """Each output under its own name, also where two are the same value."""
    from onnx import helper

    had = list(made.graph.output)
    del made.graph.output[:]
    for old, name in zip(had, names, strict=True):
        made.graph.node.append(helper.make_node("Identity", [old.name], [name]))
        new = made.graph.output.add()
        new.CopyFrom(old)
        new.name = name


def _constant(graph: Graph, batch: int | None) -> Any:
    """Of constants: as they are, or repeated for as many agents as the input `agents` [1] says."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes, held, outputs = [], [], []
    inputs = [helper.make_tensor_value_info("agents", TensorProto.INT64, [1])] if batch is None else []
    for port, value in zip(graph.outputs, constant(graph), strict=True):
        outputs.append(_value(port, batch))
        one = np.broadcast_to(value[None], (batch or 1, *value.shape))
        held.append(numpy_helper.from_array(np.ascontiguousarray(one), f"{port.name}_value"))
        if batch is None:
            held.append(numpy_helper.from_array(np.array(value.shape, np.int64), f"{port.name}_shape"))
            nodes.append(helper.make_node("Concat", ["agents", f"{port.name}_shape"], [f"{port.name}_whole"], axis=0))
            nodes.append(helper.make_node("Expand", [f"{port.name}_value", f"{port.name}_whole"], [port.name]))
        else:
            nodes.append(helper.make_node("Identity", [f"{port.name}_value"], [port.name]))
    made = helper.make_graph(nodes, graph.name, inputs, outputs, held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
