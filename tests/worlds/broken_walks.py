"""Walks on a line to a hidden mark, each but the first with one mistake. Not a test."""

import gymnasium
import numpy as np


class Walk(gymnasium.Env):
    """Move left or right; reward minus the distance to the mark; 8 steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    length = 8

    def __init__(self, mark=0.0):
        self.mark = mark

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.np_random.normal(), 0
        return self.seen(), {}

    def seen(self):
        return np.array([self.place], np.float32)

    def step(self, action):
        self.place += 0.5 * (2 * action - 1)
        self.time += 1
        return self.seen(), self.paid(), False, self.time >= self.length, {}

    def paid(self):
        return -abs(self.place - self.mark)


class UnknownArgument(Walk):
    def __init__(self):
        super().__init__(0.0)


class NoEnvironment:
    def __init__(self, mark=0.0):
        pass


class Unbounded(Walk):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)


class WrongShape(Walk):
    def seen(self):
        return np.zeros((2,), np.float32)


class NotFiniteObservation(Walk):
    def seen(self):
        return np.array([np.nan if self.time == 3 else self.place], np.float32)


class NotFiniteReward(Walk):
    def paid(self):
        return 1.0 / (0.0 if self.time < 3 else np.inf) if self.time == 3 else np.float64(np.inf) if self.time == 4 else 0.0


class VectorReward(Walk):
    def paid(self):
        return np.array([1.0, 2.0])


class OldStep(Walk):
    def step(self, action):
        obs, reward, _, done, info = super().step(action)
        return obs, reward, done, info


class WrongFlag(Walk):
    def step(self, action):
        obs, reward, _, done, info = super().step(action)
        return obs, reward, 0, done, info


class Endless(Walk):
    length = 10**9


class HiddenRandomness(Walk):
    def step(self, action):
        self.place += np.random.normal()
        return super().step(action)


class ForgetsAtReset(Walk):
    """The mark is the task's in the first episode, and 0 from the second on."""

    begun = 0

    def reset(self, *, seed=None, options=None):
        self.begun += 1
        self.mark = self.mark if self.begun == 1 else 0.0
        return super().reset(seed=seed)


class ForgetsAtOnce(Walk):
    def reset(self, *, seed=None, options=None):
        self.mark = 0.0
        return super().reset(seed=seed)


class OtherSpaces(Walk):
    def __init__(self, mark=0.0):
        super().__init__(mark)
        self.action_space = gymnasium.spaces.Discrete(2 if mark < 0 else 3)


def make(mark=0.0):
    """A good one, which says itself what varies."""
    return Walk(mark)


make.varies = {"mark": (-1.0, 1.0)}


def listed(mark, length=8):
    """Tasks one by one."""
    walk = Walk(mark)
    walk.length = length
    return walk


listed.tasks = [{"mark": m / 4, "length": 8} for m in range(-5, 5)]
