"""The exact state of foreign environments that run on MuJoCo."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from envs.foreign_inside import runs_on_mujoco, set_inner_goal

# Beyond MuJoCo's integration state: a step leaves these one substep behind the joints, and Fetch reads them before the next step.
_LAGGING = ("xpos", "xquat", "site_xpos", "site_xmat", "cvel")


class MujocoState:
    """Reads and writes the exact state of a MuJoCo goal environment: physics, what lags behind it, goal, generators.

    Exact across processes for environments that keep nothing else between steps, which holds for gymnasium-robotics' Fetch,
    hand and maze tasks.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        import mujoco

        self._env = env
        self._mujoco = mujoco
        self._signature = int(mujoco.mjtState.mjSTATE_INTEGRATION)

    @classmethod
    def of(cls, env: gymnasium.Env[Any, Any]) -> MujocoState | None:
        """Return the reader for `env`, or None where it is none of gymnasium-robotics' MuJoCo tasks."""
        ours = type(env.unwrapped).__module__.startswith("gymnasium_robotics.") and runs_on_mujoco(env)
        return cls(env) if ours else None

    def save(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays."""
        inner: Any = self._env.unwrapped
        model, data = inner.model, inner.data
        physics = np.empty(self._mujoco.mj_stateSize(model, self._signature), np.float64)
        self._mujoco.mj_getState(model, data, physics, self._signature)
        lagging = {f"mujoco_{name}": np.array(getattr(data, name)) for name in _LAGGING}
        return {"mujoco_physics": physics, "inner_goal": np.array(inner.goal), **lagging}

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Put the arrays of `save` back. Raises `UserError` where they belong to another model."""
        inner: Any = self._env.unwrapped
        model, data = inner.model, inner.data
        size = self._mujoco.mj_stateSize(model, self._signature)
        if arrays["mujoco_physics"].shape != (size,):
            raise UserError(f"state has {arrays['mujoco_physics'].size} simulator numbers; expected {size}, those of this model")
        self._mujoco.mj_setState(model, data, arrays["mujoco_physics"], self._signature)
        self._mujoco.mj_forward(model, data)
        # The forward pass overwrites the solver's warm start, so the state is written once more.
        self._mujoco.mj_setState(model, data, arrays["mujoco_physics"], self._signature)
        for name in _LAGGING:
            getattr(data, name)[:] = arrays[f"mujoco_{name}"]
        set_inner_goal(self._env, arrays["inner_goal"])
