"""What MuJoCo computes on the way to an acceleration, for states of a batch: contact forces, inertias, centres of mass.

Not a step: a simulation's own copies of these are one simulator step old after every step, and rllab's environments
brought them up to date before they looked. Free of JAX.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np


class Forward:
    """Reads fields of MjData after `mj_forward`, one state after the other (an ant: a few hundredths of a millisecond)."""

    def __init__(self, model: mujoco.MjModel, **fields: Any):
        """`fields`: which entries of which array of MjData."""
        self.model, self.data = model, mujoco.MjData(model)
        self._views = [getattr(self.data, name)[which] for name, which in fields.items()]
        self._inputs = self.data.qpos, self.data.qvel, self.data.ctrl

    def __call__(self, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, ...]:
        """qpos [S, nq], qvel [S, nv], control [S, nu] → each field, flat, [S, F]."""
        model, data, (q, v, u) = self.model, self.data, self._inputs
        out = tuple(np.empty((len(qpos), view.size)) for view in self._views)
        for i in range(len(qpos)):
            q[:], v[:], u[:] = qpos[i], qvel[i], control[i]
            data.qacc_warmstart[:] = 0.0  # a function of the state alone, not of who came before
            mujoco.mj_forward(model, data)
            mujoco.mj_rnePostConstraint(model, data)
            mujoco.mj_subtreeVel(model, data)
            for field, view in zip(out, self._views, strict=True):
                field[i] = view.ravel()
        return out
