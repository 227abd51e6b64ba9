"""A made-up context for goal samplers, small and of known shape, to try them on without an environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from goal_samplers.api import GoalContext, Goals
from representations.api import Floats, Representation, Rows
from representations.identity import Identity
from representations.made_up import BOUND, made_up_frames, made_up_space, pictures_of
from representations.vae import VAE
from representations.vqvae import VQVAE

# Experience that is little or all alike, by what it is called: arguments of `made_up`.
ODD: dict[str, dict[str, Any]] = {
    "one frame": {"frames": 1},
    "one episode": {"episodes": 1},
    "identical frames": {"identical": True},
    "one dimension": {"dims": 1},
}


def representation_of(dims: int, pictures: bool, codes: bool = False) -> Representation:
    """Return the identity on `dims` numbers; or, of pictures of them, an untrained VAE with as many latent dimensions, or VQ-VAE."""
    space = made_up_space(dims)
    if codes:
        return VQVAE(space, codes=8, hidden=4, prior_width=4, prior_layers=1)  # type: ignore[return-value]
    representation: Representation = VAE(space, latent_dim=dims) if pictures else Identity(space)  # type: ignore[assignment]
    return representation


def made_up(
    representation: Representation, *, episodes: int = 60, dims: int = 2, identical: bool = False, frames: int = 0, seed: int = 0
) -> GoalContext:
    """Return a context over the walks of `made_up_frames`, with the latents that `representation` makes of them.

    Commanded goals, values (minus the distance), their spread (a constant) and examples (the same for every file) are offered.
    """
    experience = made_up_frames(episodes=episodes, dims=dims, identical=identical, frames=frames, seed=seed)
    empty = np.zeros((0, representation.latent_dim), np.float32)
    experience.columns["latent"] = representation.encode(experience.columns) if experience.size else empty

    def commanded(n: int, generator: np.random.Generator) -> Goals:
        achieved = generator.uniform(-BOUND, BOUND, (n, dims)).astype(np.float32)
        images = pictures_of(achieved)
        return Goals(representation.encode({"achieved_goal": achieved, "image": images}), np.full(n, -1), images, achieved)

    def value(rows: Rows, goals: Floats) -> Floats:
        return np.asarray(-np.linalg.norm(experience.read("latent", rows) - goals, axis=-1), np.float32)

    def spread(rows: Rows, goals: Floats) -> Floats:
        return np.full(len(rows), 0.1, np.float32)

    def examples(file: str, split: str) -> Goals:
        return commanded(40, np.random.default_rng(19))

    return GoalContext(experience, representation, np.random.default_rng([seed, 18]), commanded, value, 3, spread, 0.5, examples)
