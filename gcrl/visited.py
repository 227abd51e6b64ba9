"""What a run has visited: how evenly its achieved goals cover what there is, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.coverage import grid_coverage
from envs.errors import UserError
from gcrl.config import read_settings
from gcrl.data import Reader
from gcrl.parts import build_env

Measure = Callable[[NDArray[np.float64]], dict[str, float]]
CELLS = {1: 100, 2: 30, 3: 12}  # along each of so many factors


def visited(reader: Reader, first_epoch: int = 0, last_epoch: int | None = None) -> NDArray[np.float64]:
    """Return the (n, g) achieved goals of the episodes of those epochs, in order; where a reset puts the robot is no visit."""
    epochs = reader.column("epoch")
    chosen = np.flatnonzero((epochs >= first_epoch) & (epochs <= (epochs.max(initial=0) if last_epoch is None else last_epoch)))
    rows = np.setdiff1d(reader.episode_rows(chosen), reader.column("start")[chosen])
    goals = np.asarray(reader.read("achieved_goal", rows), np.float64)
    return goals.reshape(len(rows), math.prod(goals.shape[1:]))  # not -1, which cannot be told of no rows


def coverage_so_far(file: Path, measure: Measure, points: int = 16) -> tuple[NDArray[np.int64], list[dict[str, float]]]:
    """Return environment steps (m,) and what `measure` says of all that was visited until then, at up to `points` ends of epochs."""
    with Reader(file) as reader:
        if not len(reader):
            return np.zeros(0, np.int64), []
        goals, epochs = visited(reader), reader.column("epoch")
        steps = np.cumsum(reader.lengths)  # a row per step
        ends = np.flatnonzero(np.diff(epochs, append=epochs[-1] + 1))
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, min(points, len(ends))).round().astype(int))]
    return steps[ends], [measure(goals[: steps[end]]) for end in ends]


def measure_of(folders: Sequence[Path]) -> tuple[Measure, str]:
    """Return how coverage is measured in the runs' environment, and that in words.

    By the environment itself where its `coverage` says entropy and coverage; else on a grid over what all these runs have visited, of the
    up to three factors that vary most. Raises `UserError` where no run has visited anything yet.
    """
    env = build_env(read_settings(folders[0] / "config.yaml"))
    env.close()
    found = []
    for folder in folders:
        if (folder / "practice.h5").exists():
            with Reader(folder / "practice.h5") as reader:
                found.append(visited(reader))
    pooled = np.concatenate(found) if (found := [goals for goals in found if len(goals)]) else np.zeros((0, 0))
    own = getattr(env, "coverage", None)
    if own is not None and pooled.size and {"entropy", "coverage"} <= own(pooled[:1]).keys():
        return own, "the environment's own grid"
    if not pooled.size:
        raise UserError(f"{folders[0]}: nothing was visited yet; expected a run that has practised at least one epoch")
    chosen = np.sort(np.argsort(-pooled.std(axis=0), kind="stable")[:3])
    low, high = pooled[:, chosen].min(axis=0), pooled[:, chosen].max(axis=0)
    high = np.where(high > low, high, low + 1.0)
    cells = [CELLS[len(chosen)]] * len(chosen)
    names = ", ".join(env.factors[index] for index in chosen)
    return lambda goals: grid_coverage(
        goals[:, chosen], low, high, cells
    ), f"{cells[0]} cells along each of {names}, over what all runs visited"
