"""Do the three highways agree, and what does a step of each cost: ours on the device, the package highway-env, EnvPool's port?

   python benchmarks/driving.py [--episodes N] [--only steps|pool|cost|returns]

It writes benchmarks/results/driving.json, and the tables of docs/driving.md.

Needs the extra `driving`; EnvPool (`pip install envpool`, 0.9 GB, no dependency of this library) is left out where it is not
installed. What is compared:

 steps      ours and the package from the same state under the same random actions, second by second, in double and in single
            precision: the greatest difference in any car's position or speed, in what is seen and in what is paid.
 ego        ours and EnvPool: the agent's car by itself, as EnvPool shows it; nothing else can be set or read there exactly.
 traffic    ours and EnvPool: the others, from what EnvPool shows in the first moment. Drivers' exponents are hidden.
 returns    fixed policies in highway-fast-v0 as published (only the rescaling of the reward is off): return, collisions, speed.
 cost       microseconds of CPU time a step, random actions.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop.core import Task
from innerloop.run.facts import facts
from innerloop.tasks import highway, highway_package
from innerloop.tasks.highway import Drive, Highway
from innerloop.tasks.regime import FAR, FASTEST, PUBLISHED, PUBLISHED_SPEEDS, RANGES, SECONDS, SEEN, Regime
from innerloop.tasks.traffic import FASTER, IDLE, LEFT, RIGHT, SLOWER, WIDTH, Cars

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "driving.json", ROOT / "docs" / "driving.md"


class Published(Highway):
    """With the speeds that highway-fast-v0 gives the agent's car, and EnvPool's port too."""

    speeds = PUBLISHED_SPEEDS


FAMILY, PORTED = Highway(), Published()
Act = Callable[[np.ndarray], np.ndarray]  # observations [B, SEEN, 5] → actions [B]


def of_package(env: Any, kind: Any) -> Cars:
    """The package's road."""

    def told(read: Callable[[Any], Any], kind: Any = kind) -> np.ndarray:
        return np.asarray([read(car) for car in env.road.vehicles], kind)

    return Cars(
        x=told(lambda car: car.position[0]),
        y=told(lambda car: car.position[1]),
        heading=told(lambda car: car.heading),
        speed=told(lambda car: car.speed),
        goal=told(lambda car: car.target_speed),
        lane=told(lambda car: car.lane_index[2], np.int32),
        target=told(lambda car: car.target_lane_index[2], np.int32),
        timer=told(lambda car: getattr(car, "timer", 0.0)),
        exponent=told(lambda car: getattr(car, "DELTA", 4.0)),
        crashed=told(lambda car: car.crashed, bool),
        struck=told(lambda car: car.impact is not None, bool),
        push=(told(lambda car: 0.0), told(lambda car: 0.0)),
    )


def task_of(regime: Regime, kind: Any = jnp.float32) -> Task:
    return Task(jnp.int32(-1), Regime(jnp.int32(regime.lanes), *(jnp.asarray(x, kind) for x in regime[1:])))


def steps(episodes: int, kind: Any) -> dict[str, float]:
    """Ours beside the package; regimes of all ranges, beyond training included."""
    env, step = highway_package.make(), jax.jit(FAMILY.step)
    worst = dict.fromkeys(("position, m", "speed, m/s", "seen", "paid"), 0.0)
    near: list[np.ndarray] = []
    count = {"seconds": 0, "collisions": 0, "changes of lane": 0, "seconds in which a lane or an end differs": 0}
    for episode in range(episodes):
        rng = np.random.default_rng(episode)
        ends = [(pieces[0][0], pieces[1][1]) for name, pieces in RANGES.items() if name != "lanes"]
        regime = Regime(int(rng.integers(2, 5)), *(float(rng.uniform(*pair)) for pair in ends))
        highway_package.assign(env, regime)
        env.reset(seed=episode)
        task, state, over = task_of(regime, kind), Drive(of_package(env, kind), jnp.int32(0), jnp.zeros((), kind)), False
        while not over:
            action = int(rng.choice(5, p=[0.15, 0.2, 0.15, 0.35, 0.15]))
            before = state.cars.target
            seen, reward, terminated, truncated, _ = env.step(action)
            state, own, earned, ended, cut = step(task, state, jnp.int32(action), jax.random.key(0))
            theirs, mine = of_package(env, np.float64), state.cars
            apart = np.hypot(np.asarray(mine.x) - theirs.x, np.asarray(mine.y) - theirs.y)
            odd = bool(np.any(theirs.target != mine.target)) or (bool(ended), bool(cut)) != (terminated, truncated)
            count["seconds in which a lane or an end differs"] += odd
            off = np.abs(mine.speed - theirs.speed).max(), np.abs(own - seen).max(), abs(float(earned) - reward)
            found = (apart.max(), *off)
            if not odd:
                worst = {name: max(old, float(new)) for (name, old), new in zip(worst.items(), found, strict=True)}
                near.append(apart < 0.1)
            count["seconds"] += 1
            count["collisions"] += terminated
            count["changes of lane"] += int(jnp.sum(mine.target != before))
            over = terminated or truncated or odd  # from there on they are two different roads
    return worst | {"cars within 0.1 m, %": 100.0 * float(np.mean(near))} | count


