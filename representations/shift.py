"""Random shifts of pictures, so that an embedding learns what is in them and not where the camera's frame begins."""

from __future__ import annotations

import torch


def random_shift(pictures: torch.Tensor, most: int, noise: torch.Generator) -> torch.Tensor:
    """Return pictures (n, c, H, W), each moved by its own whole number of pixels within ±`most` each way; edges are repeated.

    Source: Yarats et al. 2021, "Image augmentation is all you need". The numbers come from the CPU: the same on every device.
    """
    n, channels, height, width = pictures.shape
    moves = torch.randint(-most, most + 1, (2, n, 1), generator=noise).to(pictures.device)
    rows = (torch.arange(height, device=pictures.device) + moves[0]).clamp_(0, height - 1)
    columns = (torch.arange(width, device=pictures.device) + moves[1]).clamp_(0, width - 1)
    # looked up pixel by pixel in channels-last order, in which a pixel's channels lie together
    first = height * torch.arange(n, device=pictures.device)
    places = (width * (rows + first[:, None]))[:, :, None] + columns[:, None, :]
    flat = pictures.permute(0, 2, 3, 1).reshape(-1, channels)
    return flat.index_select(0, places.flatten()).view(n, height, width, channels).permute(0, 3, 1, 2)
