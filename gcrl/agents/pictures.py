"""Networks of agents that learn from pictures end to end: a convolutional encoder, and actor and critics with a trunk each.

Yarats et al. 2021, "Mastering visual continuous control: improved data-augmented reinforcement learning" (DrQ-v2), section 3 and app. B.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl.agents.networks import MLP, Critics, GaussianActor

# DrQ-v2's four 3×3 layers; its second one does not stride. At 48 px that one would take half of an update's time, and these leave
# 7×7 cells there.
STRIDES = (2, 2, 1, 1)
SMALLEST = 24  # pixels of a side for which a cell is left


class PictureEncoder(nn.Module):
    """Square pictures (n, side, side, c) in ±0.5 to features (n, `width`), by unpadded convolutions of `maps` channels each.

    Initialised orthogonally from `generator`, as in DrQ. mixed_precision: convolve in bfloat16, as in Micikevicius et al. 2018, "Mixed
    precision training"; parameters, their gradients and the features stay single precision.
    """

    def __init__(self, side: int, channels: int, maps: int, generator: torch.Generator, *, mixed_precision: bool = False) -> None:
        super().__init__()
        self.mixed_precision = mixed_precision
        layers: list[nn.Module] = []
        for stride in STRIDES:
            convolution = nn.Conv2d(channels, maps, 3, stride=stride)
            nn.init.orthogonal_(convolution.weight, math.sqrt(2.0), generator=generator)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            layers += [convolution, nn.ReLU(inplace=True)]
            channels, side = maps, (side - 3) // stride + 1
        self.layers = nn.Sequential(*layers)
        self.width = maps * side * side

    def forward(self, pictures: Tensor) -> Tensor:
        # Channels lie innermost already, which is the order that convolutions are fastest in.
        with torch.autocast(pictures.device.type, torch.bfloat16) if self.mixed_precision else contextlib.nullcontext():
            features: Tensor = self.layers(pictures.permute(0, 3, 1, 2))
        return features.flatten(1).float()


class Trunk(nn.Module):
    """Rows (n, width + r) to (n, features + r): their first `width` entries through linear layer, LayerNorm and tanh; the rest as it is."""

    def __init__(self, width: int, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        self.project = MLP([width, features], generator)
        self.gain, self.shift = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Return the rows; `frozen` as in `MLP`."""
        gain, shift = (self.gain.detach(), self.shift.detach()) if frozen else (self.gain, self.shift)
        # oneDNN takes a thousand times as long for the gradient of a product with a slice that does not lie in one piece.
        features = x[:, : self.width].contiguous()
        seen = F.layer_norm(self.project(features, frozen), gain.shape, gain, shift).tanh()
        return torch.cat([seen, x[:, self.width :]], -1)


class TrunkedActor(GaussianActor):
    """A `GaussianActor` behind a trunk: of rows (n, width + rest)."""

    def __init__(self, width: int, features: int, rest: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__(features + rest, action_dim, hidden, generator)
        self.trunk = Trunk(width, features, generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(self.trunk(x))

    def mode(self, x: Tensor) -> Tensor:
        return super().mode(self.trunk(x))


class TrunkedCritics(Critics):
    """`Critics` behind a trunk that they share: of rows (n, width + rest), actions among the rest."""

    def __init__(
        self, members: int, width: int, features: int, rest: int, hidden: Sequence[int], generator: torch.Generator, *, layer_norm: bool
    ) -> None:
        super().__init__(members, features + rest, hidden, generator, layer_norm=layer_norm)
        self.trunk = Trunk(width, features, generator)

    def forward(self, x: Tensor, frozen: bool = False, members: int | None = None) -> Tensor:
        return super().forward(self.trunk(x, frozen), frozen, members)
