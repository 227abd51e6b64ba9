"""Which frames follow which, by index arithmetic, and what was done between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from representations.api import Experience, Floats, Rows
from representations.holdout import HoldOut


class Windows:
    """Runs of consecutive rows, none of which leaves its episode."""

    def __init__(self, begin: Rows, end: Rows) -> None:
        order = np.argsort(begin)
        self._begin, self._end = begin[order], end[order]  # rows begin .. end - 1

    @classmethod
    def stored(cls, experience: Experience) -> Windows:
        """Return the stored episodes, whole."""
        first, length = experience.episodes()
        return cls(first, first + length + 1)

    def starts(self, rows: Rows) -> Rows:
        """Return the `rows` (n,) that have a successor, (m,); a last frame stands for the one before it.

        Where none has, the answer is empty.
        """
        at, inside = self._locate(rows)
        inside &= self._end[at] - self._begin[at] >= 2
        rows, at = rows[inside], at[inside]
        return np.minimum(rows, self._end[at] - 2)

    def later(self, rows: Rows, mean: float, generator: np.random.Generator) -> Rows:
        """Return for each of `rows` (n,), which have successors, a later frame of its run: (n,).

        The offset is 1, 2, ... with geometric weights of mean `mean` steps, among those that the run has; an infinite mean is uniform.
        """
        at, _ = self._locate(rows)
        left = self._end[at] - 1 - rows
        chance = generator.random(len(rows))
        stay = 1.0 - 1.0 / mean  # that the offset goes on growing by one
        if stay <= 0.0:
            return rows + 1
        if stay >= 1.0 - 1e-9:
            offset: NDArray[np.float64] = np.ceil(chance * left)
        else:
            # inverse of the truncated distribution: P(offset <= k) = (1 - stay^k) / (1 - stay^left)
            offset = np.ceil(np.log1p(-chance * (1.0 - stay**left)) / np.log(stay))
        return rows + np.clip(offset, 1, left).astype(np.int64)

    def companions(self, rows: Rows, chance: NDArray[np.float64]) -> Rows:
        """Return for each of `rows` (n,) a frame of its run, by chance (n,) in [0, 1): uniform, itself included: (n,)."""
        at, _ = self._locate(rows)
        companions: Rows = self._begin[at] + (chance * (self._end[at] - self._begin[at])).astype(np.int64)
        return companions

    def _locate(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the run that each row would be in and whether it is."""
        at = np.maximum(np.searchsorted(self._begin, rows, side="right") - 1, 0)
        return at, (rows >= self._begin[at]) & (rows < self._end[at])


def training_starts(experience: Experience, drawn: Rows, held_out: HoldOut, owner: str) -> tuple[Windows, Rows]:
    """Return runs of frames without the held-out ones, and which of the `drawn` rows (n,) have a successor there: (m,).

    Held-out frames count where nothing else is left. Raises `UserError` naming `owner` where no stored episode has a step.
    """
    first, length = experience.episodes()
    if not len(first) or length.max() < 1:
        raise UserError(f"{owner} learns from frames that follow each other, but no stored episode has a step; expected one of two frames")
    count = length + 1
    rows = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    episode = np.repeat(np.arange(len(first)), count)
    seen = np.isin(rows, held_out.drop(rows))
    rows, episode = rows[seen], episode[seen]
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(episode) != 0)) + 1
    windows = Windows(rows[np.r_[0, breaks]], rows[np.r_[breaks - 1, len(rows) - 1]] + 1)
    starts = windows.starts(drawn)
    if len(drawn) and not len(starts):
        windows = Windows.stored(experience)
        starts = windows.starts(drawn)
    return windows, starts


def continuous_actions(experience: Experience, rows: Rows, owner: str) -> Floats:
    """Return the actions (n, a) that were taken at `rows` (n,). Raises `UserError` naming `owner` where they are not continuous."""
    actions = np.asarray(experience.read("action", rows))
    if actions.dtype.kind != "f" or actions.ndim != 2:
        raise UserError(f"{owner} learns from continuous actions (n, a); the experience has {actions.dtype} of shape {actions.shape}")
    return actions.astype(np.float32, copy=False)
