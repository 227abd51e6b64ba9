"""One network for pictures and for states: what the representations that learn from time have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from envs.errors import UserError, did_you_mean
from representations.api import Floats, Observations
from representations.checks import at_least, image_size, one_of
from representations.chunks import in_chunks
from representations.conv import ENCODERS
from representations.init import seeded

UNITS = 128  # of the layer in a head on latents
SMALLEST = 0.05  # of the widest state entry's deviation: below it an entry is not enlarged any further


class Embedding(nn.Module):
    """Observations to (n, d): pictures through the encoder's features, states through a dense network with layer normalisation.

    shape: of one observation, (H, W, c) of a picture or that of a state, which is flattened. hidden: units of the dense layers; a picture's
    features are as many as the first of them. encoder: one of ENCODERS, for pictures.
    """

    def __init__(self, shape: Sequence[int], pictures: bool, latent_dim: int, hidden: Sequence[int], encoder: str) -> None:
        super().__init__()
        self.pictures = pictures
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        if pictures:
            height, width, channels = shape
            self.features = ENCODERS[encoder](height, width, channels, hidden[0])
            self.register_buffer("mean", torch.zeros(channels, height, width))
            self.register_buffer("scale", torch.ones(1))
            # the encoder ends in a linear layer already
            layers: list[nn.Module] = [nn.LayerNorm(hidden[0]), nn.GELU()]
        else:
            entries = int(np.prod(shape))
            self.register_buffer("mean", torch.zeros(entries))
            self.register_buffer("scale", torch.ones(entries))
            layers = [nn.Linear(entries, hidden[0]), nn.LayerNorm(hidden[0]), nn.GELU()]
        for before, after in itertools.pairwise(hidden):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU()]
        self.dense = nn.Sequential(*layers, nn.Linear(hidden[-1], latent_dim))

    def raw(self, observations: NDArray[Any] | torch.Tensor) -> torch.Tensor:
        """Return observations as they are stored as float32 on the network's device: pictures (n, c, H, W) in [0, 1], states (n, k)."""
        given = torch.as_tensor(observations).to(self.mean.device)
        if self.pictures:
            return given.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return given.to(torch.float32).reshape(len(given), self.mean.numel())

    def centre(self, observations: NDArray[Any]) -> None:
        """Standardise inputs by what `observations` (n, ...) have: states entry by entry, pictures by their mean and one deviation."""
        given = self.raw(observations)
        self.mean.copy_(given.mean(dim=0))
        if self.pictures:
            deviation = (given - self.mean).square().mean().sqrt()[None]
        else:
            deviation = given.std(dim=0, correction=0)
            # an entry that hardly moved yet may move far later: enlarged without bounds it would then drown the others
            deviation = deviation.clamp(min=SMALLEST * float(deviation.max()))
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        inputs = (raw - self.mean) / self.scale
        if self.pictures:
            inputs = self.features(inputs)[0]  # the means; the log-variances of a VAE's posterior have no use here
        latents: torch.Tensor = self.dense(inputs)
        return latents

    def encode(self, observations: Observations, key: str) -> Floats:
        """Return (n, d) float32 latents of a batch of observations."""
        given = np.asarray(observations[key])
        given = given if self.pictures else given.astype(np.float32)
        return in_chunks(lambda chunk: self(self.raw(chunk)), torch.as_tensor(given), self.dense[-1].out_features)  # type: ignore[arg-type]


def embedding(
    space: spaces.Dict, key: str, owner: str, *, latent_dim: int, hidden: Sequence[int], encoder: str, seed: int, device: str
) -> Embedding:
    """Return the network for what `space` has under `key`, with weights that follow from `seed` alone.

    Raises `UserError` naming `owner` where `key` is neither pictures nor a Box of numbers, or an argument is out of range.
    """
    at_least(owner, "latent_dim", latent_dim, 1)
    one_of(owner, "encoder", encoder, tuple(ENCODERS))
    if not len(hidden):
        raise UserError(f"{owner}: hidden = []; expected the units of at least one layer, such as [256, 256]")
    for units in hidden:
        at_least(owner, "hidden", units, 1)
    if key not in space.spaces:
        raise UserError(
            f"{owner} reads '{key}', which the environment does not observe{did_you_mean(key, space)}; it observes: {', '.join(space)}"
        )
    box = space[key]
    if not isinstance(box, spaces.Box) or (len(box.shape) != 3 and not np.issubdtype(box.dtype, np.floating)):
        raise UserError(f"{owner} reads '{key}'; expected pictures (uint8, height x width x channels) or a Box of floats, got {box}")
    pictures = len(box.shape) == 3
    shape = image_size(space, key, owner) if pictures else box.shape
    built = seeded(lambda: Embedding(shape, pictures, latent_dim, hidden, encoder), seed)
    if pictures:
        built = built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return built.to(torch.device(device))


def two_layers(inputs: int, outputs: int) -> nn.Sequential:
    """Return a dense network with one layer of `UNITS` between."""
    return nn.Sequential(nn.Linear(inputs, UNITS), nn.LayerNorm(UNITS), nn.GELU(), nn.Linear(UNITS, outputs))
