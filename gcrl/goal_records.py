"""What each stored episode was after, and how goals are encoded again once the latent space has moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.episodes import Episodes
from goal_samplers.api import Goals
from goal_samplers.imagined import imagined
from representations.api import Floats, Representation, Rows

CHUNK = 256  # goals a representation encodes at a time
Read = Callable[[str, Rows], NDArray[Any]]


@dataclass
class GoalBatch:
    """Goals of n transitions.

    params: (n, k) float32 what the policy is conditioned on. rows: (n,) source rows in replay, -1 where there is none.
    achieved: (n, g) float32 in the space of ``achieved_goal``, NaN where unknown (imagined).
    draw: yields `images`, which few rewards look at and which cost the most to gather; valid until replay changes.
    """

    params: Floats
    rows: Rows
    achieved: Floats | None = None
    draw: Callable[[], NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self.params)

    @property
    def images(self) -> NDArray[np.uint8]:
        """Return (n, H, W, 3) goal pictures; raise `UserError` where goals have none."""
        if self.draw is None:
            raise UserError(
                "these goals have no pictures; expected an environment with images, or a reward on latents such as LatentDistance"
            )
        return self.draw()


class GoalRecords:
    """One goal an episode, at index `episode number - base`: parameters (k), achieved goal (g), source row, picture (H, W, 3).

    `known` is false for episodes without a goal. `sources` is -1 where the goal was imagined or commanded, or its row has been evicted.
    """

    def __init__(self, goal_dim: int, achieved_dim: int, picture_shape: tuple[int, ...] | None) -> None:
        self.base = 0
        self.count = 0
        self.params = np.zeros((64, goal_dim), dtype=np.float32)
        self.achieved = np.zeros((64, achieved_dim), dtype=np.float32)
        self.sources = np.zeros(64, dtype=np.int64)
        self.source_numbers = np.zeros(64, dtype=np.int64)
        self.known = np.zeros(64, dtype=np.bool_)
        self.goalless = False  # whether any episode had no goal
        self.images = None if picture_shape is None else np.zeros((64, *picture_shape), dtype=np.uint8)
        self._oldest = 0

    def append(self, episodes: Episodes, sources: Rows, source_numbers: Rows) -> None:
        """Record the goals of new episodes; `source_numbers` (n,) are the numbers of the episodes that own the rows `sources` (n,)."""
        n = len(episodes)
        if self.count + n > len(self.params):
            self._make_room(n)
        new = slice(self.count, self.count + n)
        self.params[new] = episodes.goals
        self.known[new] = ~np.isnan(episodes.goals).any(axis=1)
        self.goalless |= not self.known[new].all()
        self.achieved[new] = np.nan if episodes.goal_achieved is None else episodes.goal_achieved
        self.sources[new], self.source_numbers[new] = sources, source_numbers
        if self.images is not None:
            if episodes.goal_images is None:
                raise ValueError("this replay keeps a goal picture with every episode, but the episodes have none")
            self.images[new] = episodes.goal_images
        self.count += n

    def forget_before(self, oldest: int) -> None:
        """Drop the records of episodes before number `oldest`, and the source rows that those episodes owned."""
        self._oldest = oldest
        stored = self._stored()
        self.sources[stored][self.source_numbers[stored] < oldest] = -1

    def at(self, numbers: Rows) -> tuple[Floats, Rows, Floats]:
        """Return parameters (n, k), source rows (n,) and achieved goals (n, g) of the episodes with these numbers (n,)."""
        index = numbers - self.base
        return self.params.take(index, axis=0), self.sources.take(index), self.achieved.take(index, axis=0)

    def images_of(self, numbers: Rows) -> NDArray[np.uint8]:
        """Return (n, H, W, 3) goal pictures of the episodes with these numbers (n,)."""
        assert self.images is not None
        return self.images.take(numbers - self.base, axis=0)

    def reencode(self, representation: Representation, read: Read, numbers: slice) -> None:
        """Encode the goals of the episodes `numbers` (a slice) again, in batches aligned by episode number."""
        stored = slice(numbers.start - self.base, numbers.stop - self.base)
        images = None if self.images is None else self.images[stored]
        goals = Goals(self.params[stored].copy(), np.where(self.known[stored], self.sources[stored], -1), images, self.achieved[stored])
        encode_goals(representation, goals, read, numbers.start % CHUNK)
        self.params[stored] = np.where(self.known[stored, None], goals.params, np.nan)

    def clear(self, base: int) -> None:
        """Forget everything; the next record is of episode number `base`."""
        self.base = self._oldest = base
        self.count, self.goalless = 0, False

    def state_dict(self) -> dict[str, Any]:
        """Return what re-encoding and eviction have changed since the episodes were recorded."""
        stored = self._stored()
        return {
            "params": self.params[stored].copy(),
            "achieved": self.achieved[stored].copy(),
            "sources": self.sources[stored].copy(),
            "source_numbers": self.source_numbers[stored].copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over `state` for the records that are present."""
        stored = self._stored()
        self.params[stored] = state["params"]
        self.known[stored] = ~np.isnan(self.params[stored]).any(axis=1)
        self.goalless = not self.known[stored].all()
        self.achieved[stored] = state["achieved"]
        self.sources[stored] = state["sources"]
        self.source_numbers[stored] = state["source_numbers"]

    def _stored(self) -> slice:
        return slice(self._oldest - self.base, self.count)

    def _make_room(self, n: int) -> None:
        """Drop forgotten records, and double the arrays until `n` more leave half of them free."""
        stored = self._stored()
        kept = stored.stop - stored.start
        size = len(self.params)
        while 2 * (kept + n) > size:
            size *= 2
        for name in ("params", "achieved", "sources", "source_numbers", "known", "images"):
            old = getattr(self, name)
            if old is not None:
                grown = np.zeros((size, *old.shape[1:]), dtype=old.dtype)
                grown[:kept] = old[stored]
                setattr(self, name, grown)
        self.base, self.count = self._oldest, kept


