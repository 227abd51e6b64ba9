"""Colour in what networks see: how much it counts beside brightness, and its channels exchanged."""

from __future__ import annotations

import torch


def coloured(pictures: torch.Tensor, weight: float) -> torch.Tensor:
    """Return pictures (n, c, H, W) with each pixel's distance from its grey, the mean of its channels, times `weight`."""
    if weight == 1.0:
        return pictures
    grey = pictures.mean(dim=1, keepdim=True)
    return torch.lerp(grey, pictures, weight)


def exchanged(channels: int, noise: torch.Generator) -> torch.Tensor:
    """Return (c,) channel numbers in an order drawn at random: things of one colour become things of another (yellow ones cyan, say)."""
    return torch.randperm(channels, generator=noise)
