"""What a run has visited: how evenly its achieved goals cover what there is, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.coverage import grid_coverage
from envs.errors import UserError
from gcrl.data import Reader

Measure = Callable[[NDArray[np.float64]], dict[str, float]]
NAMES = ("coverage", "entropy")  # what a race asks of a measure
CELLS = {1: 100, 2: 30, 3: 12}  # along each of so many factors


@dataclass
class Visits:
    """All that a run has visited: goals (n, g) in order, one for each environment step; ends (m,): steps made at the end of each epoch."""

    goals: NDArray[np.float64]
    ends: NDArray[np.int64]


def visited(reader: Reader, first_epoch: int = 0) -> NDArray[np.float64]:
    """Return the (n, g) achieved goals from that epoch on, in order; where a reset puts the robot is no visit."""
    chosen = np.flatnonzero(reader.column("epoch") >= first_epoch)
    rows = np.setdiff1d(reader.episode_rows(chosen), reader.column("start")[chosen])
    goals = np.asarray(reader.read("achieved_goal", rows), np.float64)
    return goals.reshape(len(rows), math.prod(goals.shape[1:]))  # not -1, which cannot be told of no rows


def read_visits(file: Path) -> Visits:
    """Return what the run whose practice dataset is `file` has visited."""
    with Reader(file) as reader:
        epochs, steps = reader.column("epoch"), np.cumsum(reader.lengths)
        last = np.flatnonzero(np.diff(epochs, append=epochs[-1:] + 1)) if len(epochs) else np.zeros(0, np.int64)
        return Visits(visited(reader), steps[last])


def coverage_so_far(visits: Visits, measure: Measure, points: int = 16) -> tuple[NDArray[np.int64], list[dict[str, float]]]:
    """Return environment steps (m,) and what `measure` says of all that was visited until then, at up to `points` ends of epochs."""
    if not len(visits.ends):
        return visits.ends, []
    shown = np.unique(np.linspace(0, len(visits.ends) - 1, min(points, len(visits.ends))).round().astype(int))
    return visits.ends[shown], [measure(visits.goals[:end]) for end in visits.ends[shown]]


def measure_of(env: TaskEnv, several: Sequence[Visits]) -> tuple[Measure, str]:
    """Return how coverage is measured in `env`, and that in words.

    By the environment itself where its `coverage` says both of `NAMES`; else on a grid over what all these runs have visited, of the up to
    three factors that vary most. Raises `UserError` where no run has visited anything yet.
    """
    found = [one.goals for one in several if len(one.goals)]
    if not found:
        raise UserError("nothing was visited yet; expected a run that has practised at least one epoch")
    own = getattr(env, "coverage", None)
    if own is not None and set(NAMES) <= own(found[0][:1]).keys():
        return own, "the environment's own grid"
    pooled = np.concatenate(found)
    chosen = np.sort(np.argsort(-pooled.std(axis=0), kind="stable")[:3])
    low, high = pooled[:, chosen].min(axis=0), pooled[:, chosen].max(axis=0)
    high = np.where(high > low, high, low + 1.0)
    cells = [CELLS[len(chosen)]] * len(chosen)
    names = ", ".join(env.factors[index] for index in chosen)
    words = f"{cells[0]} cells along each of {names}, over what all runs visited"
    return lambda goals: grid_coverage(goals[:, chosen], low, high, cells), words