def pool(count: int, **config: Any) -> Any:
    """EnvPool's highway-fast-v0 as published, without the rescaling of the reward."""
    import envpool

    return envpool.make_gymnasium("HighwayFast-v0", num_envs=count, normalize_reward=False, **config)


def shown(obs: np.ndarray, lanes: int) -> np.ndarray:
    """Observations [..., 5] in metres and m/s."""
    return obs[..., 1:] * np.array([FAR, WIDTH * lanes, FASTEST, FASTEST])


def from_pool(obs: np.ndarray, lanes: int) -> Cars:
    """The first moment [B, V, 5] of EnvPool's: nobody has turned the wheel yet, and everybody keeps the speed that he has. Four
    more drive far away: ours knows no road with fewer cars than are seen."""
    obs = np.concatenate([obs, np.zeros((len(obs), SEEN - 1, 5), obs.dtype)], 1)
    rows = shown(obs, lanes)
    there = obs[..., 0] > 0
    x = np.where(
        there,
        rows[..., 0] + np.where(np.arange(obs.shape[1]) > 0, rows[:, :1, 0], 0.0),
        9000.0 + 100.0 * np.arange(obs.shape[1]),
    )
    y = rows[..., 1] + np.where(np.arange(obs.shape[1]) > 0, rows[:, :1, 1], 0.0)
    speed = np.where(there, rows[..., 2] + np.where(np.arange(obs.shape[1]) > 0, rows[:, :1, 2], 0.0), 20.0)
    lane = jnp.asarray(np.rint(y / WIDTH), jnp.int32)
    x, y, speed = (jnp.asarray(a, jnp.float32) for a in (x, y, speed))
    zero = jnp.zeros_like(x)
    exponent = jnp.full_like(x, 4.0)
    return Cars(x, y, zero, speed, speed, lane, lane, ((x + y) * jnp.pi) % 1.0, exponent, zero > 0, zero > 0, (zero, zero))


