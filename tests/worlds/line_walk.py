"""A walk on a line, as a Gymnasium environment that can be told to misbehave. Free of JAX: workers import it."""

import os
import signal
import sys
import time

import gymnasium
import numpy as np

KINDS = (
    "raise", "hang", "nan observation", "nan reward", "outside", "broadcastable shape", "long shape", "none", "text flag",
    "exit", "kill", "sys.exit", "two rewards", "infinite", "reset raises", "reset nan", "reset exits", "text", "reset hangs",
)  # fmt: skip


class LineWalk(gymnasium.Env):
    """x moves by action − 1; ends by termination at |x| = 3 and by truncation at t = 7 (both at once can happen).

    params: goal, noise of x in the observation at the start of an episode, fault (0 none, else 1 + index in KINDS).
    A fault strikes at t = 2 of episodes whose seed is a multiple of 3 (resets: at the reset of such episodes).
    """

    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    goal, noise, kind = 0.0, 0.0, ""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t, self.seed = 0, 0, seed
        self.drawn = self.noise * self.np_random.uniform(-1, 1)
        if self.kind.startswith("reset") and seed % 3 == 0:
            if self.kind == "reset raises":
                raise RuntimeError("no start today")
            if self.kind == "reset exits":
                os._exit(4)
            if self.kind == "reset hangs":
                time.sleep(3600)
            return np.array([np.nan, 0], np.float32), {}
        return self.look(), {}

    def look(self):
        return np.array([self.x + self.drawn, self.t], np.float32)

    def step(self, action):
        self.x += int(action) - 1
        self.t += 1
        out = [self.look(), float(self.x == self.goal), abs(self.x) == 3, self.t >= 7, {}]
        if self.kind and self.seed % 3 == 0 and self.t == 2:
            self.misbehave(out)
        return tuple(out)

    def misbehave(self, out):
        match self.kind:
            case "raise":
                raise ValueError("I would rather not")
            case "hang":
                time.sleep(3600)
            case "nan observation":
                out[0][1] = np.nan
            case "nan reward":
                out[1] = float("nan")
            case "outside":
                out[0][0] = 1e9
            case "broadcastable shape":
                out[0] = np.ones(1, np.float32)
            case "long shape":
                out[0] = np.ones(5, np.float32)
            case "none":
                out[0] = None
            case "text":
                out[0] = np.array(["a", "b"])
            case "text flag":
                out[2] = "yes"
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sys.exit":
                sys.exit(0)
            case "two rewards":
                out[1] = np.ones(2)
            case "infinite":
                out[0] = out[0].astype(np.float64) * 1e300 + np.inf


def make():
    return LineWalk()


def assign(env, params):
    env.goal, env.noise = float(params[0]), float(params[1])
    env.kind = KINDS[int(params[2]) - 1] if params[2] else ""
