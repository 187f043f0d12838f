"""A traced function run again with other primitives: random draws given from outside, factorisations and products written out.

Not a compiler: what other runtimes then make of it is in `onnx_graphs.py` and `saved_model.py`. Calls are inlined, and what
depends on no argument is computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core as jex

# Where a call keeps what it calls.
_CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr",
    "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "custom_vmap_call": "call",
}  # fmt: skip
_DRAWS = {"_normal": "normal", "normal": "normal", "_uniform": "uniform", "uniform": "uniform"}  # jitted by jax.random
_SPREAD = {"broadcast_in_dim", "iota"}  # never computed ahead: a zero is smaller than many
_IDENTITY = {"stop_gradient", "optimization_barrier", "copy"}


class Inexportable(ValueError):
    """What cannot be said in another runtime's words; the message says what, and why."""


class Draw(NamedTuple):
    """Random numbers that a function takes: "normal" (0, 1) or "uniform" on [0, 1), float32 of this shape."""

    distribution: str
    shape: tuple[int, ...]


Drawn = Callable[[Draw, Callable[[], Array], tuple[Array, Array]], Array]
Rules = dict[str, Callable[..., Any]]


def trace(f: Callable[..., Any], *args: Any) -> jex.ClosedJaxpr:
    """`f` of flat arguments as JAX traces it."""
    return jax.make_jaxpr(f)(*args)


def evaluate(
    program: jex.ClosedJaxpr,
    args: Sequence[Any],
    rules: Rules | None = None,
    drawn: Drawn | None = None,
    outputs: Sequence[int] | None = None,
) -> list[Any]:
    """The outputs of `program`.

    Args:
        args: None stands for one that no asked output depends on.
        rules: {primitive: function of its inputs and parameters → its output}, in place of the primitives themselves.
        drawn: (what, the original draw, low and high) → the numbers of a draw by `jax.random`; None: as they were.
        outputs: only these, by position; None: all.
    """
    return _Run(rules or {}, drawn).closed(program, args, outputs)