def beside_pool(count: int, seconds: int, others: int, seed: int) -> dict[str, Any]:
    """The same first moments and random actions in EnvPool and ours. `others`: cars beside the agent's, few enough to be all
    in sight. Ours knows no exponents and takes 4 for all; what that alone does is seen on a twin of ours that draws them."""
    envs = pool(count, vehicles_count=others, observation_vehicles_count=others + 1, seed=seed)
    obs, _ = envs.reset()
    cars = from_pool(np.asarray(obs), PUBLISHED.lanes)
    drawn = cars._replace(exponent=jax.random.uniform(jax.random.key(seed), cars.x.shape, minval=3.5, maxval=4.5))
    start = jax.vmap(lambda cars: Drive(cars, jnp.int32(0), jnp.zeros(())))
    state, twin = start(cars), start(drawn)
    task = task_of(PUBLISHED)
    step = jax.jit(jax.vmap(lambda state, action: PORTED.step(task, state, action, jax.random.key(0))))
    rng, alive, found = np.random.default_rng(seed), np.ones(count, bool), []
    for _ in range(seconds):
        action = rng.integers(0, 5, count).astype(np.int32)
        obs, reward, terminated, _, _ = envs.step(action)
        state, _, _, ended, _ = step(state, jnp.asarray(action))
        earned = jax.vmap(lambda cars: highway.worth(cars, task.params))(state.cars)  # EnvPool pays every second
        twin = step(twin, jnp.asarray(action))[0]
        alive &= ~np.asarray(terminated) & ~np.asarray(ended)
        theirs = shown(np.asarray(obs), PUBLISHED.lanes)
        heading, speed = state.cars.heading[:, 0], state.cars.speed[:, 0]
        own = np.stack([state.cars.y[:, 0], speed * jnp.cos(heading), speed * jnp.sin(heading)])
        mine, other = (np.stack([c.x - c.x[:, :1], c.y - c.y[:, :1]], -1)[:, 1:] for c in (state.cars, twin.cars))
        pool_gaps, twin_gaps = [], []
        for i in np.flatnonzero(alive):
            near = np.hypot(*other[i].T) < FAR
            twin_gaps += _nearest(mine[i], other[i][near & (other[i][:, 0] > -10.0)])
            pool_gaps += _nearest(mine[i], theirs[i, 1:, :2][np.asarray(obs)[i, 1:, 0] > 0])
        found.append(
            {
                "alive": int(alive.sum()),
                "ego": float(np.abs(own.T - theirs[:, 0, 1:])[alive].max()),
                "paid": float(np.abs(np.asarray(earned) - reward)[alive].max()),
                "others": _close(pool_gaps),
                "twin": _close(twin_gaps),
            }
        )
    envs.close()
    return {"episodes": count, "others": others, "seconds": found}


def _nearest(mine: np.ndarray, theirs: np.ndarray) -> list[float]:
    """From each of their cars to the nearest of ours, m: who is who is not shown."""
    return [float(np.min(np.hypot(*(mine - place).T))) for place in theirs]


def _close(gaps: list[float]) -> dict[str, float] | None:
    return {"median": float(np.median(gaps)), "within 0.1 m": float(np.mean(np.array(gaps) < 0.1))} if gaps else None


def careful(obs: np.ndarray) -> np.ndarray:
    """A driver after the IDM: as fast as the gap to the car ahead allows; changes to a free lane where it is in the way."""
    rows = shown(obs, PUBLISHED.lanes)
    there, own = obs[:, 1:, 0] > 0, rows[:, :1]
    ahead, aside = rows[:, 1:, 0], rows[:, 1:, 1]
    wanted = 10.0 + 1.5 * own[:, :, 2]

    def blocked(shift: float, back: float) -> np.ndarray:
        return np.any(there & (np.abs(aside - shift) < 2.0) & (ahead > back) & (ahead < wanted), -1)

    lane = np.rint(own[:, 0, 1] / WIDTH)
    left = (lane > 0) & ~blocked(-WIDTH, -10.0)
    right = (lane < PUBLISHED.lanes - 1) & ~blocked(WIDTH, -10.0)
    stay = np.where(left, LEFT, np.where(right, RIGHT, SLOWER))
    return np.where(blocked(0.0, -10.0), stay, FASTER).astype(np.int32)


def constant(action: int) -> Act:
    return lambda obs: np.full(len(obs), action, np.int32)


POLICIES: dict[str, Act] = {
    "keeps lane and speed": constant(IDLE),
    "as fast as it can": constant(FASTER),
    "as slow as it can": constant(SLOWER),
    "after the IDM": careful,
}


def interval(values: np.ndarray) -> dict[str, float]:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return {"mean": float(values.mean()), "lo": float(values.mean() - half), "hi": float(values.mean() + half)}


