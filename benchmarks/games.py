"""Games: CPU-microseconds a step, of the families' environments and of the packages' own vector environments, in the same run.

    python benchmarks/games.py [--steps 300]      writes benchmarks/results/games.json

Eight environments each, random actions, one thread. Of Atari: a crew of ours (a picture of 5 × 4 blocks, sticky actions) beside
`ale_py.AtariVectorEnv` at 84 × 84 with the same 4 frames a step, the brighter of the last two, and no stack of pictures; it
takes no mode and no difficulty. Of Procgen: a crew of ours, whose slots hold pools of one, beside one pool of eight.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop.run.folder import versions
from innerloop.tasks import atari_env, procgen_env
from innerloop.tasks.names import family
from innerloop.worlds.bench import Bench, Layout, Slots
from innerloop.worlds.crew import leaves

RESULTS = Path(__file__).parent / "results" / "games.json"
SLOTS, ROUNDS = 8, 3
ATARI, PROCGEN = ("space-invaders", "freeway", "galaxian", "alien"), ("coinrun", "bigfish", "maze")


def crew(name: str) -> Callable[[np.ndarray], None]:
    """Stepping of a bench of the family's environments, each with a task of its own."""
    env = family(name)
    slots = Slots(Layout(SLOTS, 0, tuple(leaves(env.spaces.obs)), leaves(env.spaces.action)[0]))
    bench = Bench(env.make, env.assign, slots)
    tasks = env.sample(jax.random.key(0), SLOTS)
    bench.assign([jax.tree.map(lambda x, i=i: np.asarray(x[i]), tasks.params) for i in range(SLOTS)])
    slots.words[:, 2] = np.arange(SLOTS)
    slots.todo[:] = True
    bench.reset()

    def step(actions: np.ndarray) -> None:
        slots.action[:] = actions
        bench.step()
        assert not slots.status.any(), slots.reason(int(np.flatnonzero(slots.status)[0]))

    return step


def vector(env: Any) -> Callable[[np.ndarray], None]:
    env.reset()
    return lambda actions: env.step(actions.astype(np.int32))


def microseconds(step: Callable[[np.ndarray], None], actions: int, steps: int) -> float:
    drawn = np.random.default_rng(0).integers(0, actions, (steps, SLOTS))
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        for row in drawn:
            step(row)
        best = min(best, time.process_time() - begin)
    return round(best / steps / SLOTS * 1e6, 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=300)
    steps, rows = options.parse_args().steps, {}
    for game in ATARI:
        actions = family(f"atari-{game}").spaces.action.n
        rom, threads = game.replace("-", "_"), {"num_threads": 1}
        theirs = atari_env.package().vector_env.AtariVectorEnv(rom, SLOTS, stack_num=1, **threads)
        pair = crew(f"atari-{game}"), vector(theirs)
        rows[f"atari-{game}"] = dict(zip(("ours", "package"), (microseconds(f, actions, steps) for f in pair), strict=True))
        print(game, rows[f"atari-{game}"], flush=True)
    for game in PROCGEN:
        envs, threads = procgen_env.package(), {"num_threads": 1}
        theirs = envs.make_gymnasium(f"{game.capitalize()}Easy-v0", num_envs=SLOTS, **threads)
        pair = crew(f"procgen-{game}"), vector(theirs)
        made = (microseconds(f, procgen_env.ACTIONS, steps) for f in pair)
        rows[f"procgen-{game}"] = dict(zip(("ours", "package"), made, strict=True))
        print(game, rows[f"procgen-{game}"], flush=True)
    found = {"cpu_microseconds_per_step": rows, "slots": SLOTS, "steps": steps, "cores": os.cpu_count()}
    found |= {"machine": platform.machine(), "versions": versions()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