def encode_goals(representation: Representation, goals: Goals, read: Read, offset: int) -> None:
    """Encode `goals` again in place from what the representation reads: picture, achieved goal, else the latent of the source row.

    The first goal stands at place `offset` of its batch of CHUNK. A goal with none of the three keeps its parameters, as does what says
    more of a goal than its latent, and a goal that was fitted to a set, whose picture is of an example.
    """
    known = goals.rows >= 0
    if representation.keys == ("image",) and goals.images is not None:
        fresh = _encode_aligned(representation, "image", goals.images, offset)
        usable = np.full(len(goals), True)
    elif representation.keys == ("achieved_goal",) and goals.achieved is not None:
        fresh = _encode_aligned(representation, "achieved_goal", np.nan_to_num(goals.achieved), offset)
        usable = np.asarray(np.isfinite(goals.achieved).all(axis=1))
    else:
        fresh = read("latent", np.where(known, goals.rows, 0))
        usable = known
    if goals.params.shape[1] > fresh.shape[1]:
        usable &= ~imagined(goals.rows, goals.achieved)
    goals.params[usable, : fresh.shape[1]] = fresh[usable]


def _encode_aligned(representation: Representation, key: str, values: NDArray[Any], offset: int) -> Floats:
    """Return the latents of `values` (n, ...), encoded in full batches of CHUNK, the first value standing at place `offset`."""
    total = -(-(offset + len(values)) // CHUNK) * CHUNK
    padded = np.zeros((total, *values.shape[1:]), dtype=values.dtype)
    padded[offset : offset + len(values)] = values
    encoded = [representation.encode({key: padded[low : low + CHUNK]}) for low in range(0, total, CHUNK)]
    latents: Floats = np.concatenate(encoded)[offset : offset + len(values)]
    return latents
