"""What lies inside foreign environments: their goals, and the exact state of those that run on MuJoCo."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.api import Floats
from envs.errors import UserError

# Beyond MuJoCo's integration state: a step leaves these one substep behind the joints, and Fetch reads them before the next step.
_LAGGING = ("xpos", "xquat", "site_xpos", "site_xmat", "cvel")


def goal_owner(env: gymnasium.Env[Any, Any]) -> Any:
    """Return the object that holds the current ``goal`` of `env` (itself, or panda-gym's task), or None."""
    inner: Any = env.unwrapped
    for owner in (inner, getattr(inner, "task", None)):
        if owner is not None and isinstance(getattr(owner, "goal", None), np.ndarray):
            return owner
    return None


def set_inner_goal(env: gymnasium.Env[Any, Any], goal: Floats) -> bool:
    """Make `goal` (g,) the goal that `env` itself draws and tests; false where it keeps none that can be set."""
    owner = goal_owner(env)
    if owner is None or owner.goal.shape != goal.shape:
        return False
    owner.goal = goal.astype(np.float64)
    move_marker = getattr(env.unwrapped, "update_target_site_pos", None)
    if move_marker is not None:
        move_marker()
    return True


def runs_on_mujoco(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether `env` holds MuJoCo's data."""
    return type(getattr(env.unwrapped, "data", None)).__name__ == "MjData"


def mujoco_can_draw() -> bool:
    """Return false where MuJoCo is bound to fail: its default library needs a display, and a second failure ends the process."""
    headless = sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return not headless or os.environ.get("MUJOCO_GL", "").lower() in ("egl", "osmesa")


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
