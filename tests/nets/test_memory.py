"""Every memory: many steps at once are the same as one by one, whatever the resets; nothing passes a reset."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.nets import memory
from innerloop.nets.memory.cell import recurrence

STEPS, STREAMS, INPUTS, WIDTH = 70, 2, 5, 8  # more than a block of either cell that has blocks
CASES = [*((name, 1) for name in memory.MEMORIES), ("mingru", 2)]


def made(name, layers, window=STEPS):
    cell = memory.make(name, jax.random.key(0), INPUTS, WIDTH, layers, heads=2)
    xs = jax.random.normal(jax.random.key(1), (STEPS, STREAMS, INPUTS))
    resets = jax.random.bernoulli(jax.random.key(2), 0.03, (STEPS, STREAMS))
    return cell, cell.empty((STREAMS,), window), xs, resets


def stepped(cell, state, xs, resets):
    return jax.lax.scan(lambda s, row: cell.step(s, *row), state, (xs, resets))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "layers"), CASES)
def test_unrolling_is_stepping(name, layers, dtype):
    """From an empty memory and from one in the middle of a trial; read and state (by what it leads to)."""
    cell, state, xs, resets = made(name, layers)

    @jax.jit
    def both(state, xs):
        warm, _ = cell.unroll(state, xs[:37], resets[:37])
        one, two = stepped(cell, warm, xs, resets), cell.unroll(warm, xs, resets)
        further = [cell.unroll(after, xs[:20], jnp.zeros_like(resets[:20]))[1] for after, _ in (one, two)]
        return one[1], two[1], *further

    a, b, c, d = (np.asarray(y, np.float32) for y in both(state, xs.astype(dtype)))
    tolerance = 1e-4 if dtype == jnp.float32 else 0.1
    np.testing.assert_allclose(a, b, atol=tolerance)
    np.testing.assert_allclose(c, d, atol=tolerance)
    assert np.abs(a).max() > 0.1


@pytest.mark.parametrize("window", [1, 20, 65])
def test_a_transformer_with_a_short_window(window):
    """Fewer slots than steps: unrolling is stepping, and what lies further back does not count."""
    cell, state, xs, resets = made("transformer", 1, window)
    a = jax.jit(lambda *rows: stepped(cell, *rows)[1])(state, xs, resets)
    b = jax.jit(lambda *rows: cell.unroll(*rows)[1])(state, xs, resets)
    np.testing.assert_allclose(a, b, atol=1e-5)
    none = jnp.zeros_like(resets)
    other = jnp.concatenate([xs[: STEPS - window] + 1.0, xs[STEPS - window :]])
    unroll = jax.jit(lambda x: cell.unroll(state, x, none)[1])
    c, d = np.asarray(unroll(xs)), np.asarray(unroll(other))
    np.testing.assert_allclose(c[-1], d[-1], atol=1e-6)
    assert np.abs(c[-2] - d[-2]).max() > 1e-4


@pytest.mark.parametrize(("name", "layers"), CASES)
def test_nothing_passes_a_reset(name, layers):
    """After a reset all is as in a new memory, even where what lies before is infinite."""
    cell, state, xs, _ = made(name, layers)
    at = 41
    resets = jnp.zeros((STEPS, STREAMS), bool).at[at].set(True)
    unroll = jax.jit(lambda *rows: cell.unroll(*rows))
    alone = unroll(state, xs[at:], resets[at:])[1]
    behind = unroll(state, xs, resets)[1][at:]
    np.testing.assert_allclose(alone, behind, atol=1e-5)
    dead = jax.tree.map(lambda x: jnp.full_like(x, jnp.inf) if x.dtype == jnp.float32 else x + 7, state)
    if name != "transformer":  # slots of an older trial are not read, as the lines above show
        np.testing.assert_allclose(unroll(dead, xs[at:], resets[at:])[1], alone, atol=1e-5)
    assert np.all(np.isfinite(cell.step(dead, xs[0], resets[at])[1])) or name == "transformer"


@pytest.mark.parametrize(("name", "layers"), CASES)
def test_the_gradient_is_that_of_stepping(name, layers):
    cell, state, xs, resets = made(name, layers)

    def loss(cell, run):
        return jnp.sum(jnp.cos(jnp.arange(STEPS))[:, None, None] * run(cell, state, xs, resets)[1])

    a = jax.jit(jax.grad(lambda c: loss(c, stepped)))(cell)
    b = jax.jit(jax.grad(lambda c: loss(c, lambda c, *r: c.unroll(*r))))(cell)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-4 * (1 + np.abs(x).max()))


def test_the_parallel_recurrence_is_the_one_in_turn():
    key_a, key_b, key_h = jax.random.split(jax.random.key(3), 3)
    decay, gain = jax.random.uniform(key_a, (STEPS, STREAMS, 4)), jax.random.normal(key_b, (STEPS, STREAMS, 4))
    resets = jax.random.bernoulli(jax.random.key(2), 0.05, (STEPS, STREAMS)).at[9].set(True)
    start = jax.random.normal(key_h, (STREAMS, 4))
    in_turn = recurrence(decay, gain, resets, start, parallel=False)
    at_once = recurrence(decay, gain, resets, start, parallel=True)
    np.testing.assert_allclose(in_turn, at_once, atol=1e-5)
    infinite = recurrence(decay, gain, resets, jnp.full_like(start, jnp.inf), parallel=True)
    np.testing.assert_allclose(infinite[9:], in_turn[9:], atol=1e-5)


def test_refusals_say_what_is_accepted():
    refused = [("gruu", 8, 1, 1), ("gdn", 8, 1, 3), ("transformer", 6, 1, 2), ("gru", 0, 1, 1)]
    for bad, word in zip(refused, ("gru", "multiple", "even", "at least 1"), strict=True):
        with pytest.raises(ValueError, match=word):
            memory.check(*bad)
    for name, heads in itertools.product(memory.MEMORIES, (1, 2)):
        memory.check(name, 8, 1, heads)
