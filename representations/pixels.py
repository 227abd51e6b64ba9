"""The picture itself as the latent: what an agent that learns end to end from pixels practises in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import UserError
from representations.api import DrawRows, Experience, Floats, Observations
from representations.checks import image_size


class Pixels:
    """Latent (n, d) = the flattened picture, d = height · width · channels in this order, float32 in [0, 1]; nothing is fitted.

    key: the observation that holds the picture. Replay keeps pictures as bytes already, so it stores no latents beside them
    (``stored_as``) and reads them by `as_latents`.
    Raises `UserError` where the environment does not observe pictures under `key`.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = False

    def __init__(self, observation_space: spaces.Dict, *, seed: int = 0, device: str = "cpu", key: str = "image") -> None:
        self._shape = image_size(observation_space, key, "Pixels")
        self.keys, self.stored_as = (key,), key
        self.latent_dim = int(np.prod(self._shape))

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 in [0, 1]."""
        return as_latents(np.asarray(observations[self.stored_as]))

    def decode(self, latents: Floats) -> NDArray[np.uint8]:
        """Return the pictures (n, H, W, C) nearest to latents (n, d)."""
        pictures: NDArray[np.uint8] = np.rint(np.clip(latents, 0.0, 1.0) * 255).astype(np.uint8)
        return pictures.reshape(-1, *self._shape)

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Do nothing; return no metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            raise UserError(
                f"the saved state of Pixels has {', '.join(state)}; expected none: was the run made with another representation?"
            )


def as_latents(pictures: NDArray[np.uint8]) -> Floats:
    """Return pictures (n, ...) of bytes as latents (n, d) in [0, 1]."""
    width = int(np.prod(pictures.shape[1:]))  # not -1, which no pictures at all leave open
    return np.multiply(pictures.reshape(len(pictures), width), np.float32(1 / 255), dtype=np.float32)
