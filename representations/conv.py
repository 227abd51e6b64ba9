"""The convolutional encoder and decoder of the picture VAE, sized for one CPU thread."""

from __future__ import annotations

import torch
from torch import nn

from representations.points import PointEncoder

STRIDE = 16  # pixels that one cell of the last feature map stands for
CHANNELS = (16, 32, 64)


def grid(height: int, width: int) -> tuple[int, int]:
    """Return the size of the last feature map of a (height, width) picture."""
    return -(-height // STRIDE), -(-width // STRIDE)


class Encoder(nn.Module):
    """Pictures (n, c, H, W) in [0, 1] to Gaussian posteriors: means and log-variances, (n, d) each.

    16/32/64 channels as in RIG and Skew-Fit; the first layer strides by 4, where a full-resolution layer spends most of the time.
    Sizes that 16 does not divide are padded at the lower and right edge.
    """

    def __init__(self, height: int, width: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        rows, columns = grid(height, width)
        self._padding = (0, columns * STRIDE - width, 0, rows * STRIDE - height)
        a, b, c = CHANNELS
        self.layers = nn.Sequential(
            nn.Conv2d(channels, a, 6, stride=4, padding=1),
            nn.ReLU(),
            nn.Conv2d(a, b, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(b, c, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(c * rows * columns, 2 * latent_dim)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if any(self._padding):
            pictures = nn.functional.pad(pictures, self._padding, mode="replicate")
        means, log_variances = self.head(self.layers(pictures)).chunk(2, dim=1)
        # far outside, a variance under- or overflows float32 and the loss turns into NaN
        return means, log_variances.clamp(-20.0, 5.0)


class Decoder(nn.Module):
    """Latents (n, d) to the means of pictures (n, c, H, W), nominally in [0, 1] but not squashed to it.

    Mirrors `Encoder`; the last four-fold enlargement is one convolution and a pixel shuffle, a third of a transposed convolution's time.
    """

    def __init__(self, height: int, width: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        self._height, self._width = height, width
        self._rows, self._columns = grid(height, width)
        c, b, a = CHANNELS[::-1]
        self._top = c
        self.head = nn.Linear(latent_dim, c * self._rows * self._columns)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(c, b, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(b, a, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(a, channels * 16, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        features = self.head(latents).view(-1, self._top, self._rows, self._columns)
        pictures: torch.Tensor = self.layers(features.contiguous(memory_format=torch.channels_last))
        return pictures[:, :, : self._height, : self._width]


ENCODERS: dict[str, type[nn.Module]] = {"conv": Encoder, "points": PointEncoder}


class PictureNetworks(nn.Module):
    """Encoder, decoder and mean picture under one roof, so that they share an optimiser and a state."""

    mean: torch.Tensor  # (c, H, W) of the frames of the first fit, where they are centred
    encoder: nn.Module
    decoder: Decoder

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels, height, width), 0.5))


class Networks(PictureNetworks):
    """What a VAE is made of; encoder: one of ENCODERS."""

    def __init__(self, height: int, width: int, channels: int, latent_dim: int, encoder: str = "conv") -> None:
        super().__init__(height, width, channels)
        self.encoder = ENCODERS[encoder](height, width, channels, latent_dim)
        self.decoder = Decoder(height, width, channels, latent_dim)
