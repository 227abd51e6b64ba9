"""An encoder that sees where things are: feature points by a softmax over places."""

from __future__ import annotations

import torch
from torch import nn

POINTS = 16
SPREAD = 3.0  # latents are about as wide as the unit Gaussian when points lie in [-1, 1]


class PointEncoder(nn.Module):
    """Pictures (n, c, H, W) in [0, 1] to Gaussian posteriors, means and log-variances, (n, d) each, linear in 16 feature points.

    Each of 16 maps is turned into the mean place of its softmax, x and y in [-1, 1]. What moves in the picture then moves the latent
    along a line, where a dense layer on the maps would fold it. Source: Finn et al. 2016, "Deep spatial autoencoders for visuomotor
    learning", section IV; here as the encoder of a VAE.
    """

    def __init__(self, height: int, width: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 6, stride=4, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, POINTS, 3, padding=1),
        )
        self.sharpness = nn.Parameter(torch.ones(POINTS, 1))
        rows, columns = self.layers(torch.zeros(1, channels, height, width)).shape[-2:]
        self.places: torch.Tensor
        self.register_buffer("places", cells(rows, columns), persistent=False)
        self.head = nn.Linear(2 * POINTS, 2 * latent_dim)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.layers(pictures).flatten(2) * self.sharpness
        means, log_variances = self.head(mean_places(maps, self.places)).chunk(2, dim=1)
        # far outside, a variance under- or overflows float32 and the loss turns into NaN
        return SPREAD * means, log_variances.clamp(-20.0, 5.0)


def cells(rows: int, columns: int) -> torch.Tensor:
    """Return (rows · columns, 2) where the cells of a map lie, each axis from -1 to 1."""
    places = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    return torch.stack(places, -1).reshape(-1, 2)


def mean_places(maps: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return (n, 2m) the mean places of the softmax of each of the maps (n, m, cells), by where their cells lie (cells, 2)."""
    return (maps.softmax(-1) @ places).flatten(1)
