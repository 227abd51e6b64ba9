"""Frames of a dataset as goals: what was reached there, with all else as it happened to be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import UserError, unknown
from gcrl.data import Reader
from gcrl.goals.file import Columns
from gcrl.goals.taken import inside, named


def fingerprint(reader: Reader) -> str:
    """Return what tells a dataset's episodes from others: a digest of their lengths and of where they begin and end."""
    found = hashlib.sha256(np.asarray(reader.lengths, np.int64).tobytes())
    for rows in (reader.starts, reader.starts + reader.lengths):
        found.update(np.ascontiguousarray(reader.read("achieved_goal", rows)).tobytes())
    return found.hexdigest()


def frame_goals(reader: Reader, env: Any, n: int | None, where: dict[str, tuple[float, float]], stage: float | None, seed: int) -> Columns:
    """Return `n` frames of a dataset as the columns of a goal file: drawn at random, each at most once, among those within `where`.

    stage: take one frame of each episode, that at this share of its steps; the episodes drawn are the same for every share.
    n: None stands for all of them. Goal states are those of the dataset, where it has them. Raises `UserError` where too few frames are
    there, and for a factor that `env`, the dataset's environment, does not have.
    """
    path: Path = reader.path
    for name in where:
        if name not in env.factors:
            raise unknown("factor in where", name, env.factors)
    if stage is None:
        rows = reader.episode_rows(slice(None))
    else:
        rows = reader.starts + np.round(stage * reader.lengths).astype(np.int64)
    achieved = reader.read("achieved_goal", rows)
    fitting = np.flatnonzero(inside(env, where, achieved))
    n = len(fitting) if n is None else n
    if len(fitting) < n:
        within = f" with {named(where)}" if where else ""
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
    if reader.header.state_dim:
        columns["goals/state"] = reader.states(rows[chosen])
    if env.capabilities.images:
        columns[f"goals/images/{getattr(env, 'camera', 'camera')}"] = reader.read("image", rows[chosen])
    return columns
