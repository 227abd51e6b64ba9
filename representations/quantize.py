"""A codebook that follows the encoder by moving averages, and puts codes that nothing uses where the error is largest."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

DECAY = 0.98  # of the averages, per step
ALIVE = 0.25  # a code that fewer vectors of a batch use, on average, is restarted
EVERY = 20  # steps between restarts
JITTER = 1e-2  # of the vectors' deviation, added to a restarted code, so that no two codes are equal


class Quantiser(nn.Module):
    """Replaces each vector by the nearest of `codes` codes of `width` entries.

    The codebook is no parameter: each code is the moving average of the vectors that chose it (van den Oord et al. 2017, appendix), which
    needs no learning rate. A code falls out of use when the encoder drifts away from it; without restarts most do, and few remain.
    """

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.codebook: torch.Tensor
        self.counts: torch.Tensor
        self.sums: torch.Tensor
        self.fitted: torch.Tensor
        self.register_buffer("codebook", torch.randn(codes, width))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", self.codebook.clone())
        self.register_buffer("fitted", torch.zeros(()))  # 1 once the codes were drawn from data

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (n,) int64 indices of the codes nearest to vectors (n, c)."""
        # |x - e|² without |x|², which does not change the order; one matrix product
        offsets = -0.5 * self.codebook.square().sum(dim=1)
        return torch.addmm(offsets, vectors, self.codebook.T).argmax(dim=1)

    def lookup(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (n,) int64 like `nearest`, by differences: a vector that is a code finds exactly that code, however close others are."""
        found = [
            torch.cdist(part, self.codebook, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
            for part in torch.split(vectors, 4096)
        ]
        return torch.cat(found) if found else vectors.new_zeros(0, dtype=torch.long)

    def start(self, vectors: torch.Tensor, noise: torch.Generator) -> None:
        """Draw the codebook from vectors (n, c): far ones first, as k-means++ does (Arthur and Vassilvitskii 2007)."""
        self._put(torch.arange(len(self.codebook)), spread_out(vectors, len(self.codebook), None, noise), vectors, noise)
        self.fitted.fill_(1.0)

    def update(self, vectors: torch.Tensor, chosen: torch.Tensor) -> None:
        """Move the codes toward the mean of the vectors (n, c) that chose them (n,)."""
        self.counts.lerp_(torch.bincount(chosen, minlength=len(self.counts)).to(self.counts), 1 - DECAY)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, chosen, vectors), 1 - DECAY)
        # a code without use keeps its place: its count and its sum shrink alike
        self.codebook.copy_(self.sums / self.counts.clamp_min(1e-12)[:, None])

    def restart(self, vectors: torch.Tensor, noise: torch.Generator) -> int:
        """Move every code out of use to one of vectors (n, c), those far from their code first; return how many moved."""
        dead = (self.counts < ALIVE).nonzero()[:, 0]
        if len(dead):
            self._put(dead, spread_out(vectors, len(dead), self.codebook[self.nearest(vectors)], noise), vectors, noise)
        return len(dead)

    def _put(self, where: torch.Tensor, rows: torch.Tensor, vectors: torch.Tensor, noise: torch.Generator) -> None:
        spread = vectors.std(dim=0, correction=0).clamp_min(1e-3)
        places = vectors[rows] + JITTER * spread * torch.randn(len(rows), vectors.shape[1], generator=noise).to(vectors)
        self.codebook[where] = places
        self.sums[where] = places
        self.counts[where] = 1.0


def spread_out(vectors: torch.Tensor, count: int, near: torch.Tensor | None, noise: torch.Generator) -> torch.Tensor:
    """Return `count` row numbers of vectors (n, c), each drawn in proportion to the squared distance from what is covered already.

    near: (n, c) the point that covers each vector now; None where nothing does. Uniform once every vector is covered exactly.
    """
    # far too many to look at all; one draw of a number per row on the CPU is the same on every device
    subset = torch.randperm(len(vectors), generator=noise)[:8192].to(vectors.device)
    points = vectors[subset]
    gap = torch.ones(len(points), device=points.device) if near is None else (points - near[subset]).square().sum(dim=1)
    draws = torch.rand(count, generator=noise, dtype=torch.float64).tolist()
    rows = []
    for step, draw in enumerate(draws):
        total = gap.double().cumsum(0)
        if float(total[-1]) <= 0.0:
            total = torch.arange(1, len(points) + 1, device=points.device, dtype=torch.float64)
        at = min(int(torch.searchsorted(total, draw * float(total[-1]), right=True)), len(points) - 1)
        rows.append(at)
        distance = (points - points[at]).square().sum(dim=1)
        gap = distance if near is None and step == 0 else torch.minimum(gap, distance)
    return subset[torch.tensor(rows, dtype=torch.long, device=subset.device)]


def usage(tokens: NDArray[np.int64], codes: int) -> dict[str, float]:
    """Return what `tokens` use of the codebook: perplexity, the exponential of their entropy, and the share of codes among none of them."""
    shares = np.bincount(tokens.ravel(), minlength=codes) / tokens.size
    used = shares[shares > 0]
    return {"perplexity": float(np.exp(-(used * np.log(used)).sum())), "dead_codes": 1.0 - len(used) / codes}
