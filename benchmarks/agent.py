"""What a step of an agent in use costs: `act` and `reward`, beside the jitted call alone (the net, and handing arrays to it).

    python benchmarks/agent.py [RUN ...] [--steps N]      writes benchmarks/results/agent.json

Milliseconds a step on one environment's observations, all zeros; the quickest of many batches of 50 steps, since
other work may share the machine. Learning from chunks comes between steps and is not in it; loading, and the first call of each
(which compiles), stand apart in seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import innerloop
from innerloop.core.spaces import zeros
from innerloop.run.facts import facts

RUNS = ("rl2-grid-navi", "dpt-dark-room", "varibad-grid-navi", "pearl-semi-circle-pearl", "maml-point-goal")
RESULTS = Path(__file__).parent / "results" / "agent.json"


def quickest(step: Callable[[], Any], steps: int) -> float:
    """Milliseconds of one."""
    found = []
    for _ in range(max(1, steps // 50)):
        clock = time.perf_counter()
        for _ in range(50):
            step()
        found.append((time.perf_counter() - clock) / 50 * 1e3)
    return min(found)


def measured(run: str, steps: int) -> dict[str, float]:
    clock = time.perf_counter()
    agent = innerloop.load(run)
    loading, clock = time.perf_counter() - clock, time.perf_counter()
    agent.begin(0)
    obs = jax.tree.map(np.asarray, zeros(agent.spaces.obs))

    def lived() -> None:
        agent.act(obs)
        agent.reward(0.0, False, False, obs=obs)

    lived()
    first = time.perf_counter() - clock
    agent.longest = 0  # the episode never ends here
    policy, (fast, step) = agent._policy(True), agent.entry(None)
    step, key = step._replace(obs=jax.tree.map(lambda x: x[None, None], obs)), agent._keys[0, 0][None]
    bare = quickest(lambda: np.asarray(policy.act(agent.meta, fast, step, key)[1]), steps)
    return {"step": quickest(lived, steps), "jitted call": bare, "load": loading, "begin and first step": first}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=[f"zoo:{name}" for name in RUNS])
    parser.add_argument("--steps", type=int, default=10_000)
    args = parser.parse_args()
    rows = {run: measured(run, args.steps) for run in args.runs}
    for run, row in rows.items():
        print(f"{run:<30} {row['step']:.3f} ms a step, {row['jitted call']:.3f} of it the jitted call")
    RESULTS.write_text(
        json.dumps({"command": "python benchmarks/agent.py", "machine": facts(), "steps": args.steps, "runs": rows}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
