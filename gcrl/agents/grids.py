"""A policy that looks for things in latents that are grids of cells, such as a VQ-VAE's codes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from envs.errors import UserError
from gcrl.agents.networks import OfflineActor
from representations.points import cells, mean_places


class GridPoints(nn.Module):
    """Rows (n, d + r + d) of latent, r numbers beside it and goal to features (n, 3·maps + r): what is where, and those numbers.

    Latent and goal are grids (rows, columns, c), laid over one another, so that the first layer compares what lies at the same place. Two
    3×3 convolutions make `maps` maps of them; of each the features are the mean place of its softmax, x and y in [-1, 1] (Finn et al.
    2016, "Deep spatial autoencoders for visuomotor learning", section IV), and its largest entry, between -1 and 1. A thing of a few cells
    is found by the same weights wherever it lies, where a dense layer has to learn of each place by itself.
    """

    def __init__(self, grid: Sequence[int], maps: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns, entries = self.grid = tuple(grid)
        self.size = rows * columns * entries
        self.layers = nn.Sequential(nn.Conv2d(2 * entries, maps, 3, padding=1), nn.ReLU(), nn.Conv2d(maps, maps, 3, padding=1))
        for layer, channels in ((self.layers[0], 2 * entries), (self.layers[2], maps)):
            bound = 1.0 / math.sqrt(9 * channels)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        self.sharpness = nn.Parameter(torch.ones(maps, 1))
        self.places: Tensor
        self.register_buffer("places", cells(rows, columns), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        here, there = x[:, : self.size], x[:, -self.size :]
        both = torch.cat([one.reshape(-1, *self.grid) for one in (here, there)], -1)
        maps = self.layers(both.permute(0, 3, 1, 2)).flatten(2) * self.sharpness
        return torch.cat([mean_places(maps, self.places), maps.amax(-1).tanh(), x[:, self.size : -self.size]], -1)


class GridActor(OfflineActor):
    """An `OfflineActor` of rows (n, d + r + d) by what `GridPoints` finds in them."""

    def __init__(
        self, grid: Sequence[int], beside: int, maps: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__(3 * maps + beside, action_dim, hidden, generator)
        self.points = GridPoints(grid, maps, generator)

    def mode(self, x: Tensor) -> Tensor:
        return super().mode(self.points(x))


def grid_of(owner: str, grid: Sequence[int], input_dim: int, goal_dim: int) -> tuple[int, ...]:
    """Return `grid` (rows, columns, entries of a cell), () for none; raises `UserError` unless goals are such, and inputs begin so."""
    sizes = tuple(grid) if isinstance(grid, Sequence) and not isinstance(grid, str) else (grid,)
    if not sizes:
        return ()
    whole = len(sizes) == 3 and all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in sizes)
    if not whole or math.prod(sizes) != goal_dim or input_dim < goal_dim:
        raise UserError(
            f"{owner} grid={list(sizes)} with goals of {goal_dim} numbers and inputs of {input_dim}; expected [rows, columns, entries of a "
            f"cell] with that product, as representation=vqvae has at 48 pixels: [12, 12, 5], and practice.inputs=[latent, ...]; or []"
        )
    return sizes