def judged(reset: Callable[[], Any], step: Callable[[Any], Any], policy: Act, count: int) -> dict[str, Any]:
    """`count` episodes side by side, each until it first ends."""
    obs, alive = np.asarray(reset()), np.ones(count, bool)
    returns, lasted, crashed, speed = np.zeros(count), np.zeros(count), np.zeros(count, bool), np.zeros(count)
    for _ in range(SECONDS):
        obs, reward, terminated, over = step(policy(obs))
        obs = np.asarray(obs)
        returns, lasted = returns + np.where(alive, reward, 0.0), lasted + alive
        speed += np.where(alive, shown(obs, PUBLISHED.lanes)[:, 0, 2], 0.0)
        crashed |= alive & terminated
        alive &= ~(terminated | over)
    found = {"return": returns, "seconds": lasted, "collisions, %": 100.0 * crashed, "speed, m/s": speed / lasted}
    return {name: interval(x) for name, x in found.items()} | {"episodes": count}


def ours(policy: Act, count: int) -> dict[str, Any]:
    task, state = task_of(PUBLISHED), None
    start = jax.jit(jax.vmap(lambda key: PORTED.reset(task, key)))
    ahead = jax.jit(jax.vmap(lambda state, action: PORTED.step(task, state, action, jax.random.key(0))))

    def reset() -> Any:
        nonlocal state
        state, obs = start(jax.random.split(jax.random.key(1), count))
        return obs

    def step(action: np.ndarray) -> Any:
        nonlocal state
        state, obs, reward, terminated, truncated = ahead(state, jnp.asarray(action))
        return obs, *(np.asarray(x) for x in (reward, terminated, truncated))

    return judged(reset, step, policy, count)


def package(policy: Act, count: int) -> dict[str, Any]:
    env = highway_package.make()
    highway_package.assign(env, PUBLISHED)
    env.configure({"action": {"type": "DiscreteMetaAction", "target_speeds": list(PUBLISHED_SPEEDS)}})
    rows = []
    for episode in range(count):
        obs, over, total, speeds, terminated = env.reset(seed=episode)[0], False, 0.0, [], False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(int(policy(obs[None])[0]))
            total, over = total + reward, terminated or truncated
            speeds.append(shown(obs, PUBLISHED.lanes)[0, 2])
        rows.append((total, len(speeds), 100.0 * terminated, np.mean(speeds)))
    names = ("return", "seconds", "collisions, %", "speed, m/s")
    return {name: interval(np.array(x)) for name, x in zip(names, zip(*rows, strict=True), strict=True)} | {"episodes": count}


def pooled(policy: Act, count: int) -> dict[str, Any]:
    envs = pool(count, seed=3)

    def step(action: np.ndarray) -> Any:
        obs, reward, terminated, truncated, _ = envs.step(action)
        return obs, reward, np.asarray(terminated), np.asarray(truncated)

    found = judged(lambda: envs.reset()[0], step, policy, count)
    envs.close()
    return found


