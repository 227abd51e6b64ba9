"""Small fully connected networks: bodies, critics, and the two kinds of actor."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl.agents.products import linear

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
OFFLINE_LOG_STD_MIN = -5.0


class MLP(nn.Module):
    """A ReLU network (n, sizes[0]) -> (n, sizes[-1]), initialised uniformly in ±1/√fan_in from `generator`.

    layer_norm: normalise each hidden layer before its ReLU (Ba et al. 2016), which keeps critics from diverging on offline data.
    """

    def __init__(self, sizes: Sequence[int], generator: torch.Generator, *, layer_norm: bool = False) -> None:
        super().__init__()
        shapes = list(pairwise(sizes))
        self.weights = nn.ParameterList(_uniform((out, fan), fan, generator) for fan, out in shapes)
        self.biases = nn.ParameterList(_uniform((out,), fan, generator) for fan, out in shapes)
        hidden = sizes[1:-1] if layer_norm else []
        self.gains = nn.ParameterList(nn.Parameter(torch.ones(width)) for width in hidden)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in hidden)
        self._collect()

    def _collect(self) -> None:
        # The same parameters once more in plain lists: looking them up in ParameterLists would cost as much as a small product.
        self.layers = list(zip(self.weights, self.biases))
        self.norms = list(zip(self.gains, self.shifts))

    def _apply(self, fn: Any, recurse: bool = True) -> MLP:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._collect()  # a move to another device may have replaced the parameters
        return self

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Return the output; `frozen` lets gradients pass to `x` but not to the parameters, and saves the time to compute those."""
        layers: Sequence[tuple[Tensor, Tensor]] = self.layers
        norms: Sequence[tuple[Tensor, Tensor]] = self.norms
        if frozen:
            layers, norms = ([(one.detach(), other.detach()) for one, other in pairs] for pairs in (layers, norms))
        for index, (weight, bias) in enumerate(layers[:-1]):
            x = linear(x, weight, bias)
            x = F.layer_norm(x, bias.shape, *norms[index]).relu_() if norms else x.relu_()
        return linear(x, *layers[-1])


class Critics(nn.Module):
    """An ensemble of m networks (n, in) -> (m, n), values of m independent opinions."""

    def __init__(self, members: int, in_dim: int, hidden: Sequence[int], generator: torch.Generator, *, layer_norm: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(MLP([in_dim, *hidden, 1], generator, layer_norm=layer_norm) for _ in range(members))

    def forward(self, x: Tensor, frozen: bool = False, members: int | None = None) -> Tensor:
        """Return values (m, n) of the first `members` networks (None: all); `frozen` as in `MLP`."""
        return torch.cat([member(x, frozen) for member in list(self.members)[:members]], -1).t()


class Gaussian(nn.Module, ABC):
    """A policy that is Gaussian before `squash` carries it into [-1, 1]."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation before squashing, both (n, a)."""

    @abstractmethod
    def mode(self, x: Tensor) -> Tensor:
        """Return the likeliest actions before exploration, (n, a) in [-1, 1]."""

    @abstractmethod
    def squash(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the actions that raw samples (n, a) stand for."""


class GaussianActor(Gaussian):
    """A Gaussian squashed by tanh into (-1, 1) per action dimension.

    Haarnoja et al. 2018, "Soft actor-critic algorithms and applications", app. C.
    """

    def __init__(self, in_dim: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.body = MLP([in_dim, *hidden, 2 * action_dim], generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.body(x).chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def mode(self, x: Tensor) -> Tensor:
        mean: Tensor = self.body(x).chunk(2, dim=-1)[0]
        return mean.tanh()

    def squash(self, raw: NDArray[Any]) -> NDArray[Any]:
        actions: NDArray[Any] = np.tanh(raw)
        return actions

    def sample(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return squashed actions (n, a) and their log densities (n,) for standard normal `noise` (n, a)."""
        mean, log_std = self(x)
        raw = torch.addcmul(mean, log_std.exp(), noise)
        # log(1 - tanh(u)²) = 2 (log 2 - u - softplus(-2u)) neither overflows nor rounds to log 0.
        learnt = torch.sub(2.0 * (raw + F.softplus(-2.0 * raw)), log_std).sum(-1)
        constant = noise.square().sum(-1).mul_(-0.5).sub_(noise.shape[-1] * (0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0)))
        return raw.tanh(), learnt + constant


class OfflineActor(Gaussian):
    """A Gaussian in [-1, 1] whose mean is a tanh and whose deviations do not depend on the state; samples are clipped.

    For policies fitted to the actions of a dataset: a Gaussian squashed by tanh gives actions at the edge of the range no density.
    Nair et al. 2020, "AWAC", app. B; Kostrikov et al. 2021, "Offline reinforcement learning with implicit Q-learning", app. B.
    log_std: the logarithm of the deviations, learnt from 0 within [-5, 2], or kept at this number.
    """

    def __init__(
        self, in_dim: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator, log_std: float | None = None
    ) -> None:
        super().__init__()
        self.body = MLP([in_dim, *hidden, action_dim], generator)
        self.log_std = nn.Parameter(torch.full((action_dim,), log_std or 0.0), requires_grad=log_std is None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mode(x)
        return mean, self.log_std.clamp(OFFLINE_LOG_STD_MIN, LOG_STD_MAX).expand_as(mean)

    def mode(self, x: Tensor) -> Tensor:
        mean: Tensor = self.body(x).tanh()
        return mean

    def squash(self, raw: NDArray[Any]) -> NDArray[Any]:
        actions: NDArray[Any] = np.clip(raw, -1.0, 1.0)
        return actions

    def log_prob(self, x: Tensor, actions: Tensor) -> Tensor:
        """Return log densities (n,) of actions (n, a) in [-1, 1], as those of the unclipped Gaussian."""
        mean, log_std = self(x)
        return gaussian_log_prob(mean, log_std, actions)


class DeterministicActor(nn.Module):
    """A network (n, in) -> (n, a) squashed by tanh into (-1, 1)."""

    def __init__(self, in_dim: int, action_dim: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.body = MLP([in_dim, *hidden, action_dim], generator)

    def forward(self, x: Tensor) -> Tensor:
        actions: Tensor = self.body(x).tanh()
        return actions


class Temperature(nn.Module):
    """The entropy weight α of soft actor-critic, learnt as its logarithm (0-d)."""

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(initial)))


def gaussian_log_prob(mean: Tensor, log_std: Tensor, values: Tensor) -> Tensor:
    """Return log N(values; mean, diag(std²)), summed over the last axis; all (n, a)."""
    standard = (values - mean) * (-log_std).exp()
    return (-0.5 * standard.square() - log_std).sum(-1) - 0.5 * values.shape[-1] * math.log(2.0 * math.pi)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> nn.Parameter:
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
