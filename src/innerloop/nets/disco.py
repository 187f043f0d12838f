"""The net of a discovered update rule: DiscoRL's (Oh et al. 2025, Nature, doi 10.1038/s41586-025-09761-x, Methods).

Not the agent, nor what it does with its targets (`inner/discovered_rule.py`), nor the file of a published rule
(`run/rule_file.py`). Axis letters: T rows, N streams, A actions, P predictions, H units along a trajectory, M along a lifetime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.nets.layers import Dense
from innerloop.nets.memory.lstm import LSTM, Held

INPUTS, PER_ACTION = 27, 9  # what the rule reads of a row; of each action in it, the one-hot of that taken among them
EMBED, CHANNELS = 16, 2  # units that read a prediction or an action, and channels that are left of an action


class Outlook(NamedTuple):
    """What an agent says at observations [...]; all but `q` are logits."""

    policy: Array  # [..., A]
    y: Array  # [..., P], of a prediction that means what the rule makes of it
    z: Array  # [..., A, P], the same after each action
    following: Array  # [..., A, A], of the policy one step after each action
    q: Array  # [..., A, bins], logits of action values


class Row(NamedTuple):
    """What the rule reads of transitions; leaves [T, N, ...]. Advantages and values are by the slow copy of the agent."""

    reward: Array
    terminated: Array
    ends: Array  # nothing is read backwards across the end of these rows
    mask: Array
    action: Array  # int32
    behaviour: Array  # logits [..., A] of what acted
    value: Array  # of the agent at the observation
    arrived: Array  # of the agent where the action led
    advantage: Array
    normalised: Array  # the same, by its running moments
    q: Array  # [..., A]
    gain: Array  # [..., A], action values less the state's
    normalised_gain: Array


class Targets(NamedTuple):
    """Logits that the agent is to move towards."""

    policy: Array  # [T, N, A]
    y: Array  # [T, N, P]
    z: Array  # [T, N, P], after the action taken


class Reader(NamedTuple):
    """What embeds predictions and actions."""

    y: tuple[Dense, Dense]  # P → 1
    z: tuple[Dense, Dense]
    actions: tuple[Dense, Dense]  # per action, 9 → 2, each layer beside its mean over actions


class DiscoNet(NamedTuple):
    """The weights η."""

    reader: Reader
    cell: LSTM  # along a trajectory, backwards
    gate: Dense  # M → H, what the lifetime so far makes of it
    embed: Dense  # H → 1, read by the lifetime's memory
    y: Dense  # H → P
    z: Dense
    action: Dense  # 2 (H + 2) → 16
    policy: Dense  # 16 → 1
    life_reader: Reader
    life_embed: Dense  # 29 → 16
    life: LSTM  # one step an update

    @staticmethod
    def init(key: Array, predictions: int, trajectory: int, lifetime: int) -> DiscoNet:
        """Fresh weights; sizes P, H, M (Disco103: 600, 256, 128)."""
        keys = iter(jax.random.split(key, 32))

        def pair(inputs: int, outputs: int, both: int = 1) -> tuple[Dense, Dense]:
            return Dense.init(next(keys), both * inputs, EMBED), Dense.init(next(keys), both * EMBED, outputs)

        def reader() -> Reader:
            return Reader(pair(predictions, 1), pair(predictions, 1), pair(PER_ACTION, CHANNELS, 2))

        return DiscoNet(
            reader(),
            LSTM.init(next(keys), INPUTS, trajectory),
            # At birth the lifetime's memory is empty: a bias of 0 would shut the gate for good.
            Dense(Dense.init(next(keys), lifetime, trajectory).weight, jnp.ones(trajectory)),
            Dense.init(next(keys), trajectory, 1),
            Dense.init(next(keys), trajectory, predictions),
            Dense.init(next(keys), trajectory, predictions),
            Dense.init(next(keys), 2 * (trajectory + CHANNELS), EMBED),
            Dense.init(next(keys), EMBED, 1),
            reader(),
            Dense.init(next(keys), INPUTS + 2, EMBED),
            LSTM.init(next(keys), EMBED, lifetime),
        )

    def born(self) -> Held:
        """The lifetime's memory before the first update; leaves [M]."""
        return self.life.empty((), 1)

    def targets(
        self, held: Held, row: Row, now: Outlook, then: Outlook, slow: Outlook, slow_then: Outlook
    ) -> tuple[Targets, Held]:
        """What the agent is to move towards, and the lifetime's memory after this update. `then`: where actions led, before
        any reset; `slow`: the same by the slow copy of the agent."""
        seen, actions = _inputs(self.reader, row, now, then, slow, slow_then)
        _, x = self.cell.unroll(self.cell.empty(row.ends.shape[1:], 1), seen[::-1], row.ends[::-1])
        x = x[::-1]
        x = x * jnp.broadcast_to(self.gate(held.h), x.shape)
        each = jnp.broadcast_to(x[..., None, :], (*actions.shape[:-1], x.shape[-1]))
        each = _beside_mean(self.action, jnp.concatenate([each, actions], -1))
        made = Targets(self.policy(each)[..., 0], self.y(x), self.z(x))
        seen, _ = _inputs(self.life_reader, row, now, then, slow, slow_then)
        both = [seen, self.embed(x), _pair(self.life_reader.y, jax.nn.softmax(made.y))]
        lived = jnp.where(row.mask[..., None], self.life_embed(jnp.concatenate(both, -1)), 0.0)
        mean = jnp.sum(lived, (0, 1)) / jnp.maximum(jnp.sum(row.mask), 1)
        held, _ = self.life.step(held, mean, jnp.zeros((), bool))
        return made, held


