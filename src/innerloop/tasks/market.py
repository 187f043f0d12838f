"""Market making under a hidden regime: quote a bid and an ask, earn the spread, and do not be left with the wrong inventory.

Definition (after Avellaneda and Stoikov 2008, *High-frequency trading in a limit order book*, Quantitative Finance 8, in
discrete time; the running penalty on inventory is that of Cartea, Jaimungal and Penalva 2015, ch. 10): at every step the agent
quotes at distances δ_bid and δ_ask from a mid price S, in ticks, each of `DISTANCES`. A buyer takes the ask with probability
A exp(−k δ_ask), a seller hits the bid with A exp(−k δ_bid), both independently and for one unit; a side that would take the
inventory q beyond ±10 is not quoted. Then the mid moves: by the drift μ, by ξ up for a buyer and down for a seller (impact, or
adverse selection), and by σ times a standard normal. The reward is the change of wealth, cash and inventory at the mid, less
0.02 q². An episode is 60 steps and begins with q = 0; what is left at its end is worth the mid.

A task is the regime, the same in all 4 episodes of a trial and never seen: A ~ U[0.3, 0.9], k log-uniform in [0.3, 1.5], σ
log-uniform in [0.5, 2], μ ~ U[−0.3, 0.3], ξ ~ U[0, 0.5]. Seen are q/10, the share of the episode that is over, the last move of
the mid, and whether bid and ask were taken. `market-making-beyond` has regimes that training never meets: for each of the five
numbers the part of a range half as wide again that lies outside the one above (A up to 1, ξ above 0.5).

Exact values: with the regime known the best policy is a function of time and inventory, by dynamic programming (`best`,
`optimal`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from innerloop.core import Box, Discrete, Spaces, Task
from innerloop.tasks.family import Family, evenly

DISTANCES = np.array([0.25, 0.5, 1.0, 2.0, 4.0], np.float32)  # ticks
MOST, PENALTY, LENGTH = 10, 0.02, 60
QUOTES = np.stack(np.meshgrid(DISTANCES, DISTANCES, indexing="ij"), -1).reshape(-1, 2)  # [25, 2]: bid, ask of each action
# Of A, k, σ, μ, ξ: the pieces of the range in training, and beyond it. k and σ are drawn by their logarithms.
RANGES = {
    "arrival": ([(0.3, 0.9)], [(0.15, 0.3), (0.9, 1.0)]),
    "decay": ([(0.3, 1.5)], [(0.2, 0.3), (1.5, 2.25)]),
    "volatility": ([(0.5, 2.0)], [(0.33, 0.5), (2.0, 3.0)]),
    "drift": ([(-0.3, 0.3)], [(-0.45, -0.3), (0.3, 0.45)]),
    "impact": ([(0.0, 0.5)], [(0.5, 0.75)]),
}
LOGARITHMIC = ("decay", "volatility")


class Regime(NamedTuple):
    """One task; floats."""

    arrival: Array  # A, of a quote at the mid
    decay: Array  # k, per tick
    volatility: Array  # σ, ticks
    drift: Array  # μ, ticks a step
    impact: Array  # ξ, ticks


class Desk(NamedTuple):
    """Where an episode stands, int32."""

    inventory: Array
    time: Array


def _piecewise(key: Array, pieces: list[tuple[float, float]], logarithmic: bool, n: int) -> Array:
    """n numbers, uniform over one of the pieces, each as likely."""
    key_piece, key_place = jax.random.split(key)
    ends = np.array(pieces)
    low, high = jnp.asarray(np.log(ends) if logarithmic else ends, jnp.float32)[
        jax.random.randint(key_piece, (n,), 0, len(ends))
    ].T
    drawn = low + (high - low) * jax.random.uniform(key_place, (n,))
    return jnp.exp(drawn) if logarithmic else drawn


def _taken(regime: Regime, inventory: Array, quote: Array) -> Array:
    """Probabilities [2] that bid and ask of a quote [2] are taken."""
    quoted = jnp.stack([inventory < MOST, inventory > -MOST])
    return jnp.where(quoted, regime.arrival * jnp.exp(-regime.decay * quote), 0.0)


def _values(regime: Regime) -> Array:
    """What the rest of an episode is worth by each action, [LENGTH, 2 MOST + 1, A], of one regime."""
    stock = jnp.arange(-MOST, MOST + 1)
    by_stock = jax.vmap(lambda q: jax.vmap(lambda quote: _taken(regime, q, quote))(jnp.asarray(QUOTES)))
    taken = by_stock(stock)  # [Q, A, 2]
    happens = jnp.stack([1.0 - taken, taken], -1)  # [Q, A, side, whether]
    chance = happens[:, :, 0, :, None] * happens[:, :, 1, None, :]  # [Q, A, bid, ask]
    bid, ask = jnp.arange(2)[:, None], jnp.arange(2)[None, :]
    after = stock[:, None, None] + (bid - ask)[None]  # [Q, bid, ask]
    move = regime.drift + regime.impact * (ask - bid)
    paid = after * move[None] - PENALTY * after**2
    spread = bid[None] * QUOTES[:, 0, None, None] + ask[None] * QUOTES[:, 1, None, None]  # [A, bid, ask]
    at = jnp.clip(after + MOST, 0, 2 * MOST)

    def back(later: Array, _: None) -> tuple[Array, Array]:
        worth = (paid + later[at])[:, None] + spread[None]  # [Q, A, bid, ask]
        by_action = jnp.sum(chance * worth, (2, 3))
        return jnp.max(by_action, -1), by_action

    _, found = jax.lax.scan(back, jnp.zeros(2 * MOST + 1), None, LENGTH, reverse=True)
    return found


@dataclass(frozen=True)
class MarketMaking(Family):
    """Params: Regime."""

    n: int = 4  # episodes in a trial

    bare: ClassVar[str] = "market-making"
    beyond: ClassVar[bool] = False
    spaces: ClassVar[Spaces] = Spaces(Box((5,)), Discrete(len(QUOTES)))
    horizon: ClassVar[int] = LENGTH

    @property
    def name(self) -> str:
        return self.bare if self.n == MarketMaking.n else f"{self.bare}-n{self.n}"

    @property
    def episodes(self) -> int:
        return self.n

    def sample(self, key: Array, n: int) -> Task:
        keys = jax.random.split(self.stream(key), len(RANGES))
        drawn = {
            name: _piecewise(k, pieces[self.beyond], name in LOGARITHMIC, n)
            for k, (name, pieces) in zip(keys, RANGES.items(), strict=True)
        }
        return Task(jnp.full(n, -1, jnp.int32), Regime(**drawn))

    def reset(self, task: Task, key: Array) -> tuple[Desk, Array]:
        zero = jnp.zeros((), jnp.int32)
        return Desk(zero, zero), jnp.zeros(5)

    def step(self, task: Task, state: Desk, action: Array, key: Array) -> tuple[Desk, Array, Array, Array, Array]:
        regime: Regime = task.params
        key_taken, key_move = jax.random.split(key)
        quote = jnp.asarray(QUOTES)[action]
        bid, ask = jax.random.bernoulli(key_taken, _taken(regime, state.inventory, quote)).astype(jnp.float32)
        move = regime.drift + regime.impact * (ask - bid) + regime.volatility * jax.random.normal(key_move)
        inventory = state.inventory + (bid - ask).astype(jnp.int32)
        reward = bid * quote[0] + ask * quote[1] + inventory * move - PENALTY * inventory**2
        after = Desk(inventory, state.time + 1)
        obs = jnp.stack([inventory / MOST, after.time / LENGTH, move, bid, ask])
        return after, obs, reward, jnp.zeros((), bool), after.time >= LENGTH

    def best(self, task: Task) -> Array:
        """Expected return of an episode by the best policy that knows the regime; [...]."""
        lead = jnp.shape(task.params.arrival)
        flat = jax.tree.map(lambda x: jnp.reshape(x, (-1,)), task.params)
        return jnp.reshape(jax.vmap(lambda regime: jnp.max(_values(regime)[0, MOST]))(flat), lead)

    def optimal(self, task: Task, obs: Any, time: Any, earned: Any) -> Array:
        lead = jnp.shape(task.params.arrival)
        flat = jax.tree.map(lambda x: jnp.reshape(x, (-1,)), task.params)
        table = jax.vmap(_values)(flat)  # [tasks, LENGTH, Q, A]
        which = jnp.reshape(jnp.arange(math.prod(lead)), lead)
        inventory = jnp.round(obs[..., 0] * MOST).astype(jnp.int32) + MOST
        values = table[which, jnp.clip(jnp.asarray(time), 0, LENGTH - 1), inventory]
        return evenly(values == jnp.max(values, -1, keepdims=True))


@dataclass(frozen=True)
class MarketMakingBeyond(MarketMaking):
    """Regimes that training never has."""

    bare: ClassVar[str] = "market-making-beyond"
    beyond: ClassVar[bool] = True
