"""What tasks share in which a point goes to a position of the plane: distance, success, state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.api import Bools, Floats
from envs.errors import UserError
from envs.snapshot import generator_state, pack, unpack


def pair(value: Any) -> NDArray[np.float64] | None:
    """Return `value` as two finite numbers (2,), None where it is something else."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == (2,) and np.isfinite(numbers).all() else None


class PointTask(gymnasium.Env[dict[str, Any], Any]):
    """A goal environment whose observations, achieved and desired goals are (2,) float32 positions in units.

    A task sets `kind` (its id), `tolerance` (units within which a goal is reached), and in `reset` and `step` the attributes below.
    """

    kind: ClassVar[str]
    tolerance: ClassVar[float]
    factors = ("x_units", "y_units")
    _position: Floats | None = None  # (2,); None before the first reset
    _goal: Floats = np.zeros(2, np.float32)
    _steps = 0  # of this episode

    def compute_truncated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return false: only the clock truncates."""
        return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return where the distance is at most `tolerance`, over the leading axes of (..., 2)."""
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] <= self.tolerance)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``distance`` in units, as the crow flies."""
        difference = np.asarray(achieved_goal, np.float32) - np.asarray(desired_goal, np.float32)
        return {"distance": np.asarray(np.sqrt(np.square(difference).sum(axis=-1)), np.float32)}

    def get_state(self) -> bytes:
        """Return the exact state: position, goal, clock and generator. Raises `UserError` before the first reset."""
        values = {"steps": self._steps, "generator": generator_state(self.np_random)}
        return pack(self.kind, values, {"position": self._here("get_state"), "goal": self._goal})

    def set_state(self, state: bytes) -> None:
        """Go back to a state of `get_state`. Raises `UserError` for foreign bytes."""
        values, arrays = unpack(self.kind, state)
        self._position, self._goal, self._steps = arrays["position"], arrays["goal"], int(values["steps"])
        self.np_random.bit_generator.state = values["generator"]

    def _here(self, caller: str) -> Floats:
        if self._position is None:
            raise UserError(f"{caller}() before reset(); expected reset() first")
        return self._position

    def _achieved(self) -> Floats:
        return np.array(self._position, np.float32)

    def _observe(self) -> dict[str, Any]:
        return {"observation": self._achieved(), "achieved_goal": self._achieved(), "desired_goal": self._goal.copy()}
