"""A Gymnasium environment of one's own as a family of tasks, and MAML on it.

From a terminal beside this file: `innerloop train maml --tasks 04_host_environment:make`.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

import innerloop
from innerloop.core import Box, Spaces, Task
from innerloop.tasks import Family


class Dial(gymnasium.Env):
    """Turn a dial to a hidden mark; reward −distance; 10 steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    mark = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.angle, self.time = 0.0, 0
        return np.array([self.angle], np.float32), {}

    def step(self, action):
        self.angle += 0.2 * float(np.clip(action[0], -1, 1))
        self.time += 1
        return np.array([self.angle], np.float32), -abs(self.angle - self.mark), False, self.time >= 10, {}


@dataclass(frozen=True)
class Dials(Family):
    """What varies: the mark, ±1 with equal probability. The class says how a task is drawn and put into a Dial."""

    on_device: ClassVar[bool] = False
    tiny: ClassVar[bool] = True  # both tasks stand in every split, and reports say so
    size: ClassVar[int] = 2
    name: ClassVar[str] = "04_host_environment:make"  # where runs find the family again
    spaces: ClassVar[Spaces] = Spaces(Box((1,)), Box((1,), -1.0, 1.0))
    horizon: ClassVar[int] = 10
    episodes: ClassVar[int] = 2

    def sample(self, key, n):
        index = jax.random.bernoulli(self.stream(key), shape=(n,)).astype(jnp.int32)
        return Task(index, 2.0 * index - 1.0)

    def make(self):
        return Dial()

    def assign(self, env, params):
        env.mark = float(params)


def make() -> Dials:
    return Dials()


if __name__ == "__main__":
    small = {"meta_batch": 10, "inner.hidden": [16], "inner.lr": 0.5, "evaluations": 2}
    with tempfile.TemporaryDirectory() as scratch:
        where = Path(scratch) / "run"
        run = innerloop.train("maml", tasks="04_host_environment:make", steps=120_000, out=where, settings=small, quiet=True)
        for point in run.evaluate(tasks=10, baselines=False)["curve"]:
            print(f"after {point['experience']} gradient steps: {point['mean']:.1f}")