def _pair(layers: tuple[Dense, Dense], x: Array) -> Array:
    return layers[1](jax.nn.relu(layers[0](x)))


def _beside_mean(layer: Dense, x: Array) -> Array:
    """x [..., A, C] beside its mean over actions, through one layer."""
    mean = jnp.broadcast_to(jnp.mean(x, -2, keepdims=True), x.shape)
    return jax.nn.relu(layer(jnp.concatenate([x, mean], -1)))


def signed_log(x: Array) -> Array:
    """sign(x) ln(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def taken(table: Array, action: Array) -> Array:
    """table [T, N, A, ...] at the action taken."""
    index = action.reshape(*action.shape, *(1,) * (table.ndim - action.ndim))
    return jnp.take_along_axis(table, index, action.ndim).squeeze(action.ndim)


def _inputs(reader: Reader, row: Row, now: Outlook, then: Outlook, slow: Outlook, slow_then: Outlook) -> tuple[Array, Array]:
    """The 27 numbers of every row [T, N, 27], and what is left of every action [T, N, A, 2]; in the order of the published
    weights."""
    policy, arrived, behaviour, slowly = (jax.nn.softmax(x) for x in (now.policy, then.policy, row.behaviour, slow.policy))
    z, z_then, slow_z, slow_z_then = (_pair(reader.z, jax.nn.softmax(x.z)) for x in (now, then, slow, slow_then))  # [..., A, 1]

    def y(outlook: Outlook) -> Array:
        return _pair(reader.y, jax.nn.softmax(outlook.y))

    def mean(x: Array, under: Array) -> Array:
        return jnp.sum(x * under[..., None], -2)

    one_hot = jax.nn.one_hot(row.action, policy.shape[-1])
    each = [policy, behaviour, slowly, z[..., 0], slow_z[..., 0], signed_log(row.q), signed_log(row.gain)]
    actions = jnp.stack([*each, row.normalised_gain, one_hot], -1)
    for layer in reader.actions:
        actions = _beside_mean(layer, actions)
    scalars = [
        taken(policy, row.action),
        taken(behaviour, row.action),
        signed_log(row.reward),
        1.0 - row.terminated,
        signed_log(row.value),
        signed_log(row.arrived),
        signed_log(row.advantage),
        row.normalised,
        taken(slowly, row.action),
    ]
    columns = [
        *(x[..., None] for x in scalars),
        *(y(x) for x in (now, then, slow, slow_then)),
        taken(z, row.action),
        *(mean(z, policy), mean(z_then, arrived), jnp.max(z, -2), jnp.max(z_then, -2)),
        taken(slow_z, row.action),
        *(mean(slow_z, policy), mean(slow_z_then, arrived), jnp.max(slow_z, -2), jnp.max(slow_z_then, -2)),
        jnp.mean(actions, -2),
        taken(actions, row.action),
    ]
    seen = jnp.concatenate(columns, -1)
    return jnp.where(row.mask[..., None], seen, 0.0), jnp.where(row.mask[..., None, None], actions, 0.0)


def from_arrays(arrays: Mapping[str, np.ndarray]) -> DiscoNet:
    """The net of a verified file (`run/rule_file.py`), by the names of its arrays."""
    top, life = "lstm", "lstm/~/meta_lstm/~unroll"

    def dense(name: str) -> Dense:
        weight = arrays[f"{name}/w"]
        return Dense(jnp.asarray(weight.reshape(weight.shape[-2:])), jnp.asarray(arrays[f"{name}/b"]))

    def mlp(name: str) -> tuple[Dense, Dense]:
        return dense(f"{name}/~/linear_0"), dense(f"{name}/~/linear_1")

    def reader(where: str) -> Reader:
        convolutions = dense(f"{where}/sequential/conv1_d"), dense(f"{where}/sequential/conv1_d_1")
        return Reader(mlp(f"{where}/mlp"), mlp(f"{where}/mlp_1"), convolutions)

    return DiscoNet(
        reader(top),
        _cell(dense(f"{top}/lstm/linear")),
        dense(f"{top}/linear"),
        dense(f"{top}/linear_1"),
        dense(f"{top}/linear_2"),
        dense(f"{top}/linear_3"),
        dense(f"{top}/sequential_1/conv1_d"),
        dense(f"{top}/linear_4"),
        reader(life),
        dense(f"{life}/mlp_2/~/linear_0"),
        _cell(dense(f"{life}/lstm/linear")),
    )


def _cell(dense: Dense) -> LSTM:
    """Theirs reads [input, hidden] in one product, has its gates in the order input, candidate, forget, output, and adds 1 to
    the forget gate's."""
    width = dense.bias.size // 4

    def ours(x: Any) -> Array:
        i, g, f, o = jnp.split(x, 4, -1)
        return jnp.concatenate([i, f, g, o], -1)

    bias = ours(dense.bias).at[width : 2 * width].add(1.0)
    return LSTM(ours(dense.weight[:-width]), ours(dense.weight[-width:]), bias)
