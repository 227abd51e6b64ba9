"""Where episodes lie in a ring of rows: placement, whole-episode eviction and uniform draws, as pure index arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError

Rows = NDArray[np.int64]


class Ring:
    """Places episodes of T + 1 consecutive rows in a ring; none wraps, and a new one evicts the oldest whole episodes in its way.

    Episodes are counted from 0 in the order in which they came; that *number* outlives eviction and never changes.
    `last[row]` is the last row of the row's episode, `number[row]` the episode's number; both are -1 where no episode lies.
    """

    cursor: int
    oldest: int
    newest: int  # one past the newest episode's number

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._clear(0)

    def place(self, length: int) -> int:
        """Make room for an episode of `length` steps and return its first row."""
        rows = length + 1
        if rows > self.capacity:
            raise UserError(f"an episode of {length} steps needs {rows} rows; replay capacity is {self.capacity}, expected at least {rows}")
        if self.cursor + rows > self.capacity:
            # What lies between the cursor and the end is older than anything at the ring's beginning: it must go first.
            while self.oldest < self.newest and self._start(self.oldest) >= self.cursor:
                self._evict()
            self.cursor = 0
        while self.oldest < self.newest and self._overlaps(self.oldest, self.cursor, self.cursor + rows):
            self._evict()
        return self._append(self.cursor, length)

    def starts(self) -> Rows:
        """Return (e,) first rows of the stored episodes, oldest first."""
        return self._starts[self.oldest - self._base : self.newest - self._base].copy()

    def lengths(self) -> Rows:
        """Return (e,) lengths in steps of the stored episodes, oldest first."""
        return np.diff(self._steps_before[self.oldest - self._base : self.newest - self._base + 1])

    @property
    def episodes(self) -> int:
        """Number of stored episodes."""
        return self.newest - self.oldest

    @property
    def steps(self) -> int:
        """Number of stored transitions."""
        return int(self._steps_before[self.newest - self._base] - self._steps_before[self.oldest - self._base])

    @property
    def rows(self) -> int:
        """Number of stored rows."""
        return self.steps + self.episodes

    def draw_steps(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows t that have a successor t + 1, uniform over the stored transitions, in a time that does not grow with them.

        By rejection: rows of the used part of the ring, without those that no episode owns and the last ones of episodes.
        """
        wanted = int(n * self._used / self.steps * 1.05) + 8  # mostly enough at once
        rows = self._draw_some(wanted, generator)
        while len(rows) < n:
            rows = np.concatenate([rows, self._draw_some(wanted, generator)])
        return rows[:n]

    def draw_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows, uniform over the stored rows; O(n log episodes)."""
        low, high = self.oldest - self._base, self.newest - self._base
        before = self._steps_before[low:high] + np.arange(self.episodes)
        rank = generator.integers(0, self.rows, size=n) + before[0]
        episode = before.searchsorted(rank, side="right") - 1
        row: Rows = self._starts[low:high][episode] + rank - before[episode]
        return row

    def all_rows(self) -> Rows:
        """Return every stored row, oldest episode first."""
        return expand(self.starts(), self.lengths())

    def state_dict(self) -> dict[str, Any]:
        """Return the layout: what `load_state_dict` needs to give every later episode the same place."""
        return {
            "capacity": self.capacity,
            "cursor": self.cursor,
            "used": self._used,
            "oldest": self.oldest,
            "starts": self.starts(),
            "lengths": self.lengths(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a layout; raises `UserError` where it is of another capacity."""
        if int(state["capacity"]) != self.capacity:
            raise UserError(f"replay capacity is {self.capacity}, but the checkpoint has {int(state['capacity'])}; expected the same")
        self._clear(int(state["oldest"]))
        for start, length in zip(np.asarray(state["starts"]), np.asarray(state["lengths"])):
            self._append(int(start), int(length))
        self.cursor, self._used = int(state["cursor"]), int(state["used"])

    def _draw_some(self, n: int, generator: np.random.Generator) -> Rows:
        rows: Rows = generator.integers(0, self._used, size=n)
        return rows[self.last.take(rows) > rows]

    def _clear(self, number: int) -> None:
        """Empty the ring; the next episode has this number."""
        self.cursor = 0
        self.oldest = self.newest = number
        self.last = np.full(self.capacity, -1, dtype=np.int64)
        self.number = np.full(self.capacity, -1, dtype=np.int64)
        self._used = 0  # one past the highest row that was ever used
        self._base = number  # number of the episode at index 0 of the two arrays below
        self._starts = np.zeros(64, dtype=np.int64)
        self._steps_before = np.zeros(65, dtype=np.int64)  # steps of all episodes before this one since the base

    def _start(self, number: int) -> int:
        return int(self._starts[number - self._base])

    def _length(self, number: int) -> int:
        index = number - self._base
        return int(self._steps_before[index + 1] - self._steps_before[index])

    def _overlaps(self, number: int, low: int, high: int) -> bool:
        start = self._start(number)
        return start < high and start + self._length(number) + 1 > low

    def _evict(self) -> None:
        start, end = self._start(self.oldest), self._start(self.oldest) + self._length(self.oldest) + 1
        self.last[start:end] = self.number[start:end] = -1
        self.oldest += 1

    def _append(self, start: int, length: int) -> int:
        index = self.newest - self._base
        if index == len(self._starts):
            index = self._make_room()
        self._starts[index] = start
        self._steps_before[index + 1] = self._steps_before[index] + length
        self.last[start : start + length + 1] = start + length
        self.number[start : start + length + 1] = self.newest
        self.newest += 1
        self.cursor = start + length + 1
        self._used = max(self._used, self.cursor)
        return start

    def _make_room(self) -> int:
        """Forget evicted episodes and double the arrays if half of them is still in use; return the next free index."""
        low, kept = self.oldest - self._base, self.episodes
        size = len(self._starts) * (2 if 2 * kept > len(self._starts) else 1)
        for name, extra in (("_starts", 0), ("_steps_before", 1)):
            grown = np.zeros(size + extra, dtype=np.int64)
            grown[: kept + extra] = getattr(self, name)[low : low + kept + extra]
            setattr(self, name, grown)
        self._base = self.oldest
        return kept


def expand(starts: Rows, lengths: Rows) -> Rows:
    """Return all rows of the episodes with these first rows (e,) and lengths in steps (e,), in order."""
    rows = lengths + 1
    ends = np.cumsum(rows)
    total = int(ends[-1]) if len(ends) else 0
    spread: Rows = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - rows), rows)
    return spread
