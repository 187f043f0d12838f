"""The one environment in a Gymnasium vector environment: for simulators that come as nothing else.

Not a way to step many at once: lives are put side by side by the worlds. Free of JAX: worker processes import it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, create_empty_array, iterate


class Single(gymnasium.Env):
    """A VectorEnv of one environment as an Env. An episode begins when `reset` is called, whatever its autoreset mode."""

    def __init__(self, many: VectorEnv):
        """ValueError where it has more than one."""
        if many.num_envs != 1:
            raise ValueError(
                f"a vector environment of {many.num_envs} was made; accepted: an Env, or a vector environment of one."
            )
        self.many, self.metadata, self.render_mode = many, many.metadata, many.render_mode
        self.observation_space, self.action_space = many.single_observation_space, many.single_action_space
        self.spec = many.spec
        self._same_step = many.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        obs, info = self.many.reset(seed=seed, options=options)
        return self._first(obs), _first_of(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        given = gymnasium.vector.utils.concatenate(self.action_space, [action], create_empty_array(self.action_space, 1))
        obs, reward, terminated, truncated, info = self.many.step(given)
        over = bool(terminated[0]) or bool(truncated[0])
        arrived = info["final_obs"][0] if over and self._same_step and "final_obs" in info else self._first(obs)
        return arrived, float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first_of(info)

    def render(self) -> Any:
        frames = self.many.render()
        return frames[0] if frames else None

    def close(self) -> None:
        self.many.close()

    def _first(self, obs: Any) -> Any:
        return next(iter(iterate(batch_space(self.observation_space, 1), obs)))


def _first_of(info: dict[str, Any]) -> dict[str, Any]:
    """What the one environment told, as far as it is told for each."""
    return {
        name: value[0] for name, value in info.items() if not name.startswith(("_", "final")) and getattr(value, "shape", ())
    }


def single(made: Any) -> Any:
    """`made` as an Env, where it is a vector environment of one; else as it is."""
    return Single(made) if isinstance(made, VectorEnv) else made
