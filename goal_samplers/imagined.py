"""From points that a model imagined to goals: latents, and pictures where the representation can draw them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goal_samplers.api import Floats, GoalContext, Goals, Rows


def imagined(rows: Rows, achieved: Floats | None) -> NDArray[np.bool_]:
    """Return (n,) which goals were imagined: neither taken from a stored row, rows (n,), nor of a known place, achieved (n, g)."""
    unknown = True if achieved is None else np.isnan(achieved.reshape(len(rows), -1)).any(axis=1)
    return np.asarray((rows < 0) & unknown)


def latent_goals(context: GoalContext, latents: Floats) -> Goals:
    """Return goals for imagined latents (n, d): no source row, unknown achieved goal (NaN), the decoded picture if there is one."""
    g = context.experience.read("achieved_goal", np.zeros(1, np.int64)).shape[1]
    images = context.representation.decode(latents) if hasattr(context.representation, "decode") else None
    achieved = np.full((len(latents), g), np.nan, np.float32)
    return Goals(np.asarray(latents, np.float32), np.full(len(latents), -1, np.int64), images, achieved)


def state_goals(context: GoalContext, key: str, states: NDArray[np.float32]) -> Goals:
    """Return goals for imagined observations (n, w) under `key`, which the representation encodes; pictures are unknown."""
    params = context.representation.encode({key: states})
    return Goals(params, np.full(len(states), -1, np.int64), None, states if key == "achieved_goal" else None)