class _Run:
    def __init__(self, rules: Rules, drawn: Drawn | None):
        self.rules, self.drawn, self.inside = rules, drawn, ""

    def closed(self, program: Any, args: Sequence[Any], outputs: Sequence[int] | None = None) -> list[Any]:
        jaxpr, consts = (program.jaxpr, program.consts) if hasattr(program, "consts") else (program, ())
        known: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

        def value(v: Any) -> Any:
            return v.val if isinstance(v, jex.Literal) else known[v]

        wanted = needed(jaxpr, outputs)
        for eqn in jaxpr.eqns:
            if id(eqn) in wanted:
                known.update(zip(eqn.outvars, self.equation(eqn, [value(v) for v in eqn.invars]), strict=True))
        return [value(jaxpr.outvars[i]) for i in (range(len(jaxpr.outvars)) if outputs is None else outputs)]

    def equation(self, eqn: Any, xs: list[Any]) -> list[Any]:
        name = eqn.primitive.name
        if name in _CALLS:
            return self.call(eqn, xs)
        if name in self.rules:
            return [self.rules[name](*xs, **eqn.params)]
        if name in _IDENTITY:
            return xs
        if name == "scan":
            return self.scan(eqn.params, xs)
        if name == "while":
            return self.loop(eqn.params, xs)
        if name == "cond" or name == "platform_index":
            raise Inexportable(f"a branch ({name}), which is not exported")
        known = name not in _SPREAD and not any(isinstance(x, jax.core.Tracer) for x in xs)
        if known and all(isinstance(n, int) for v in eqn.outvars for n in v.aval.shape):
            with jax.ensure_compile_time_eval():
                out = eqn.primitive.bind(*xs, **eqn.params)
        else:
            out = eqn.primitive.bind(*xs, **eqn.params)
        return list(out) if eqn.primitive.multiple_results else [out]

    def call(self, eqn: Any, xs: list[Any]) -> list[Any]:
        body, kind = eqn.params[_CALLS[eqn.primitive.name]], _DRAWS.get(eqn.params.get("name", ""))
        # A draw: a key comes in, floats go out.
        if self.drawn is None or kind is None or not _is_key(eqn.invars[0].aval):
            return self.closed(body, xs)
        if self.inside:
            raise Inexportable(f"random numbers inside a {self.inside}, which an export cannot take from outside")
        shape = tuple(eqn.outvars[0].aval.shape)
        ends = (xs[1], xs[2]) if kind == "uniform" else (jnp.zeros(()), jnp.ones(()))
        return [self.drawn(Draw(kind, shape), lambda: _Run(self.rules, None).closed(body, xs)[0], ends)]

    def scan(self, p: Any, xs: list[Any]) -> list[Any]:
        consts, carried = _arity(p)
        fixed, init, rows = xs[:consts], xs[consts : consts + carried], xs[consts + carried :]

        def body(carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
            out = self._within("scan", p["jaxpr"], [*fixed, *carry, *row])
            return out[:carried], out[carried:]

        # Forwards, whatever the direction: jax2onnx knows no other.
        turned = (lambda x: lax.rev(x, (0,))) if p["reverse"] else (lambda x: x)
        carry, ys = lax.scan(body, init, [turned(x) for x in rows], length=p["length"])
        return [*carry, *(turned(y) for y in ys)]

    def loop(self, p: Any, xs: list[Any]) -> list[Any]:
        """A batch of loops goes on while any of them does, and those that are done stay as they are (as JAX lowers it)."""
        a, b = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
        asks, does, init = xs[:a], xs[a:b], xs[b:]

        def goes(state: list[Any]) -> Array:
            return self._within("loop", p["cond_jaxpr"], [*asks, *state])[0]

        def body(state: list[Any]) -> list[Any]:
            after, still = self._within("loop", p["body_jaxpr"], [*does, *state]), goes(state)
            if not still.ndim:
                return after
            return [select_n(_ahead(still, x), y, x) for x, y in zip(after, state, strict=True)]

        return list(lax.while_loop(lambda state: jnp.any(goes(state)), body, init))

    def _within(self, what: str, program: Any, args: list[Any]) -> list[Any]:
        outer, self.inside = self.inside, what
        try:
            return self.closed(program, args)
        finally:
            self.inside = outer


def _arity(p: Any) -> tuple[int, int]:
    """Constants and carried values of a scan, by its parameters in JAX 0.10 and 0.12."""
    if "num_carry" in p:
        return p["num_consts"], p["num_carry"]
    consts, carry, _ = (len(list(group)) for group in p["ft_in"].unpack())
    return consts, carry


def _is_key(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jax.dtypes.prng_key) or aval.dtype == jnp.uint32


def _ahead(mask: Array, like: Array) -> Array:
    """`mask` [B] for leaves [B, ...]."""
    return lax.broadcast_in_dim(mask, like.shape, tuple(range(mask.ndim)))


def needed(jaxpr: Any, outputs: Sequence[int] | None = None) -> dict[int, Any]:
    """The equations that some output needs (of `outputs`, by position; None: all), by their ids."""
    at = range(len(jaxpr.outvars)) if outputs is None else outputs
    asked = {v for v in (jaxpr.outvars[i] for i in at) if not isinstance(v, jex.Literal)}
    found: dict[int, Any] = {}
    for eqn in reversed(jaxpr.eqns):
        if any(v in asked for v in eqn.outvars) or eqn.effects:
            found[id(eqn)] = eqn
            asked.update(v for v in eqn.invars if not isinstance(v, jex.Literal))
    return found


def reads(program: jex.ClosedJaxpr, outputs: Sequence[int]) -> set[int]:
    """The positions of the inputs that these outputs depend on."""
    jaxpr = program.jaxpr
    asked = {v for e in needed(jaxpr, outputs).values() for v in e.invars if not isinstance(v, jex.Literal)}
    asked |= {v for v in (jaxpr.outvars[i] for i in outputs) if not isinstance(v, jex.Literal)}
    return {i for i, v in enumerate(jaxpr.invars) if v in asked}


def names(program: jex.ClosedJaxpr) -> set[str]:
    """The primitives of a program, those of its loops included."""
    found: set[str] = set()

    def look(jaxpr: Any) -> None:
        for eqn in jaxpr.eqns:
            found.add(eqn.primitive.name)
            for p in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
                inner = getattr(p, "jaxpr", p)
                if hasattr(inner, "eqns"):
                    look(inner)

    look(program.jaxpr)
    return found


# -- rules: what a primitive is in simpler ones --------------------------------------------------------------------------


def cholesky(a: Array, **_: Any) -> Array:
    """The lower factor of a [F, F], column by column. In a loop that picks by masks: small in any format, whatever F."""
    size = a.shape[-1]
    at, below = jnp.eye(size, dtype=bool), jnp.triu(jnp.ones((size, size), bool))  # below[j]: rows from j on

    def column(a: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        here, below = row
        own = jnp.sum(jnp.where(here[None], a, 0.0), 1)
        root = jnp.sqrt(jnp.sum(jnp.where(here, own, 0.0)))
        own = jnp.where(below, own / root, 0.0)
        return a - own[:, None] * own[None, :], own

    return lax.scan(column, a, (at, below))[1].T


def triangular_solve(
    a: Array, b: Array, *, left_side: bool, lower: bool, transpose_a: bool, conjugate_a: bool, unit_diagonal: bool
) -> Array:
    """x of a x = b, or of x a = b; a [F, F], b [F, M]. By substitution, row by row."""
    if not left_side:
        options = {"conjugate_a": conjugate_a, "unit_diagonal": unit_diagonal}
        return triangular_solve(a, b.T, left_side=True, lower=lower, transpose_a=not transpose_a, **options).T
    if transpose_a:
        a, lower = a.T, not lower

    def solve(left: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        """`left`: what the rows of x found so far leave of b."""
        here, column = row
        found = jnp.sum(jnp.where(here[:, None], left, 0.0), 0)
        if not unit_diagonal:
            found = found / jnp.sum(jnp.where(here, column, 0.0))
        return left - column[:, None] * found[None, :], found

    return lax.scan(solve, b, (jnp.eye(a.shape[-1], dtype=bool), a.T), reverse=not lower)[1]


def dot_general(x: Array, y: Array, *, dimension_numbers: Any, **options: Any) -> Array:
    """With explicit transposes around one product of matrices. (jax2onnx 0.17.1 forgets a transpose where both are contracted
    along their first axis, as every gradient of a product of matrices is.)"""
    (cx, cy), (bx, by) = dimension_numbers
    fx, fy = ([i for i in range(z.ndim) if i not in c and i not in b] for z, c, b in ((x, cx, bx), (y, cy, by)))
    lead, inner = [x.shape[i] for i in bx], math.prod(x.shape[i] for i in cx)
    kept = [x.shape[i] for i in fx], [y.shape[i] for i in fy]
    x = lax.reshape(lax.transpose(x, (*bx, *fx, *cx)), (*lead, math.prod(kept[0]), inner))
    y = lax.reshape(lax.transpose(y, (*by, *cy, *fy)), (*lead, inner, math.prod(kept[1])))
    n = len(lead)
    numbers = (((n + 1,), (n,)), (tuple(range(n)), tuple(range(n))))
    return lax.reshape(lax.dot_general_p.bind(x, y, dimension_numbers=numbers, **options), (*lead, *kept[0], *kept[1]))


def scatter(operand: Array, indices: Array, updates: Array, *, dimension_numbers: Any, mode: Any = None, **_: Any) -> Array:
    """With the masks of the places written to: exact where none is written twice."""
    hit, new = _placed(operand, indices, updates, dimension_numbers, mode)
    kept = jnp.any(hit, 0)
    if operand.dtype == jnp.bool_:
        written = jnp.any(hit & new, 0)
        return _back(kept & written | ~kept & _forth(operand, dimension_numbers), operand, dimension_numbers)
    written = jnp.sum(jnp.where(hit, new, jnp.zeros((), new.dtype)), 0)
    return _back(jnp.where(kept, written, _forth(operand, dimension_numbers)), operand, dimension_numbers)


def scatter_add(operand: Array, indices: Array, updates: Array, *, dimension_numbers: Any, mode: Any = None, **_: Any) -> Array:
    """As `scatter`, what is written in the same place being summed."""
    hit, new = _placed(operand, indices, updates, dimension_numbers, mode)
    added = jnp.sum(jnp.where(hit, new, jnp.zeros((), new.dtype)), 0)
    return operand + _back(added, operand, dimension_numbers)


def _located(operand: Array, d: Any) -> tuple[list[int], list[int]]:
    """Axes of the operand that indices choose in, and those that updates cover whole."""
    located = [*d.scatter_dims_to_operand_dims, *d.operand_batching_dims]
    return located, [i for i in range(operand.ndim) if i not in located]


def _forth(operand: Array, d: Any) -> Array:
    """[L places, W]"""
    located, whole = _located(operand, d)
    shape = (math.prod(operand.shape[i] for i in located), math.prod(operand.shape[i] for i in whole))
    return lax.reshape(lax.transpose(operand, (*located, *whole)), shape)


def _back(flat: Array, operand: Array, d: Any) -> Array:
    located, whole = _located(operand, d)
    order = [*located, *whole]
    return lax.transpose(lax.reshape(flat, [operand.shape[i] for i in order]), [order.index(i) for i in range(operand.ndim)])


def _placed(operand: Array, indices: Array, updates: Array, d: Any, mode: Any) -> tuple[Array, Array]:
    """Which of S updates goes to which place, bool [S, L, W], and what it brings [S, L, W]."""
    indices, updates = jnp.asarray(indices), jnp.asarray(updates)  # literals are bare numbers
    located, whole = _located(operand, d)
    inserted = {*d.inserted_window_dims, *d.operand_batching_dims}
    covers = [updates.shape[i] for i in d.update_window_dims] == [operand.shape[i] for i in whole]
    if not set(located) <= inserted or not covers:
        raise Inexportable("a scatter of windows that are neither single entries nor whole axes")
    lead = indices.shape[:-1]
    grids = [indices[..., k] for k in range(indices.shape[-1])]
    grids += [lax.broadcasted_iota(indices.dtype, lead, i) for i in d.scatter_indices_batching_dims]
    hit = jnp.ones((math.prod(lead), 1), bool)
    for axis, at in zip(located, grids, strict=True):
        size = operand.shape[axis]
        at = jnp.clip(at, 0, size - 1) if mode == lax.GatherScatterMode.CLIP else at
        here = lax.reshape(at, (math.prod(lead), 1)) == jnp.arange(size, dtype=at.dtype)[None]
        hit = lax.reshape(hit[:, :, None] & here[:, None, :], (hit.shape[0], hit.shape[1] * size))
    apart = [i for i in range(updates.ndim) if i not in d.update_window_dims]
    new = lax.transpose(updates, (*apart, *d.update_window_dims))
    new = lax.reshape(new, (math.prod(lead), 1, math.prod(operand.shape[i] for i in whole)))
    shape = (hit.shape[0], hit.shape[1], new.shape[2])
    return jnp.broadcast_to(hit[:, :, None], shape), jnp.broadcast_to(new, shape)


def select_n(which: Array, *cases: Array) -> Array:
    """Of truth values by logic: onnxruntime chooses among numbers only."""
    if cases[0].dtype != jnp.bool_ or len(cases) != 2 or which.dtype != jnp.bool_:
        return lax.select_n(which, *cases)
    which = which if which.shape == cases[0].shape else jnp.broadcast_to(which, cases[0].shape)
    return which & cases[1] | ~which & cases[0]


def rem(x: Array, y: Array) -> Array:
    """The remainder with the sign of x, of whole numbers by division."""
    return x - y * lax.div(x, y) if jnp.issubdtype(x.dtype, jnp.integer) else lax.rem(x, y)


# Before many agents are made of one, and after.
WRITTEN_OUT: Rules = {
    "cholesky": cholesky, "triangular_solve": triangular_solve, "scatter": scatter, "scatter-add": scatter_add,
}  # fmt: skip
FOR_ONNX: Rules = {"dot_general": dot_general, "select_n": select_n, "rem": rem}
