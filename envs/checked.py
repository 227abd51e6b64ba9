"""Checks of what a task is given: numbers, actions, goals. Each raises `UserError` that names the value and what was expected."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError

LARGEST_IMAGE = 4096  # pixels a side; more is a slip, and fills the memory before anything else can complain


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return `value` as a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise UserError(f"{name}={value!r}; expected a whole number {bounds}")
    return int(value)


def as_action(action: Any, axes: int) -> list[float]:
    """Return an action (axes,) clipped to [-1, 1]."""
    values = np.asarray(action, np.float64).reshape(-1).tolist()
    if len(values) != axes or not all(math.isfinite(value) for value in values):
        raise UserError(f"action {values}; expected {axes} finite numbers in [-1, 1]")
    return [min(max(value, -1.0), 1.0) for value in values]


def as_goal(goal: Any, factors: tuple[str, ...]) -> NDArray[np.float32]:
    """Return a copy of a goal (g,), a number for each of `factors`."""
    values = np.asarray(goal, np.float32)
    if values.shape != (len(factors),) or not np.isfinite(values).all():
        raise UserError(f"goal {values.tolist()}; expected {len(factors)} finite numbers: {', '.join(factors)}")
    return values.copy()


def as_start(start: Any, size: int, rest: str) -> NDArray[np.float64]:
    """Return a start state (size,) as numbers; raises `UserError` for anything else. rest: what follows the joint angles, in words."""
    values = np.asarray(start, np.float64)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise UserError(f"start {values.tolist()}; expected a goal state, {size} finite numbers: 7 joint angles, {rest}")
    return values
