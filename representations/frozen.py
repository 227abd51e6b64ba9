"""Frozen features: what a network that the user has on disk makes of the pictures, reduced to a few entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from envs.errors import UserError
from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, image_size
from representations.chunks import in_chunks
from representations.components import principal, random_basis
from representations.holdout import HoldOut
from representations.modules import weighted
from representations.state import array, entry

PART = 32  # pictures that the module sees at a time: large networks fill memory


class Frozen:
    """Latent (n, d): leading principal components of the features that a torch module of the user's has of the pictures.

    path: a .safetensors file of the module's weights, by the names of its ``state_dict``. module: its class, ``package.module:Class``;
    arguments: what the class is called with. Nothing is unpickled, and nothing is downloaded: TorchScript files, and the .pt2 archives of
    ``torch.export``, are not read, since torch unpickles parts of them (seen in torch 2.13: `torch.export.load` calls `torch.load` with
    ``weights_only=False``). ``safetensors.torch.save_file(module.state_dict(), path)`` makes the file from any module.
    The module is called in eval mode on float32 pictures (n, c, H, W) in [0, 1], resized to `resize` x `resize` pixels (0: as they are)
    and, channel by channel, minus `mean` over `std` (null: 0 and 1); what it returns is flattened to (n, features).
    The components are fitted by scikit-learn on at most `frames` training rows and not whitened; one factor for all of them makes the
    mean variance of an entry 1, so that ratios of distances stay those of the features while their unit does not depend on the network.
    A run keeps the components and a checksum of the file, not the weights: to go on it needs the file.
    Source: pretrained features as the state of control, e.g. Parisi et al. 2022, "The unsurprising effectiveness of pre-trained vision
    models for control". Raises `UserError` where `key` is no picture, the file or class is missing or does not match, the module fails on
    two pictures or returns anything but a float tensor (2, ...), or an argument is out of range.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = True

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        seed: int = 0,
        device: str = "cpu",
        path: str,
        module: str,
        arguments: Mapping[str, Any] | None = None,
        latent_dim: int = 16,
        resize: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        frames: int = 4096,
        key: str = "image",
    ) -> None:
        height, width, channels = image_size(observation_space, key, "Frozen")
        at_least("Frozen", "latent_dim", latent_dim, 1)
        at_least("Frozen", "resize", resize, 0)
        at_least("Frozen", "frames", frames, 2)
        self._mean, self._std = _per_channel("mean", mean, channels, 0.0), _per_channel("std", std, channels, 1.0)
        if (self._std <= 0).any():
            raise UserError(f"Frozen: std = {list(std or ())}; expected numbers above 0")
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._device, self._resize, self._frames = torch.device(device), resize, frames
        self._module = weighted(path, module, arguments or {}, seed, "Frozen").to(self._device)
        self._digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        features = self._checked(module, torch.zeros(2, height, width, channels, dtype=torch.uint8)).shape[1]
        if latent_dim > features:
            raise UserError(f"Frozen: latent_dim = {latent_dim}, but {module} yields {features} features a picture; expected at most that")
        self._offset = np.zeros(features, np.float32)
        # before the first fit: a fixed random projection, so that practice can start and latents are not all equal
        self._components = random_basis(features, latent_dim, seed)
        self._unit = np.ones(1, np.float32)

    def _checked(self, name: str, images: torch.Tensor) -> torch.Tensor:
        """Return the features of `images`; raise `UserError` where the module fails or returns what cannot be used."""
        try:
            with torch.inference_mode():
                found = self._module(self._inputs(images))
        except Exception as error:  # the module is the user's: anything may happen in it
            raise UserError(
                f"Frozen: {name} fails on pictures {tuple(self._inputs(images).shape)}: {type(error).__name__}: "
                f"{error}; expected a module that takes them, perhaps with another resize"
            ) from error
        if not isinstance(found, torch.Tensor) or not found.is_floating_point() or found.dim() < 2 or len(found) != len(images):
            shown = f"a {found.dtype} tensor {tuple(found.shape)}" if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
            raise UserError(f"Frozen: {name} returns {shown} for {len(images)} pictures; expected a float tensor ({len(images)}, ...)")
        return found.flatten(1)

    def _inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the module is called with, (n, c, h, w) float32, of uint8 pictures (n, H, W, c)."""
        pictures = images.to(self._device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
        if self._resize:
            size = (self._resize, self._resize)
            pictures = nn.functional.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)
        return (pictures.contiguous() - self._mean.to(self._device)) / self._std.to(self._device)

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, f) float32 features of uint8 pictures."""
        parts: list[torch.Tensor] = [self._module(self._inputs(part)).flatten(1).to(torch.float32) for part in torch.split(images, PART)]
        return torch.cat(parts)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 component scores of uint8 pictures (n, H, W, c), in units of their root mean variance."""
        offset, projection = (torch.as_tensor(given).to(self._device) for given in (self._offset, self._components.T / self._unit))
        images = torch.as_tensor(np.asarray(observations[self.keys[0]]))
        return in_chunks(lambda chunk: (self._features(chunk) - offset) @ projection, images, self.latent_dim)

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Fit the components anew on at most `frames` rows that `draw` yields; the module stays as it is.

        Metrics: ``explained_variance`` of the features on training rows and ``held_out_explained_variance``; ``fit_frames``.
        Raises `FloatingPointError` where a feature is not finite.
        """
        held_out = HoldOut(experience)
        rows = held_out.drop(draw(min(self._frames, experience.size)))
        different, which = np.unique(rows, return_inverse=True)
        flat = self._read(experience, different)[which]
        self._offset = flat.mean(axis=0)
        self._components, variance = principal(flat, self.latent_dim, generator)
        self._unit = np.array([np.sqrt(variance.mean()) if variance.any() else 1.0], np.float32)
        metrics = {"explained_variance": self._explained(flat), "fit_frames": float(len(rows))}
        held = held_out.rows(generator)
        return metrics | ({"held_out_explained_variance": self._explained(self._read(experience, held))} if len(held) else {})

    def _read(self, experience: Experience, rows: Rows) -> Floats:
        images = (torch.as_tensor(experience.read(self.keys[0], part)) for part in np.split(rows, range(256, len(rows), 256)))
        with torch.inference_mode():
            flat: Floats = torch.cat([self._features(part) for part in images]).cpu().numpy()
        if not np.isfinite(flat).all():
            raise FloatingPointError(
                f"Frozen: {int((~np.isfinite(flat)).any(axis=1).sum())} of {len(rows)} pictures have features that are not finite"
            )
        return flat

    def _explained(self, flat: Floats) -> float:
        """Return the share of the features' squared distance from the fitted mean that the components hold."""
        centred = flat - self._offset
        total = float(np.square(centred, dtype=np.float64).sum())
        return float(np.square(centred @ self._components.T, dtype=np.float64).sum()) / total if total > 0 else 1.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "mean": self._offset.copy(),
            "components": self._components.copy(),
            "unit": self._unit.copy(),
            "weights_sha256": self._digest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if entry(state, "weights_sha256", "Frozen") != self._digest:
            raise UserError(
                "Frozen: the weights file is not the one that the saved state was fitted with; expected the same file under `path`"
            )
        mean = array(state, "mean", "Frozen", self._offset.shape)
        components = array(state, "components", "Frozen", self._components.shape)
        self._unit = array(state, "unit", "Frozen", (1,))
        self._offset, self._components = mean, components


def _per_channel(name: str, values: Sequence[float] | None, channels: int, default: float) -> torch.Tensor:
    """Return (c, 1, 1) of one number per channel; raise `UserError` where there are more or fewer."""
    found: NDArray[np.float32] = np.full(channels, default, np.float32) if values is None else np.asarray(values, dtype=np.float32)
    if found.shape != (channels,) or not np.isfinite(found).all():
        raise UserError(f"Frozen: {name} = {values}; expected {channels} finite numbers, one per channel, or null")
    return torch.as_tensor(found).view(channels, 1, 1)
