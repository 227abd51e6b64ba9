"""A dataset and what was practised as one experience: what a representation is refitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.replay import Replay
from representations.api import Rows


class Joined:
    """The rows of `dataset`, followed by those of `practised`; draws take the `share` of their rows from the dataset.

    Rows of the dataset keep their numbers, so that what a first fit to it alone held out stays held out.
    """

    def __init__(self, dataset: Replay, practised: Replay, share: float) -> None:
        self._parts, self._share = (dataset, practised), share
        self._offset = dataset.ring.capacity

    @property
    def size(self) -> int:
        """Number of stored rows."""
        return sum(part.size for part in self._parts)

    def sample_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows, with replacement: about `share`·n of the dataset's and the rest of those practised."""
        recorded = generator.random(n) < self._share
        rows = np.empty(n, np.int64)
        for part, chosen, offset in zip(self._parts, (recorded, ~recorded), (0, self._offset), strict=True):
            if chosen.any():
                rows[chosen] = part.sample_rows(int(chosen.sum()), generator) + offset
        return rows

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` at `rows`: (n, ...)."""
        rows = np.asarray(rows)
        later = rows >= self._offset
        if not later.any():
            return self._parts[0].read(key, rows)
        found = self._parts[1].read(key, rows[later] - self._offset)
        if later.all():
            return found
        values = np.empty((len(rows), *found.shape[1:]), found.dtype)
        values[later], values[~later] = found, self._parts[0].read(key, rows[~later])
        return values

    def episodes(self) -> tuple[Rows, Rows]:
        """Return (first rows (e,), lengths in steps (e,)): the dataset's, then those practised."""
        (first, length), (later, lengths) = (part.episodes() for part in self._parts)
        return np.concatenate([first, later + self._offset]), np.concatenate([length, lengths])
