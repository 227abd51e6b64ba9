"""A made-up experience, small and of known shape, to try samplers on without an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from goal_samplers.api import GoalContext, Goals
from representations.api import Experience, Floats, Representation, Rows
from representations.identity import Identity
from representations.vae import VAE

SIDE = 16  # pixels
STEPS = 9
BOUND = 1.0


class Frames(Experience):
    """Episodes of `STEPS` steps over given columns, all of one length."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self.columns = dict(columns)

    @property
    def size(self) -> int:
        """Number of stored rows."""
        return len(self.columns["latent"])

    def sample_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows, uniform, with replacement."""
        return generator.integers(self.size, size=n)

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` at `rows`: (n, ...)."""
        return self.columns[key][rows]

    def episodes(self) -> tuple[Rows, Rows]:
        """Return (first rows (e,), lengths in steps (e,))."""
        first = np.arange(0, self.size, STEPS + 1)
        return first, np.minimum(STEPS, self.size - first - 1)


def goal_space(dims: int) -> spaces.Box:
    """Return the space in which made-up goals lie."""
    return spaces.Box(-BOUND, BOUND, (dims,), np.float32)


def representation_of(dims: int, pictures: bool) -> Representation:
    """Return the identity on `dims` numbers, or an untrained VAE with as many latent dimensions on pictures of them."""
    space = spaces.Dict({"achieved_goal": goal_space(dims), "image": spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)})
    representation: Representation = VAE(space, latent_dim=dims) if pictures else Identity(space)  # type: ignore[assignment]
    return representation


def made_up(
    representation: Representation, *, episodes: int = 60, dims: int = 2, identical: bool = False, frames: int = 0, seed: int = 0
) -> GoalContext:
    """Return a context of walks in a box of `dims` dimensions, all frames alike where `identical`, cut to `frames` where that is given.

    Walks start in a corner, so that what is far from it is rare. Pictures show the first two coordinates as a bright patch. Commanded
    goals, values (minus the distance) and their spread (a constant) are offered.
    """
    generator = np.random.default_rng([seed, 17])
    walks = np.cumsum(0.15 * generator.standard_normal((episodes, STEPS + 1, dims)), axis=1) - 0.6 * BOUND
    states = np.clip(walks, -BOUND, BOUND).reshape(-1, dims).astype(np.float32)
    if identical:
        states[:] = states[0]
    states = states[: frames or len(states)] if episodes else states
    columns: dict[str, NDArray[Any]] = {"achieved_goal": states, "observation": states, "image": pictures_of(states)}
    columns["latent"] = representation.encode(columns) if len(states) else np.zeros((0, representation.latent_dim), np.float32)
    experience = Frames(columns)

    def commanded(n: int, generator: np.random.Generator) -> Goals:
        achieved = generator.uniform(-BOUND, BOUND, (n, dims)).astype(np.float32)
        images = pictures_of(achieved)
        return Goals(representation.encode({"achieved_goal": achieved, "image": images}), np.full(n, -1), images, achieved)

    def value(rows: Rows, goals: Floats) -> Floats:
        return np.asarray(-np.linalg.norm(experience.read("latent", rows) - goals, axis=-1), np.float32)

    def spread(rows: Rows, goals: Floats) -> Floats:
        return np.full(len(rows), 0.1, np.float32)

    return GoalContext(experience, representation, np.random.default_rng([seed, 18]), commanded, value, 3, spread, 0.5)


def pictures_of(states: Floats) -> NDArray[np.uint8]:
    """Return (n, SIDE, SIDE, 3) pictures with a patch where the first two coordinates (n, d) are."""
    pictures = np.full((len(states), SIDE, SIDE, 3), 40, np.uint8)
    places = ((states[:, [0, min(1, states.shape[1] - 1)]] / BOUND + 1) / 2 * (SIDE - 4)).astype(int)
    for picture, (column, row) in zip(pictures, places):
        picture[row : row + 4, column : column + 4] = 220
    return pictures
