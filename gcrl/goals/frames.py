"""Frames of a dataset as goals: what was reached there, with all else as it happened to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import UserError, unknown
from gcrl.data import Reader
from gcrl.goals.file import Columns
from gcrl.goals.taken import inside


def frame_goals(reader: Reader, env: Any, n: int, where: dict[str, tuple[float, float]], seed: int) -> Columns:
    """Return `n` frames of a dataset as the columns of a goal file: drawn at random, each at most once, among those within `where`.

    Goal states are those of the dataset, or the achieved goals where it has none. Raises `UserError` where too few frames are there, and
    for a factor that `env`, the dataset's environment, does not have.
    """
    path: Path = reader.path
    for name in where:
        if name not in env.factors:
            raise unknown("factor in where", name, env.factors)
    rows = reader.episode_rows(slice(None))
    achieved = reader.read("achieved_goal", rows)
    fitting = np.flatnonzero(inside(env, where, achieved))
    if len(fitting) < n:
        named = ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in where.items())
        within = f" with {named}" if where else ""
        raise UserError(f"dataset={path} has {len(fitting)} of {len(rows)} frames{within}; expected at least n={n}")
    chosen = np.sort(np.random.default_rng([seed, 24]).permutation(fitting)[:n])
    owners = np.searchsorted(reader.starts, rows[chosen], side="right") - 1
    columns: Columns = {
        "goals/achieved": achieved[chosen].astype(np.float32),
        "goals/source_episode": owners.astype(np.int64),
        "goals/source_step": rows[chosen] - reader.starts[owners],
        "goals/task": np.array([str(getattr(env, "task", reader.header.env_id))] * n),
        "goals/objects": np.array(["[]"] * n),
    }
    states = reader.states(rows[chosen]) if reader.header.state_dim else achieved[chosen]
    columns["goals/state"] = states.astype(np.float64)
    if env.capabilities.images:
        columns[f"goals/images/{getattr(env, 'camera', 'camera')}"] = reader.read("image", rows[chosen])
    return columns
