"""What the practice dataset holds that a report shows: goals proposed, attempts, achieved goals by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 500_000  # more achieved goals than this are thinned before they are counted


@dataclass
class Attempts:
    """A few episodes of one epoch as pictures: goals (m, H, W, 3) and final frames (m, H, W, 3) uint8, each maybe None."""

    epoch: int
    goals: NDArray[np.uint8] | None
    finals: NDArray[np.uint8] | None


@dataclass
class Practised:
    """The practice dataset as a report needs it.

    episode_epochs: (e,). goals: (e, g) proposed goals, NaN where imagined, or None.
    frames: (f, g) achieved goals of (thinned) frames, frame_epochs: (f,). attempts: pictures, early to late.
    """

    episode_epochs: NDArray[np.int64]
    goals: NDArray[np.float64] | None
    frames: NDArray[np.float64] | None
    frame_epochs: NDArray[np.int64]
    attempts: list[Attempts]
    factors: list[str]


def spread(values: NDArray[Any], n: int) -> NDArray[Any]:
    """Return at most `n` of the distinct sorted `values`, evenly spread, first and last included."""
    distinct = np.unique(values)
    return distinct[np.unique(np.linspace(0, len(distinct) - 1, min(n, len(distinct))).round().astype(int))] if len(distinct) else distinct


def read_practised(path: Path, rows: int = 5, columns: int = 8) -> Practised:
    """Read `rows` epochs × `columns` episodes as pictures and all achieved goals; raises OSError or KeyError on a broken file."""
    import h5py

    with h5py.File(path, "r") as file:
        episodes = file["episodes"]
        start, length = episodes["start"][:], episodes["length"][:]
        n = min(len(start), len(length))
        start, length = start[:n].astype(np.int64), length[:n].astype(np.int64)
        epochs = episodes["epoch"][:n].astype(np.int64) if "epoch" in episodes else np.arange(n)
        goal_index = episodes["goal_index"][:n].astype(np.int64) if "goal_index" in episodes else np.arange(n)
        observation = file["steps/observation"]
        goals = _goals(file, goal_index)
        frames, frame_epochs = _frames(observation, start, length, epochs)
        attempts = []
        for epoch in spread(epochs, rows):
            of_epoch = spread(np.flatnonzero(epochs == epoch), columns)
            proposed = _rows(file["goals"]["image"], goal_index[of_epoch]) if "goals" in file and "image" in file["goals"] else None
            if proposed is not None and not proposed.any():
                proposed = None
            finals = _rows(observation["image"], (start + length)[of_epoch]) if "image" in observation else None
            if proposed is not None or finals is not None:
                attempts.append(Attempts(int(epoch), proposed, finals))
        factors = [_text(name) for name in np.atleast_1d(file.attrs.get("factors", []))]
    return Practised(epochs, goals, frames, frame_epochs, attempts, factors)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _rows(dataset: Any, index: NDArray[np.int64]) -> Any:
    return np.stack([dataset[int(i)] for i in index])


def _goals(file: Any, index: NDArray[np.int64]) -> NDArray[np.float64] | None:
    if "goals" not in file or "achieved_goal" not in file["goals"]:
        return None
    stored = np.asarray(file["goals"]["achieved_goal"][:], dtype=np.float64)
    known = (index >= 0) & (index < len(stored))
    out = np.full((len(index), *stored.shape[1:]), np.nan)
    out[known] = stored[index[known]]
    return out.reshape(len(index), -1) if np.isfinite(out).any() else None


def _frames(
    observation: Any, start: NDArray[np.int64], length: NDArray[np.int64], epochs: NDArray[np.int64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    if "achieved_goal" not in observation or not len(start):
        return None, np.zeros(0, np.int64)
    stored = observation["achieved_goal"][:]
    counts = length + 1  # an episode of T steps owns T + 1 rows
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows, owners = np.repeat(start, counts) + offsets, np.repeat(epochs, counts)
    keep = slice(None, None, 1 + len(rows) // MAX_FRAMES)
    rows, owners = rows[keep], owners[keep]
    return stored[rows].reshape(len(rows), -1).astype(np.float64), owners
