"""Slowly moving copies of networks, and the bounds that returns can have."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from envs.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """Return a copy of `network` whose parameters take no gradients."""
    target = copy.deepcopy(network)
    target.requires_grad_(False)
    return target


class Polyak:
    """Moves every parameter of targets by the fraction `tau` toward its source's (Lillicrap et al. 2016, algorithm 1).

    pairs: (target, source) networks of the same shape.
    """

    def __init__(self, tau: float, *pairs: tuple[nn.Module, nn.Module]) -> None:
        self.tau = tau
        self._targets: list[torch.Tensor] = [parameter for target, _ in pairs for parameter in target.parameters()]
        self._sources: list[torch.Tensor] = [parameter for _, source in pairs for parameter in source.parameters()]

    @torch.no_grad()
    def step(self) -> None:
        torch._foreach_lerp_(self._targets, self._sources, self.tau)


def value_range(owner: str, reward_range: Sequence[float] | None, discount: float) -> tuple[float, float] | None:
    """Return the range of discounted sums of rewards in `reward_range`, None for no bound; raises `UserError` unless low <= high.

    For rewards in [-1, 0] it is [-1/(1-γ), 0], the clip of HER (Andrychowicz et al. 2017, app. A).
    """
    if reward_range is None:
        return None
    if len(reward_range) != 2 or not reward_range[0] <= reward_range[1]:
        raise UserError(f"{owner} reward_range={list(reward_range)}; expected [lowest, highest] such as [-1, 0]")
    low, high = float(reward_range[0]), float(reward_range[1])
    # An episode may also end after one reward.
    return min(low, low / (1 - discount)), max(high, high / (1 - discount))
