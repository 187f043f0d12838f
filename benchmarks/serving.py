"""How fast an agent is served, and whether it stands what is thrown at it.

    python benchmarks/serving.py [RUN ...] [--hostile 100000]      writes benchmarks/results/serving.json

Clients and server share the machine: the server is a process of its own (`innerloop serve`), the clients are connections of
this one over WebSocket, each with a session that acts, is paid, acts, … A step is one action and one reward. Beside it stand
the same steps by `deploy.together` without a server, and the bare jitted call. With --hostile so many malformed requests are
sent while one good session goes on: its actions must be what they are alone, no answer may be a 5xx, and the server's memory
is read before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from innerloop.run.folder import versions

RESULTS = Path(__file__).parent / "results" / "serving.json"
RUNS = ("zoo:rl2-grid-navi", "zoo:maml-point-goal")
CROWDS = (1, 64, 1024)
EPISODE = 15  # steps after which a client cuts its episode


class Server:
    """`innerloop serve` in a process of its own."""

    def __init__(self, run: str, home: str):
        command = [sys.executable, "-m", "innerloop.cli", "serve", run, "--port", "0", "--state", home, "--slots", "2048"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split()[0].rsplit(":", 1)[1])

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MiB."""
        words = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(words[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


async def steps(port: int, obs: Any, count: int, seed: int, taken: list[float], go: asyncio.Event) -> list[Any]:
    """One session's steps, the seconds of each in `taken`; its actions."""
    actions = []
    async with connect(f"ws://127.0.0.1:{port}/v1/socket", proxy=None, compression=None) as socket:

        async def ask(**message: Any) -> dict[str, Any]:
            await socket.send(json.dumps(message))
            answer = json.loads(await socket.recv())
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer

        name = (await ask(op="begin", seed=seed))["session"]
        await go.wait()
        for number in range(1, count + 1):
            began = time.perf_counter()
            actions.append((await ask(op="act", session=name, obs=obs))["action"])
            await ask(op="reward", session=name, reward=-1.0, truncated=number % EPISODE == 0, obs=obs)
            taken.append(time.perf_counter() - began)
        await ask(op="end", session=name)
    return actions


async def crowd(port: int, obs: Any, size: int, count: int) -> tuple[list[float], float]:
    taken: list[float] = []
    go = asyncio.Event()
    tasks = [asyncio.create_task(steps(port, obs, count, seed, taken, go)) for seed in range(size)]
    await asyncio.sleep(0.5 + size / 200)
    began = time.perf_counter()
    go.set()
    await asyncio.gather(*tasks)
    return taken, time.perf_counter() - began


def bare(run: str, obs: Any) -> dict[str, float]:
    """CPU-milliseconds of a step without a server: of one agent, of eight together, and of the jitted call behind them."""
    import jax

    import innerloop
    from innerloop.deploy.together import Together

    agent = innerloop.load(run)
    seen = np.asarray(obs, np.float32)
    found = {}
    for name, width in (("one agent", 1), ("eight together", 8)):
        agents, together = [agent.copy().begin(i) for i in range(width)], Together(agent, width)

        def step(number: int, agents: list[Any] = agents, together: Together = together) -> None:
            together.act([(one, one.ask(seen), False) for one in agents])
            for one in agents:
                one.reward(-1.0, False, number % EPISODE == 0, obs=seen)

        for number in range(1, EPISODE + 1):
            step(number)
        began = time.process_time()
        for number in range(1, 301):
            step(number)
        found[name] = 1e3 * (time.process_time() - began) / 300 / width
    alone = agent.copy().begin(0)
    question, act = alone.ask(seen), agent.policy(True).act
    jax.block_until_ready(act(agent.meta, *question))
    began = time.process_time()
    for _ in range(2000):
        jax.block_until_ready(act(agent.meta, *question))
    found["jitted call"] = 1e3 * (time.process_time() - began) / 2000
    return {name: round(x, 4) for name, x in found.items()}


def hostile(rng: random.Random, name: str, obs: Any) -> tuple[str, str, bytes]:
    """One malformed request: method, path, body."""
    junk = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    numbers = [None, True, -1, 1e308, 2**70, "0", [], {}, [[]], obs, [obs], {"a": obs}, "x" * 200]
    body = rng.choice(
        [
            junk,
            b"[" * rng.randrange(1, 1500),
            b'{"obs": NaN}',
            b'{"obs": [Infinity, -Infinity]}',
            b"0" * 6000,
            json.dumps({"obs": rng.choice(numbers), "seed": rng.choice(numbers)}).encode(),
            json.dumps({"reward": rng.choice(numbers), "terminated": rng.choice(numbers)}).encode(),
            json.dumps({"seed": rng.choice(numbers), "at_end": rng.choice(numbers)}).encode(),
            json.dumps({"op": rng.choice(numbers)}).encode(),
        ]
    )
    session = rng.choice([name[:-1] + "z", name.upper(), "0" * 24 + "-" + "0" * 16, "..", "%00", "a" * 300, "%2e%2e%2f", "é"])
    path = rng.choice(
        ["/v1/sessions", f"/v1/sessions/{session}", f"/v1/sessions/{session}/act", "/v1/socket", "/../secret", "//"]
    )
    path += rng.choice(["", "", "/reward", "/snapshot", "?x=1", "/" + "x" * 500])
    return rng.choice(["POST", "POST", "POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "BREW"]), path, body


async def thrown(port: int, obs: Any, count: int) -> dict[str, Any]:
    """The answers to `count` hostile requests over 16 connections, by status; and whether a good session was touched."""
    statuses: dict[str, int] = {}
    at_rest = asyncio.Event()
    at_rest.set()
    alone = await steps(port, obs, 200, 7, [], at_rest)

    async def one(seed: int) -> None:
        rng = random.Random(seed)
        reader = writer = None
        for _ in range(count // 16):
            method, path, body = hostile(rng, "0" * 24 + "-" + "f" * 16, obs)
            if writer is None or writer.is_closing():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            lines = [f"{method} {path.encode().decode('latin-1')} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
            lines += [f"Content-Length: {rng.choice([len(body)] * 9 + [-1])}", "Content-Type: application/json"]
            lines += rng.choice([[], [], [], ["Authorization: Bearer x"], ["X: " + "y" * 3000], ["Expect: nothing"]])
            try:
                assert reader is not None
                writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
                await writer.drain()
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                status = head.split(b" ", 2)[1].decode()
                length = [x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")]
                if method != "HEAD" and length:
                    await reader.readexactly(int(length[0].split(b":")[1]))
                if method == "HEAD" or status in ("400", "413") or not length:
                    writer.close()
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                status = "closed"
                writer.close()
            except TimeoutError:
                status = "no answer"
                writer.close()
            statuses[status] = statuses.get(status, 0) + 1

    others = [asyncio.create_task(one(seed)) for seed in range(16)]
    besides = [await steps(port, obs, 200, 7, [], at_rest)]
    while not all(task.done() for task in others):
        besides.append(await steps(port, obs, 200, 7, [], at_rest))
        await asyncio.sleep(1)
    await asyncio.gather(*others)
    return {"answers": dict(sorted(statuses.items())), "good session unchanged": all(x == alone for x in besides)}


def measured(run: str, count: int) -> dict[str, Any]:
    obs = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as home:
        server = Server(run, home)
        try:
            asyncio.run(crowd(server.port, obs, 4, 20))  # what compiles
            found: dict[str, Any] = {}
            for size in CROWDS:
                before, times = server.cpu(), max(10, 2000 // size)
                taken, wall = asyncio.run(crowd(server.port, obs, size, times))
                p50, p99 = np.percentile(taken, [50, 99])
                found[str(size)] = {
                    "steps per second": round(len(taken) / wall, 1),
                    "p50 ms": round(1e3 * float(p50), 2),
                    "p99 ms": round(1e3 * float(p99), 2),
                    "server's CPU ms per step": round(1e3 * (server.cpu() - before) / len(taken), 3),
                }
                print(run, size, found[str(size)], flush=True)
            if count:
                asyncio.run(thrown(server.port, obs, 2000))
                before = server.memory()
                answers = asyncio.run(thrown(server.port, obs, count))
                answers |= {"requests": count, "MiB before": round(before, 1), "MiB after": round(server.memory(), 1)}
                answers["alive"] = server.process.poll() is None
                found["hostile"] = answers
                print(run, answers, flush=True)
        finally:
            server.close()
    return found | {"CPU ms per step without a server": bare(run, obs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", help=f"of observations in the plane; default: {', '.join(RUNS)}")
    parser.add_argument("--hostile", type=int, default=0, metavar="N", help="malformed requests (default: none)")
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text())["runs"] if RESULTS.is_file() else {}
    for run in asked.runs or RUNS:
        found[run] = found.get(run, {}) | measured(run, asked.hostile)
        about = {
            "versions": versions(),
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        }
        RESULTS.write_text(json.dumps(about | {"runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
