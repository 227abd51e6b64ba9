"""The convolutional encoder and decoder of the VQ-VAE, sized for one CPU thread."""

from __future__ import annotations

import torch
from torch import nn

from representations.colour import coloured
from representations.quantize import Quantiser


class Residual(nn.Module):
    """Adds what a 3 × 3 and a 1 × 1 convolution make of maps (n, c, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = maps + self.layers(maps)
        return result


class VQNetworks(nn.Module):
    """Encoder, codebook, decoder and mean picture under one roof, so that they share an optimiser and a state.

    All layers work at the resolution of the code grid: one convolution strides down to it, a pixel shuffle comes back, since layers at full
    resolution would take most of the time. Sizes that `factor` does not divide are padded at the lower and right edge.
    colour_weight: how many times as much a pixel's colour counts as its brightness, in what is seen and drawn.
    """

    def __init__(
        self, height: int, width: int, channels: int, codes: int, code_dim: int, factor: int, hidden: int, colour_weight: float = 1.0
    ) -> None:
        super().__init__()
        self._size, self._colour_weight = (height, width), colour_weight
        self.grid = (-(-height // factor), -(-width // factor))
        self._padding = (0, self.grid[1] * factor - width, 0, self.grid[0] * factor - height)
        self.mean: torch.Tensor
        self.variance: torch.Tensor
        self.register_buffer("mean", torch.full((channels, height, width), 0.5))  # of the frames of the first fit
        self.register_buffer("variance", torch.ones(()))  # of a pixel around it
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, hidden, factor + 2, stride=factor, padding=1),
            Residual(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, code_dim, 1),
        )
        self.quantiser = Quantiser(codes, code_dim)
        self.decoder = nn.Sequential(
            nn.Conv2d(code_dim, hidden, 3, padding=1),
            Residual(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, channels * factor**2, 3, padding=1),
            nn.PixelShuffle(factor),
        )

    def pictures(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, c, H, W) float32 of uint8 (n, H, W, c): pixels in [0, 1] minus the mean picture, colour weighted."""
        pixels: torch.Tensor = images.to(self.mean.device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return coloured(pixels - self.mean, self._colour_weight)

    def images(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (n, c, H, W) uint8 of what `pictures` returned."""
        pixels = coloured(pictures, 1.0 / self._colour_weight) + self.mean
        return pixels.mul_(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)

    def vectors(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (n, h, w, code_dim) what the encoder makes of centred pictures, before quantisation."""
        if any(self._padding):
            pictures = nn.functional.pad(pictures, self._padding, mode="replicate")
        maps: torch.Tensor = self.encoder(pictures)
        return maps.permute(0, 2, 3, 1)

    def quantised(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (n, h · w · code_dim) the nearest codes of centred pictures."""
        vectors = self.vectors(pictures).flatten(0, 2)
        return self.quantiser.codebook[self.quantiser.nearest(vectors)].view(len(pictures), -1)

    def drawn(self, codes: torch.Tensor) -> torch.Tensor:
        """Return (n, c, H, W) the centred pictures of codes (n, h, w, code_dim)."""
        pictures: torch.Tensor = self.decoder(codes.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last))
        return pictures[:, :, : self._size[0], : self._size[1]]
