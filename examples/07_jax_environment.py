"""A JAX environment of your own: a class with reset and step, and what varies. It runs on the device, for all tasks at once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class State(NamedTuple):
    obs: jax.Array  # [2], where the puck is and how fast
    reward: jax.Array
    done: jax.Array


class Puck:
    """Push a puck to the middle; how hard, and which way, a push pushes is the hidden task. Brax's interface."""

    observation_size, action_size, episode_length = 2, 1, 30
    varies = {"push": [-1.0, -0.7, -0.4, 0.4, 0.7, 1.0]}

    def __init__(self, push):
        self.push = push

    def reset(self, rng):
        place = jax.random.uniform(rng, (), minval=-1.0, maxval=1.0)
        return State(jnp.stack([place, 0.0]), jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        place, speed = state.obs
        speed = 0.9 * speed + 0.1 * self.push * action[0]
        return State(jnp.stack([place + speed, speed]), -jnp.abs(place), jnp.zeros(()))


if __name__ == "__main__":
    import innerloop

    small = {"meta_batch": 16, "outer.minibatches": 4, "evaluations": 1, "held_out": 4}
    run = innerloop.train("rl2", tasks="env:brax:07_jax_environment:Puck", steps=20_000, settings=small, quiet=True)
    for point in run.evaluate(tasks=8, baselines=False)["curve"]:
        print(f"episode {point['experience']}: return {point['mean']:.1f}")
