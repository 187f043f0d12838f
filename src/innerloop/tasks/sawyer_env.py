"""Meta-World's arm as one Gymnasium environment that takes any of the benchmark's tasks, and the benchmark's lists of them.

Not the families (`meta_world.py`). The only file that imports `metaworld`, an extra; free of JAX.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium
import numpy as np

WIDTH, MOTORS = 39, 4  # of an observation; of an action: the hand's move along x, y and z, and the grip
PLACE = 6  # numbers that say where things are, at most
_SEEN = 18  # of an observation: what is seen now; as many again from one step earlier, and the goal, which is hidden


class Goals(NamedTuple):
    """The tasks of a benchmark, those of training first; fifty of a class stand together."""

    kinds: tuple[str, ...]  # the package's names of classes
    kind: np.ndarray  # int32 [G], number in `kinds`
    place: np.ndarray  # float64 [G, PLACE], the package's `rand_vec`: where object and goal are; zeros behind
    train: int  # tasks of training


def package() -> Any:
    """The package, imported when it is first needed; ValueError where it is not installed."""
    try:
        return importlib.import_module("metaworld")
    except ImportError as error:
        raise ValueError(
            f"Meta-World families need the package metaworld ({error}): pip install 'innerloop[metaworld]', in an environment "
            "of its own, since it pins mujoco==3.3.0."
        ) from None


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {name: importlib.metadata.version(name) for name in ("metaworld", "mujoco")}


@lru_cache
def goals(benchmark: str, seed: int) -> Goals:
    """The tasks of "ML10", "ML45", or ML1 of a class ("reach-v3"), by the package's own classes and this seed of theirs (its
    vector environments serve other splits). ValueError if a task of training is also one of the test."""
    metaworld = package()
    made = getattr(metaworld, benchmark)(seed=seed) if benchmark.startswith("ML") else metaworld.ML1(benchmark, seed=seed)
    classes = {**made.train_classes, **made.test_classes}
    kinds = tuple(classes)
    tasks = [*made.train_tasks, *made.test_tasks]
    place = np.zeros((len(tasks), PLACE))
    for row, task in zip(place, tasks, strict=True):
        vector = _vector(classes[task.env_name], task)
        row[: len(vector)] = vector
    kind = np.array([kinds.index(task.env_name) for task in tasks], np.int32)
    train = len(made.train_tasks)
    met = [{(k, *p) for k, p in zip(kind[part].tolist(), place[part].tolist(), strict=True)} for part in _parts(train)]
    if met[0] & met[1]:
        raise ValueError(f"{benchmark} of metaworld {versions()['metaworld']} tests on tasks that it trains on; it is refused.")
    return Goals(kinds, kind, place, train)


def _parts(train: int) -> tuple[slice, slice]:
    return slice(0, train), slice(train, None)


def _vector(kind: Any, task: Any) -> np.ndarray:
    """A task's `rand_vec`, read by the package's own `set_task`: an environment that is never used."""
    env = kind.__new__(kind)
    env._partially_observable = True
    env.set_task(task)
    return np.asarray(env._last_rand_vec, np.float64)


class Arm:
    """One of the package's environments, with the goal hidden as in its meta-learning benchmarks."""

    def __init__(self, kind: str, rewards: int):
        self.env = package().env_dict.ALL_V3_ENVIRONMENTS[kind](reward_function_version=f"v{rewards}")
        self.env._freeze_rand_vec = self.env._set_task_called = True
        self.env.max_path_length = sys.maxsize  # who steps counts
        self.numbers = self.env._random_reset_space.low.size

    def reset(self, place: np.ndarray) -> np.ndarray:
        """Begin an episode; a function of the task alone."""
        self.env._last_rand_vec = place[: self.numbers].copy()
        return self.env.reset()[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Observation, reward, and 1 if the task is done now."""
        obs, reward, _, _, info = self.env.step(action)
        return obs, float(reward), float(info["success"])


class Reach(Arm):
    """`reach-v3` with rewards v2 in a third of the time: the same calls of MuJoCo and the same numbers, without what the
    package computes beside them. An episode's start is computed once for each task and process."""

    _starts: dict[bytes, tuple[np.ndarray, np.ndarray, np.ndarray, float]] = {}

    def __init__(self, kind: str, rewards: int):
        super().__init__(kind, rewards)
        self.mujoco = importlib.import_module("mujoco")
        env, data = self.env, self.env.data
        self._hand, self._left, self._right = (data.body(name).xpos for name in ("hand", "leftclaw", "rightclaw"))
        self._fingers = data.site("rightEndEffector").xpos, data.site("leftEndEffector").xpos
        self._object, self._turned = data.body("obj").xpos, data.geom("objGeom").xmat
        space = env.sawyer_observation_space
        self._low, self._high = space.low, space.high
        self._kept = int(self.mujoco.mjtState.mjSTATE_INTEGRATION)
        self._before = np.zeros(_SEEN)
        self._goal, self._margin = np.zeros(3), 0.0

    def reset(self, place: np.ndarray) -> np.ndarray:
        name = place.tobytes()
        if name not in self._starts:
            obs = super().reset(place)
            state = np.empty(self.mujoco.mj_stateSize(self.env.model, self._kept))
            self.mujoco.mj_getState(self.env.model, self.env.data, state, self._kept)
            goal = np.array(self.env._target_pos)
            self._starts[name] = state, obs, goal, float(np.linalg.norm(self.env.hand_init_pos - goal))
        state, obs, self._goal, self._margin = self._starts[name]
        self.mujoco.mj_setState(self.env.model, self.env.data, state, self._kept)
        self._before = obs[:_SEEN].copy()
        return obs.copy()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float]:
        env, data = self.env, self.env.data
        moved = data.mocap_pos[0] + action[:3] * env.action_scale
        data.mocap_pos[0] = np.minimum(np.maximum(moved, env.mocap_low), env.mocap_high)
        data.mocap_quat[0] = 1.0, 0.0, 1.0, 0.0
        data.ctrl[0], data.ctrl[1] = action[3], -action[3]
        self.mujoco.mj_step(env.model, data, nstep=env.frame_skip)
        self.mujoco.mj_forward(env.model, data)
        obs = np.zeros(WIDTH)
        obs[:3] = self._hand
        obs[3] = min(_length(self._right - self._left) / 0.1, 1.0)
        obs[4:7] = self._object
        obs[7:11] = _quaternion(self._turned.tolist())
        obs[_SEEN : 2 * _SEEN] = self._before
        self._before = obs[:_SEEN].copy()
        right, left = self._fingers
        distance = _length((right + left) / 2.0 - self._goal)
        near = 1.0 if distance <= 0.05 else 1 / (((distance - 0.05) / self._margin * 3.0) ** 2 + 1)
        return np.minimum(np.maximum(obs, self._low), self._high), 10 * near, float(distance <= 0.05)


