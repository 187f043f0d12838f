"""Robots with their observations and rewards: steps per CPU-second against MuJoCo's own loop, measured in the same run.

    python benchmarks/simulation.py [--threads 0] [--seconds 1.0]      writes benchmarks/results/simulation.json

The limit is `mujoco.rollout` with 1000 simulator steps per call and nothing else, under controls held as long as a control
step. What is compared: the native world's crew, with observations, rewards, ends and resets, but no policy; with one model
for all and with one per environment; and the same definition as Gymnasium environments in this process. Limit and crews take
turns and each counts its best round, in CPU-seconds: other work on the machine costs both the same.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from innerloop.run.folder import versions
from innerloop.tasks import ants, cheetah, walkers
from innerloop.tasks.robot import Robot
from innerloop.tasks.robot_env import RobotEnv, assign
from innerloop.worlds.bench import Bench, Layout, Slots
from innerloop.worlds.boundary import Leaf
from innerloop.worlds.mujoco import Fleet

RESULTS = Path(__file__).parent / "results" / "simulation.json"
ROUNDS = 5


@dataclass(frozen=True)
class OwnRllab(cheetah.RllabCheetahDir):
    def model_of(self, params: Any) -> mujoco.MjModel:
        return copy.copy(self.model)


@dataclass(frozen=True)
class OwnGym(cheetah.GymCheetahDir):
    def model_of(self, params: Any) -> mujoco.MjModel:
        return copy.copy(self.model)


ROBOTS: dict[str, tuple[Robot, Robot | None, Any]] = {  # the robot, the same with one model per environment, params
    "half-cheetah-dir, 5 simulator steps": (cheetah.RllabCheetahDir(100, 5), OwnRllab(100, 5), 1.0),
    "half-cheetah-dir, 1 simulator step": (cheetah.RllabCheetahDir(200, 1), OwnRllab(200, 1), 1.0),
    "half-cheetah-dir-promp, 5 simulator steps": (cheetah.GymCheetahDir(100, 5), OwnGym(100, 5), 1.0),
    "half-cheetah-dir-promp, 1 simulator step": (cheetah.GymCheetahDir(200, 1), OwnGym(200, 1), 1.0),
    "ant-dir": (ants.RllabAntDir(200, 1), None, 1.0),
    "ant-goal": (ants.AntGoal(200, 5), None, (1.0, 1.0)),
    "walker-dir": (walkers.WalkerDir(200, 8), None, 1.0),
}


def limit(robot: Robot, threads: int, seconds: float) -> Callable[[], float]:
    """A round of MuJoCo's own loop: CPU-seconds per control step."""
    model, envs, length = robot.model, 8, 1000
    rng = np.random.default_rng(0)
    starts = np.array([np.concatenate([[0.0], *robot.start(rng)]) for _ in range(envs)])
    held = rng.uniform(-robot.limit, robot.limit, (envs, -(-length // robot.skip), robot.motors))
    controls = np.ascontiguousarray(np.repeat(held, robot.skip, axis=1)[:, :length])
    out = np.empty((envs, length, starts.shape[1]))
    datas = [mujoco.MjData(model) for _ in range(max(1, threads))]
    pool = Rollout(nthread=threads if threads > 1 else 0)
    spec = int(mujoco.mjtState.mjSTATE_CTRL)

    def call() -> None:
        pool.rollout([model] * envs, datas, starts, controls, control_spec=spec, skip_checks=True, nstep=length, state=out)

    return lambda: timed(call, envs * length / robot.skip, seconds)


def crew(kind: type, robot: Robot, params: Any, envs: int, threads: int, seconds: float) -> Callable[[], float]:
    """A round of a crew under random actions: CPU-seconds per control step."""
    slots = Slots(Layout(envs, 0, (Leaf((), (robot.width,), False, -np.inf, np.inf),), Leaf((), (robot.motors,), False, -1, 1)))
    made = Fleet(robot, slots, threads) if kind is Fleet else Bench(lambda: RobotEnv(robot), assign, slots)
    made.assign([np.array(params, np.float32) for _ in range(envs)])
    slots.words[:, 2], slots.todo[:] = np.arange(envs), True
    made.reset()
    actions = np.random.default_rng(0).uniform(-robot.scale, robot.scale, (64, *slots.action.shape)).astype(np.float32)
    turn = iter(range(10**9))

    def call() -> None:
        slots.action[:] = actions[next(turn) % 64]
        made.step()

    return lambda: timed(call, envs, seconds)


def timed(call: Callable[[], None], steps: float, seconds: float) -> float:
    call()
    count, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        call()
        count += 1
    return spent / (count * steps)


def case(robot: Robot, own: Robot | None, params: Any, threads: int, seconds: float) -> dict[str, Any]:
    wide = isinstance(robot, cheetah.Cheetah)
    rounds = {"limit": limit(robot, threads, seconds)}
    for envs in (64, 256, 800) if wide else (64,):
        rounds[f"native, {envs} environments"] = crew(Fleet, robot, params, envs, threads, seconds)
        if own is not None:
            rounds[f"native, {envs} environments, a model each"] = crew(Fleet, own, params, envs, threads, seconds)
    rounds["Gymnasium, 64 environments"] = crew(Bench, robot, params, 64, threads, seconds)
    best = {
        name: min(took) for name, took in zip(rounds, zip(*(_round(rounds) for _ in range(ROUNDS)), strict=True), strict=True)
    }
    return {
        name: {
            "cpu_us_per_step": round(1e6 * took, 2),
            "steps_per_cpu_second": round(1 / took),
            "percent_of_limit": round(100 * best["limit"] / took, 1),
        }
        for name, took in best.items()
    }


def _round(rounds: dict[str, Callable[[], float]]) -> list[float]:
    return [run() for run in rounds.values()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU-seconds of every measurement in a round")
    args = parser.parse_args()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    about = {"command": "python benchmarks/simulation.py", "threads": args.threads, "rounds": ROUNDS, "seconds": args.seconds}
    cases: dict[str, Any] = {}
    for name, (robot, own, params) in ROBOTS.items():
        cases[name] = case(robot, own, params, args.threads, args.seconds)
        for row, figures in cases[name].items():
            print(f"{name:42} {row:42} {figures['cpu_us_per_step']:8} µs {figures['percent_of_limit']:6} %", flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({**about, "versions": versions(), "machine": machine, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
