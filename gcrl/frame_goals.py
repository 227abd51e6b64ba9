"""Stored frames as goals."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.errors import UserError
from gcrl.replay import Replay
from goal_samplers.api import Goals


def frames_as_goals(replay: Replay, proposed: Any, n: int, name: str) -> Goals:
    """Return stored frames as goals; raise `UserError` unless `proposed` are `n` stored rows."""
    rows = np.asarray(proposed)
    if rows.shape != (n,) or rows.dtype.kind not in "iu":
        raise UserError(f"{name} returned {rows.dtype} of shape {rows.shape}; expected {n} integer rows, or Goals")
    number = replay.ring.number
    stored = (rows >= 0) & (rows < len(number))
    stored &= number[np.where(stored, rows, 0)] >= 0
    if not stored.all():
        raise UserError(f"{name} returned row {rows[~stored][0]}, which holds no frame; expected rows that the experience drew")
    return replay.goals_at(rows.astype(np.int64))


def without_rows(replay: Replay, goals: Goals) -> Goals:
    """Return goals that point to rows of `replay` as goals that know what they show: elsewhere those rows mean nothing."""
    known = goals.rows >= 0
    if not known.any():
        return goals
    stored = replay.goals_at(np.where(known, goals.rows, 0))
    images, achieved = stored.images, stored.achieved
    assert achieved is not None
    if images is not None and goals.images is not None:
        images = np.where(known[:, None, None, None], images, goals.images)
    achieved = np.where(known[:, None], achieved, np.float32(np.nan) if goals.achieved is None else goals.achieved)
    return Goals(goals.params, np.full(len(goals), -1), images, achieved)
