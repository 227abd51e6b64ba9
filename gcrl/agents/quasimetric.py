"""A distance that may be longer one way than the other: the interval quasimetric embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcrl.agents.networks import MLP


class Quasimetric(nn.Module):
    """d(s, g) >= 0 with d(s, s) = 0 and d(s, g) <= d(s, w) + d(w, g), between embeddings φ(s) of states (n, i).

    An embedding's entries are grouped in components of `component`; a component's distance is the length of the union of the intervals
    [x, max(x, y)]; components are joined by a learnt mixture of their mean and their maximum.
    Source: Wang & Isola 2022, "Improved representation of asymmetrical distances with interval quasimetric embeddings", section 4 (IQE).
    """

    def __init__(
        self, in_dim: int, latent: int, component: int, hidden: Sequence[int], generator: torch.Generator, layer_norm: bool
    ) -> None:
        super().__init__()
        self.component = component
        self.embed = MLP([in_dim, *hidden, latent], generator, layer_norm=layer_norm)
        self.mixing = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (n,) distances from embeddings x to embeddings y, (n, latent) each."""
        x, y = (value.reshape(len(value), -1, self.component) for value in (x, y))
        ends, order = torch.cat([x, y], -1).sort(-1)
        # How many intervals are open after each end: one more at a start, one less at an end; empty intervals never open.
        opened = (x < y).to(torch.int16)  # enough to count the components of an embedding
        change = torch.cat([opened, -opened], -1).gather(-1, order)
        covered = change.cumsum(-1, dtype=torch.int16)[..., :-1] > 0
        lengths = (ends.diff(dim=-1) * covered).sum(-1)
        share = self.mixing.sigmoid()
        return share * lengths.mean(-1) + (1.0 - share) * lengths.amax(-1)
