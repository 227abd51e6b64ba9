"""Made-up frames, small and of known shape, to try representations and goal samplers on without an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from representations.api import Experience, Floats, Rows

SIDE = 16  # pixels
STEPS = 9
BOUND = 1.0


class Frames(Experience):
    """Episodes of `steps` steps over given columns, all of one length but for the last."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], steps: int = STEPS) -> None:
        self.columns, self.steps = dict(columns), steps

    @property
    def size(self) -> int:
        """Number of stored rows."""
        return len(next(iter(self.columns.values())))

    def sample_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows, uniform, with replacement."""
        return generator.integers(self.size, size=n)

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` at `rows`: (n, ...)."""
        return self.columns[key][rows]

    def episodes(self) -> tuple[Rows, Rows]:
        """Return (first rows (e,), lengths in steps (e,))."""
        first = np.arange(0, self.size, self.steps + 1)
        return first, np.minimum(self.steps, self.size - first - 1)


class Shared(Frames):
    """Draws rows in order and gives views of them, as a replay of someone else might: what is written there is changed for everybody."""

    def sample_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows: the first ones where there are so many."""
        return np.arange(n) if n <= self.size else super().sample_rows(n, generator)

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` at `rows`: (n, ...), the stored values themselves where these are the first ones."""
        return self.columns[key][: len(rows)] if np.array_equal(rows, np.arange(len(rows))) else super().read(key, rows)


def goal_space(dims: int) -> spaces.Box:
    """Return the space in which made-up goals lie."""
    return spaces.Box(-BOUND, BOUND, (dims,), np.float32)


def made_up_space(dims: int = 2) -> spaces.Dict:
    """Return what a made-up environment observes: where something is (``achieved_goal``, ``observation``), and a picture of it."""
    picture = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    return spaces.Dict({"achieved_goal": goal_space(dims), "observation": goal_space(dims), "image": picture})


def made_up_frames(*, episodes: int = 60, dims: int = 2, identical: bool = False, frames: int = 0, seed: int = 0) -> Frames:
    """Return walks in a box of `dims` dimensions, all frames alike where `identical`, cut to `frames` where that is given.

    Walks start in a corner, so that what is far from it is rare. Pictures show the first two coordinates as a bright patch.
    """
    generator = np.random.default_rng([seed, 17])
    walks = np.cumsum(0.15 * generator.standard_normal((episodes, STEPS + 1, dims)), axis=1) - 0.6 * BOUND
    states = np.clip(walks, -BOUND, BOUND).reshape(-1, dims).astype(np.float32)
    if identical:
        states[:] = states[0]
    states = states[: frames or len(states)] if episodes else states
    moves = np.diff(states, axis=0, append=states[-1:])
    return Frames({"achieved_goal": states, "observation": states, "image": pictures_of(states), "action": moves})


def pictures_of(states: Floats) -> NDArray[np.uint8]:
    """Return (n, SIDE, SIDE, 3) pictures with a patch where the first two coordinates (n, d) are."""
    pictures = np.full((len(states), SIDE, SIDE, 3), 40, np.uint8)
    places = ((states[:, [0, min(1, states.shape[1] - 1)]] / BOUND + 1) / 2 * (SIDE - 4)).astype(int)
    for picture, (column, row) in zip(pictures, places):
        picture[row : row + 4, column : column + 4] = 220
    return pictures
