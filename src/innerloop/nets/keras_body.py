"""A Keras 3 model as the body of a policy: between the vector of an observation and the head, in place of a perceptron.

The model's weights are leaves like all others: adapted, differentiated twice, saved. Its layers' own code computes. What it may
not have is a state besides (batch statistics, dropout's seeds): a policy is a function of its weights and the observation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from innerloop.outside import imported, keras


class KerasBody(eqx.Module):
    """x [R, I] → features [R, F]; called as a `Perceptron` is, whose activation a model has by itself."""

    weights: tuple[Array, ...]
    source: str = eqx.field(static=True)
    inputs: int = eqx.field(static=True)

    @staticmethod
    def init(key: Array, source: str, inputs: int) -> KerasBody:
        """Weights drawn by the layers' own initialisers, from `key`."""
        drawn = []
        for i, (variable, initialiser) in enumerate(_initialisers(model(source, inputs))):
            if hasattr(initialiser, "seed"):
                initialiser = copy.copy(initialiser)
                initialiser.seed = jax.random.fold_in(key, i)
            drawn.append(jnp.asarray(initialiser(variable.shape, variable.dtype)))
        return KerasBody(tuple(drawn), source, inputs)

    def __call__(self, x: Array, activation: str) -> Array:
        with jax.numpy_rank_promotion("allow"):
            return model(self.source, self.inputs).stateless_call(list(self.weights), [], x)[0]


def features(source: str, inputs: int) -> int:
    """F, the width of what the model gives."""
    return model(source, inputs).output_shape[-1]


@cache
def model(source: str, inputs: int) -> Any:
    """The model of `package.module:make`, a function of the number of inputs. ValueError where it cannot be a policy's body."""
    named = f"inner.keras={source}"
    kind = keras().Model
    # Variables hold arrays, also where a trace asks first.
    with jax.ensure_compile_time_eval(), jax.numpy_rank_promotion("allow"):
        made = imported(source, "inner.keras")(inputs)
        if not isinstance(made, kind):
            raise ValueError(f"{named} returned {type(made).__name__}; it must return a keras.Model.")
        if not made.built:
            made.build((None, inputs))
    shapes = getattr(made, "input_shape", None), getattr(made, "output_shape", None)
    if shapes[0] != (None, inputs) or not isinstance(shapes[1], tuple) or len(shapes[1]) != 2 or not shapes[1][1]:
        raise ValueError(
            f"{named} maps {shapes[0]} to {shapes[1]}; a policy's body maps (None, {inputs}), a batch of observations, to "
            "(None, features). Functional and Sequential models say their shapes, and that is how they are checked."
        )
    if made.non_trainable_variables:
        names = ", ".join(v.path for v in made.non_trainable_variables)
        raise ValueError(
            f"{named} has variables that are not trained: {names}. A policy adapts by its weights alone: leave out frozen "
            "layers, batch normalisation (LayerNormalization has no such state) and dropout."
        )
    for _ in _initialisers(made):
        pass
    return made


def _initialisers(made: Any) -> Iterator[tuple[Any, Any]]:
    """Every trained variable of the model and the initialiser that its layer names, in the order of the weights."""
    owners = {id(v): layer for layer in _layers(made) for v in layer.trainable_variables}
    for variable in made.trainable_variables:
        initialiser = getattr(owners.get(id(variable)), f"{variable.name}_initializer", None)
        if not callable(initialiser):
            raise ValueError(
                f"the Keras variable {variable.path!r} has no initialiser that can be drawn from anew for another seed; its "
                f"layer must have one as an attribute, {variable.name}_initializer, as Dense has kernel_initializer."
            )
        yield variable, initialiser


def _layers(made: Any) -> Iterator[Any]:
    """The layers of a model, each before those that it is made of."""
    for layer in getattr(made, "layers", []):
        yield layer
        yield from _layers(layer)