def _length(x: np.ndarray) -> float:
    return math.sqrt(x.dot(x))


def _quaternion(m: list[float]) -> list[float]:
    """A rotation matrix, row by row, as scipy's `Rotation.from_matrix(…).as_quat()` has it: x, y, z, w with the greatest one
    positive."""
    trace = m[0] + m[4] + m[8]
    choice = [m[0], m[4], m[8], trace]
    i = choice.index(max(choice))
    q = [m[7] - m[5], m[2] - m[6], m[3] - m[1], 1 + trace]
    if i < 3:
        j, k = (i + 1) % 3, (i + 2) % 3
        q[i] = 1 - trace + 2 * m[4 * i]
        q[j] = m[3 * j + i] + m[3 * i + j]
        q[k] = m[3 * k + i] + m[3 * i + k]
        q[3] = m[3 * k + j] - m[3 * j + k]
    size = math.sqrt(sum(x * x for x in q))
    return [x / size for x in q]


_idle: dict[tuple[str, int], list[Arm]] = {}  # arms that nobody uses, of this process: each takes a tenth of a second to make


class SawyerEnv(gymnasium.Env):
    """A table, an arm and a task, which `assign` puts in. `info["success"]` says whether the task is done now."""

    def __init__(self, kinds: tuple[str, ...], rewards: int, length: int):
        self.kinds, self.rewards, self.length = kinds, rewards, length
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (WIDTH,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (MOTORS,), np.float32)
        self._name, self._place, self._elapsed = "", np.zeros(PLACE), 0
        self._arm: Arm | None = None

    def put(self, kind: int, place: np.ndarray) -> None:
        """A task: of a class, with things in their places."""
        if self.kinds[kind] != self._name:
            self.close()
        self._name, self._place = self.kinds[kind], place

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """An episode begins as the task says; nothing is drawn."""
        super().reset(seed=seed)
        if self._arm is None:
            spare = _idle.get((self._name, self.rewards))
            self._arm = spare.pop() if spare else (Reach if self._lean else Arm)(self._name, self.rewards)
        self._elapsed = 0
        return self._arm.reset(self._place), {}

    @property
    def _lean(self) -> bool:
        return (self._name, self.rewards) == ("reach-v3", 2)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step of five simulator steps; what lies beyond ±1 is clipped. An episode ends by its length alone."""
        assert self._arm is not None
        action = np.asarray(action, np.float32)
        obs, reward, success = self._arm.step(np.minimum(np.maximum(action, np.float32(-1)), np.float32(1)))
        self._elapsed += 1
        return obs, reward, False, self._elapsed >= self.length, {"success": success}

    def close(self) -> None:
        """The arm goes to whoever needs one of its kind next."""
        if self._arm is not None:
            _idle.setdefault((self._name, self.rewards), []).append(self._arm)
            self._arm = None


def assign(known: Goals, env: SawyerEnv, params: Any) -> None:
    """Put a task into an environment: params are (kind, place), as float32. Of a goal that the benchmark has, its float64."""
    kind, place = int(params[0]), np.asarray(params[1], np.float32)
    same = np.flatnonzero((known.kind == kind) & np.all(known.place.astype(np.float32) == place, axis=1))
    env.put(kind, known.place[same[0]] if len(same) else place.astype(np.float64))
