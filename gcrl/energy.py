"""Energy-based prioritisation: transitions of episodes in which something moved are drawn more often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gcrl.replay import Replay

CHUNK = 1_000_000  # latent entries read at a time


class Energies:
    """Draws transitions of a replay in proportion to how far their episode moved the latent.

    Where a robot seldom touches anything, most hindsight goals are reached before the first step and teach nothing. Zhao & Tresp 2018,
    "Energy-based hindsight experience prioritization", draw episodes by the work done on the object, which needs its mass, height and
    speed. Here an episode counts by the farthest that its latent got from where it began, which every representation has.
    """

    def __init__(self) -> None:
        self._starts = self._lengths = np.zeros(0, np.int64)
        self._sums: NDArray[np.float64] = np.zeros(0)

    def fit(self, replay: Replay) -> None:
        """Take over the stored episodes as they are encoded now."""
        self._starts, self._lengths = replay.episodes()
        moved = np.zeros(len(self._starts))
        at_once = max(1, CHUNK // ((replay.horizon + 1) * replay.goal_space.latent_dim))
        for low in range(0, len(moved), at_once):
            part = slice(low, low + at_once)
            rows = self._lengths[part] + 1
            latents = replay.read("latent", replay.episode_rows(self._starts[part]))
            first = np.cumsum(rows) - rows
            away = np.linalg.norm(latents - np.repeat(latents[first], rows, axis=0), axis=1)
            moved[part] = np.maximum.reduceat(away, first)
        self._sums = np.cumsum(moved)

    def draw(self, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return (n,) rows that have a successor: of an episode drawn by its energy, a step drawn uniformly; none where nothing moved."""
        if not len(self._sums) or self._sums[-1] <= 0:
            return np.zeros(0, np.int64)
        drawn = self._sums.searchsorted(generator.uniform(0, self._sums[-1], n), side="right")
        episodes = np.minimum(drawn, len(self._sums) - 1)  # a draw may be rounded up to the whole sum
        rows: NDArray[np.int64] = self._starts[episodes] + generator.integers(0, self._lengths[episodes])
        return rows
