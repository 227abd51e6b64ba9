"""Which stored frames a fit must not see, so that its reported error is a held-out one."""

from __future__ import annotations

import numpy as np

from representations.api import Experience, Rows

SHARE = 16  # one episode in so many is held out
LIMIT = 1024  # held-out frames that are scored


class HoldOut:
    """Whole episodes set aside, by the row they start at: neighbouring frames are near copies, and an episode stays where it is stored.

    With a single episode its last frames are set aside. Membership does not change from one refit to the next.
    """

    def __init__(self, experience: Experience) -> None:
        first, length = experience.episodes()
        # a multiplicative hash: consecutive starts differ by a constant horizon, so a plain modulus would pick all or none
        chosen = (first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) % np.uint64(SHARE) == 0
        if len(first) > 1 and (not chosen.any() or chosen.all()):
            chosen = np.arange(len(first)) == 0
        if len(first) == 1:
            begin, end = first + length + 1 - max(int(length[0]) // SHARE, 1), first + length + 1
        else:
            begin, end = first[chosen], first[chosen] + length[chosen] + 1
        order = np.argsort(begin)
        self._begin, self._end = begin[order], end[order]

    def drop(self, rows: Rows) -> Rows:
        """Return the `rows` (n,) that training may see; all of them where nothing else would be left."""
        if not len(self._begin):
            return rows
        at = np.searchsorted(self._begin, rows, side="right") - 1
        held = (at >= 0) & (rows < self._end[np.maximum(at, 0)])
        return rows if held.all() else rows[~held]

    def rows(self, generator: np.random.Generator) -> Rows:
        """Return at most `LIMIT` held-out rows, without repetition."""
        rows = np.concatenate([np.arange(b, e) for b, e in zip(self._begin, self._end)] or [np.empty(0, np.int64)]).astype(np.int64)
        return rows if len(rows) <= LIMIT else np.sort(generator.choice(rows, LIMIT, replace=False))
