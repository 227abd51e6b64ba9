"""Actor improvement for agents that learn from data which they did not make: two ways, shared by all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from envs.errors import unknown
from gcrl.agents.losses import Loss, advantage_weighted_loss, value_and_clone_loss
from gcrl.agents.networks import OfflineActor, gaussian_log_prob
from gcrl.agents.spaces import require_all

WAYS = ("advantage", "value")


class Improvement:
    """Moves an actor toward better actions than the data's, and not far from them.

    way: ``advantage`` clones actions weighted by exp(β A) (AWR; β is `inverse_temperature`), ``value`` climbs the critics and adds
    cloning with `clone_weight` (DDPG+BC: Fujimoto & Gu 2021; both as in Park et al. 2024, "OGBench", app. C).
    Raises `UserError` for another way and for figures out of range.
    """

    def __init__(self, owner: str, way: str, inverse_temperature: float, clone_weight: float) -> None:
        if way not in WAYS:
            raise unknown(f"{owner} improvement", way, WAYS)
        require_all(owner, inverse_temperature=inverse_temperature, clone_weight=clone_weight)
        self.way, self.inverse_temperature, self.clone_weight = way, inverse_temperature, clone_weight

    def actor(self, dim: int, action_dim: int, hidden: Sequence[int], weights: torch.Generator) -> OfflineActor:
        """Return the actor that fits: climbing a critic does not say how wide a policy should be, so its deviation is kept at 1 there."""
        return OfflineActor(dim, action_dim, hidden, weights, log_std=None if self.way == "advantage" else 0.0)

    def __call__(
        self, actor: OfflineActor, rows: Tensor, taken: Tensor, advantages: Callable[[], Tensor], critics: Callable[..., Tensor]
    ) -> Loss:
        """Return the actor's loss on standardised rows (B, i + k) and actions taken (B, a); `critics(rows, actions, frozen)` returns
        (m, B) values; with `frozen` no gradient reaches their parameters. One way asks for `advantages`, the other for `critics`."""
        if self.way == "advantage":
            return advantage_weighted_loss(actor.log_prob(rows, taken), advantages(), self.inverse_temperature)
        mean, log_std = actor(rows)  # one pass for both terms
        values = critics(rows, mean, True).amin(0)
        return value_and_clone_loss(values, gaussian_log_prob(mean, log_std, taken), self.clone_weight)
