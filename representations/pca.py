"""Principal components of the pictures: the linear control for every learned representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from representations.api import DrawRows, Experience, Floats, Observations
from representations.checks import at_least, image_size, one_of
from representations.chunks import in_chunks
from representations.components import principal, random_basis
from representations.holdout import HoldOut
from representations.state import array


class PCA:
    """Latent (n, d): the leading principal components of the frames under `key`, fitted by scikit-learn.

    Not whitened, so that Euclidean latent distance is the distance between pictures (root of the summed squared difference, pixels in
    [0, 1]) as far as d components show it; `whiten` gives every component unit variance, which lets small ones dominate.
    downsample: 1, or 2 to average 2 × 2 pixels first (a quarter of the time). frames: most frames that a fit looks at.
    Raises `UserError` where `key` is no picture or an argument is out of range.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = True

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        seed: int = 0,
        device: str = "cpu",
        latent_dim: int = 8,
        whiten: bool = False,
        downsample: int = 2,
        frames: int = 10_000,
        key: str = "image",
    ) -> None:
        height, width, channels = image_size(observation_space, key, "PCA")
        at_least("PCA", "latent_dim", latent_dim, 1)
        at_least("PCA", "frames", frames, 2)
        one_of("PCA", "downsample", str(downsample), ("1", "2"))
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._device = device
        self._whiten, self._factor, self._frames = whiten, downsample, frames
        # odd sizes lose their last row or column to the averaging
        self._shape = (height, width, channels)
        self._grid = (height // downsample, width // downsample, channels)
        pixels = int(np.prod(self._grid))
        self._mean = np.zeros(pixels, np.float32)
        # before the first fit: a fixed random projection, so that practice can start and latents are not all equal
        self._components = random_basis(pixels, latent_dim, seed)
        self._variance = np.ones(latent_dim, np.float32)

    def _flatten(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Return (n, p) float32 rows whose Euclidean distances approximate those of the full pictures with pixels in [0, 1]."""
        height, width, channels = self._grid
        f = self._factor
        blocks = torch.as_tensor(np.asarray(images)[:, : height * f, : width * f]).to(self._device)
        blocks = blocks.view(-1, height, f, width, f, channels)
        return blocks.to(torch.float32).mean(dim=(2, 4)).flatten(1) * (f / 255.0)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 component scores of uint8 pictures (n, H, W, c)."""
        mean, projection = torch.as_tensor(self._mean), torch.as_tensor(self._components).T
        scale = torch.as_tensor(np.sqrt(self._variance)) if self._whiten else torch.ones(self.latent_dim)
        mean, projection, scale = mean.to(self._device), projection.to(self._device), scale.to(self._device)
        images = torch.as_tensor(observations[self.keys[0]])
        return in_chunks(lambda chunk: (self._flatten(chunk.numpy()) - mean) @ projection / scale, images, self.latent_dim)

    def decode(self, latents: Floats) -> NDArray[np.uint8]:
        """Return the (n, H, W, c) uint8 pictures that latents (n, d) stand for; clipped to the valid range."""
        scores = latents * np.sqrt(self._variance) if self._whiten else latents
        flat = (self._mean + scores @ self._components) * (255.0 / self._factor)
        small = np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(-1, *self._grid)
        large = small.repeat(self._factor, axis=1).repeat(self._factor, axis=2)
        missing = [(0, 0), *((0, full - had) for full, had in zip(self._shape, large.shape[1:]))]
        return np.pad(large, missing, mode="edge")

    def prior(self, n: int, generator: np.random.Generator) -> Floats:
        """Return (n, d) latents from the Gaussian that the fitted frames have (probabilistic PCA)."""
        spread = 1.0 if self._whiten else np.sqrt(self._variance)
        return (generator.standard_normal((n, self.latent_dim)) * spread).astype(np.float32)

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Fit on at most `frames` drawn rows; return the explained share of variance and the held-out error (per pixel, in [0, 1])."""
        held_out = HoldOut(experience)
        rows = held_out.drop(draw(min(self._frames, experience.size)))
        flat = self._flatten(experience.read(self.keys[0], rows)).cpu().numpy()
        self._mean = flat.mean(axis=0)
        self._components, variance = principal(flat, self.latent_dim, generator)
        # a component without variance would be divided by zero when whitening; its score is zero whatever the divisor
        floor = 1e-8 * max(float(variance.max()), 1.0)
        self._variance = np.maximum(variance, floor).astype(np.float32)
        total = float(flat.var(axis=0, ddof=1).sum()) if len(flat) > 1 else 0.0
        metrics = {"explained_variance": float(variance.sum()) / total if total > 0 else 1.0, "fit_frames": float(len(rows))}
        return metrics | self._score(experience, held_out.rows(generator))

    def _score(self, experience: Experience, rows: NDArray[np.int64]) -> dict[str, float]:
        if not len(rows):
            return {}
        images = experience.read(self.keys[0], rows)
        error = (self.decode(self.encode({self.keys[0]: images})).astype(np.float32) - images) / 255.0
        return {"reconstruction_mse": float(np.square(error).mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self._mean, "components": self._components, "variance": self._variance}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        mean = array(state, "mean", "PCA", self._mean.shape)
        components = array(state, "components", "PCA", self._components.shape)
        self._variance = array(state, "variance", "PCA", self._variance.shape)
        self._mean, self._components = mean, components