def cost(tasks: int) -> dict[str, float]:
    """Microseconds of CPU time a step, the quickest of three."""
    drawn = FAMILY.sample(jax.random.key(0), tasks)

    @jax.jit
    def episode(key: jax.Array) -> jax.Array:
        def one(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            actions = jax.random.randint(key, (tasks,), 0, 5)
            state, _, reward, _, _ = jax.vmap(FAMILY.step)(drawn, state, actions, jax.random.split(key, tasks))
            return state, reward

        start = jax.vmap(FAMILY.reset)(drawn, jax.random.split(key, tasks))[0]
        return jax.lax.scan(one, start, jax.random.split(key, SECONDS))[1]

    jax.block_until_ready(episode(jax.random.key(0)))
    env, rng = highway_package.make(), np.random.default_rng(0)
    env.reset(seed=0)

    def package_steps() -> int:
        for _ in range(30):
            *_, terminated, truncated, _ = env.step(int(rng.integers(5)))
            if terminated or truncated:
                env.reset()
        return 30

    def our_steps() -> int:
        jax.block_until_ready(episode(jax.random.key(1)))
        return tasks * SECONDS

    runs: dict[str, Callable[[], int]] = {f"ours, {tasks} tasks side by side": our_steps, "highway-env": package_steps}
    if importlib.util.find_spec("envpool"):
        envs = pool(32, seed=0)
        envs.reset()

        def pool_steps() -> int:
            for _ in range(300):
                envs.step(rng.integers(0, 5, 32).astype(np.int32))
            return 300 * 32

        runs["EnvPool, 32 side by side"] = pool_steps
    return {name: min(_timed(run) for _ in range(3)) for name, run in runs.items()}


def _timed(run: Callable[[], int]) -> float:
    clock = time.process_time()
    count = run()
    return (time.process_time() - clock) / count * 1e6


def tables(result: dict[str, Any]) -> dict[str, str]:
    """The Markdown of each block of the page."""
    double, single = result["steps"]["double"], result["steps"]["single"]
    rows = ["| | double precision | single |", "|---|---:|---:|"]
    rows += [f"| greatest difference: {n} | {double[n]:.1e} | {single[n]:.1e} |" for n in list(double)[:4]]
    rows += [f"| {n} | {double[n]:.1f} | {single[n]:.1f} |" for n in list(double)[4:5]]
    rows += [f"| {n} | {double[n]:,} | {single[n]:,} |" for n in list(double)[5:]]
    blocks = {"steps": "\n".join(rows)}
    rows = ["| policy | | return | collisions, % | speed, m/s | episodes |", "|---|---|---:|---:|---:|---:|"]
    for policy, found in result["returns"].items():
        for who, row in found.items():
            shown = [row[n] for n in ("return", "collisions, %", "speed, m/s")]
            cells = [f"{x['mean']:.2f} ± {(x['hi'] - x['lo']) / 2:.2f}" for x in shown]
            rows.append(f"| {policy} | {who} | {' | '.join(cells)} | {row['episodes']:,} |")
    blocks["returns"] = "\n".join(rows)
    rows = ["| | µs of CPU time a step |", "|---|---:|"]
    blocks["cost"] = "\n".join(rows + [f"| {name} | {value:,.0f} |" for name, value in result["cost"].items()])
    if "pool" in result:
        rows = ["| second | the car | reward | others within 0.1 m | of a twin |", "|---:|---:|---:|---:|---:|"]
        alone, many = result["pool"]["ego"]["seconds"], result["pool"]["traffic"]["seconds"]
        for at in (0, 1, 2, 4, 9, 28):
            last = [f"{100 * many[at][who]['within 0.1 m']:.0f} %" if at < len(many) else "–" for who in ("others", "twin")]
            rows.append(f"| {at + 1} | {alone[at]['ego']:.1e} | {alone[at]['paid']:.1e} | {' | '.join(last)} |")
        blocks["pool"] = "\n".join(rows)
    return blocks


def write(result: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    page = PAGE.read_text()
    for name, block in tables(result).items():
        page = re.sub(rf"(<!-- driving {name} -->\n).*?(<!-- /driving -->)", rf"\g<1>{block}\n\g<2>", page, flags=re.DOTALL)
    PAGE.write_text(page)


def both(episodes: int) -> dict[str, Any]:
    with jax.enable_x64(True):
        double = steps(episodes, np.float64)
    return {"double": double, "single": steps(episodes, np.float32)}


def everywhere(policy: Act, episodes: int, has_pool: bool) -> dict[str, Any]:
    found = {"ours": ours(policy, 10 * episodes), "highway-env": package(policy, episodes)}
    return found | ({"EnvPool": pooled(policy, 10 * episodes)} if has_pool else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--episodes", type=int, default=100, help="of the package for each policy; others live ten times as many"
    )
    parser.add_argument("--only", choices=("steps", "pool", "cost", "returns"), help="keep the other parts as they are")
    args = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if args.only else {}
    result |= {"command": "python benchmarks/driving.py", "machine": facts()}
    has_pool = importlib.util.find_spec("envpool") is not None
    parts: dict[str, Callable[[], Any]] = {
        "steps": lambda: both(args.episodes),
        "pool": lambda: {"ego": beside_pool(64, SECONDS - 1, 0, 1), "traffic": beside_pool(200, 10, 6, 2)},
        "cost": lambda: cost(256),
        "returns": lambda: {name: everywhere(policy, args.episodes, has_pool) for name, policy in POLICIES.items()},
    }
    for name in [args.only] if args.only else parts:
        if name != "pool" or has_pool:
            result[name] = parts[name]()
            print(f"{name}: done")
    write(result)


if __name__ == "__main__":
    main()
