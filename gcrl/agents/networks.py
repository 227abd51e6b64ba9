"""Small fully connected networks, and an ensemble of them computed as batched products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


class MLP(nn.Module):
    """A ReLU network (n, sizes[0]) -> (n, sizes[-1]), initialised uniformly in ±1/√fan_in from `generator`."""

    def __init__(self, sizes: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        layers = list(pairwise(sizes))
        self.weights = nn.ParameterList(_uniform((out, fan), fan, generator) for fan, out in layers)
        self.biases = nn.ParameterList(_uniform((out,), fan, generator) for fan, out in layers)

    def forward(self, x: Tensor) -> Tensor:
        weights, biases = list(self.weights), list(self.biases)
        for weight, bias in zip(weights[:-1], biases[:-1]):
            x = F.linear(x, weight, bias).relu_()
        return F.linear(x, weights[-1], biases[-1])


class Critics(nn.Module):
    """An ensemble of m ReLU networks (n, in) -> (m, n), one batched product per layer for all members."""

    def __init__(self, members: int, in_dim: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        layers = list(zip([in_dim, *hidden], [*hidden, 1]))
        self.members = members
        self.weights = nn.ParameterList(_uniform((members, fan, out), fan, generator) for fan, out in layers)
        self.biases = nn.ParameterList(_uniform((members, 1, out), fan, generator) for fan, out in layers)

    def forward(self, x: Tensor) -> Tensor:
        return self._values(x, list(self.weights), list(self.biases))

    def frozen(self, x: Tensor) -> Tensor:
        """Return the same values (m, n), with gradients for `x` but none for the parameters (nor the time to compute them)."""
        return self._values(x, [weight.detach() for weight in self.weights], [bias.detach() for bias in self.biases])

    def _values(self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
        y = x.expand(self.members, -1, -1)
        for weight, bias in zip(weights[:-1], biases[:-1]):
            y = torch.baddbmm(bias, y, weight).relu_()
        return torch.baddbmm(biases[-1], y, weights[-1]).squeeze(-1)


class GaussianActor(nn.Module):
    """A Gaussian squashed by tanh into (-1, 1) per action dimension (Haarnoja et al. 2018, "Soft actor-critic algorithms", app. C)."""

    def __init__(self, in_dim: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.body = MLP([in_dim, *hidden, 2 * action_dim], generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation before squashing, both (n, a)."""
        mean, log_std = self.body(x).chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def sample(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return squashed actions (n, a) and their log densities (n,) for standard normal `noise` (n, a)."""
        mean, log_std = self(x)
        raw = torch.addcmul(mean, log_std.exp(), noise)
        # log(1 - tanh(u)²) = 2 (log 2 - u - softplus(-2u)) neither overflows nor rounds to log 0.
        squash = 2.0 * (math.log(2.0) - raw - F.softplus(-2.0 * raw))
        log_prob = (-0.5 * (noise.square() + math.log(2.0 * math.pi)) - log_std - squash).sum(-1)
        return raw.tanh(), log_prob


class DeterministicActor(nn.Module):
    """A network (n, in) -> (n, a) squashed by tanh into (-1, 1)."""

    def __init__(self, in_dim: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.body = MLP([in_dim, *hidden, action_dim], generator)

    def forward(self, x: Tensor) -> Tensor:
        actions: Tensor = self.body(x).tanh()
        return actions


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> nn.Parameter:
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
