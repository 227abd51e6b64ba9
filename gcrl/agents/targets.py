"""Slowly moving copies of networks, and the bounds that returns can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from envs.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


def freeze(network: Network) -> Network:
    """Return `network` with gradients switched off for good."""
    network.requires_grad_(False)
    return network


@torch.no_grad()
def polyak(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move every parameter of `target` by the fraction `tau` toward `source` (Lillicrap et al. 2016, algorithm 1)."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), tau)


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
