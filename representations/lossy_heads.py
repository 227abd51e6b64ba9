"""An encoder with an information bottleneck, and what it is trained through: critics, value and policy on pairs of latents."""

from __future__ import annotations

import torch
from torch import nn

from representations.embedding import Embedding, two_layers
from representations.init import seeded

MOST = 10.0  # times a policy's row may count for a good action


class Heads(nn.Module):
    """Q(h, h_g, a), twice; V(h, h_g); π(a | h, h_g), a Gaussian whose deviations are the same everywhere. `unit`: of actions.

    Source: IQL (Kostrikov, Nair & Levine 2021), equations 5 to 7; weights of actions are capped at `MOST`.
    """

    def __init__(self, latent_dim: int, actions: int, seed: int, *, expectile: float, inverse_temperature: float) -> None:
        super().__init__()
        self.expectile, self.inverse_temperature = expectile, inverse_temperature
        self.unit: torch.Tensor
        self.register_buffer("unit", torch.ones(()))
        pair = 2 * latent_dim
        self.critics = seeded(lambda: nn.ModuleList(two_layers(pair + actions, 1) for _ in range(2)), seed)
        self.values = seeded(lambda: two_layers(pair, 1), seed + 1)
        self.policy = seeded(lambda: two_layers(pair, actions), seed + 2)
        self.log_deviation = nn.Parameter(torch.zeros(actions))

    def critics_of(self, pair: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Return (2, n) values of actions (n, a) for pairs of latents (n, 2d)."""
        rows = torch.cat([pair, actions], 1)
        return torch.stack([critic(rows)[:, 0] for critic in self.critics])

    def value(self, pair: torch.Tensor) -> torch.Tensor:
        """Return (n,) values of pairs of latents (n, 2d)."""
        values: torch.Tensor = self.values(pair)[:, 0]
        return values

    def loss(self, pair: torch.Tensor, actions: torch.Tensor, wanted: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        """Return the loss of all three (scalar), with gradients for `pair` (n, 2d).

        actions: (n, a), those of the data. wanted: (n,), what the critics should say of them. best: (n,), what their targets say.
        """
        values = self.value(pair)
        excess = best - values
        weights = torch.where(excess < 0, 1.0 - self.expectile, self.expectile)
        of_values = (weights * excess.square()).mean()
        of_critics = (self.critics_of(pair, actions) - wanted).square().mean()
        counts = (self.inverse_temperature * excess.detach()).exp().clamp(max=MOST)
        log_deviation = self.log_deviation.clamp(-5, 2)
        away = (actions - self.policy(pair)) / log_deviation.exp()
        of_policy = (counts * (0.5 * away.square() + log_deviation).sum(1)).mean()
        loss: torch.Tensor = of_critics + of_values + of_policy
        return loss


class LossyNetwork(nn.Module):
    """An encoder to 2d numbers, read as q(h | s), and its heads."""

    def __init__(self, encoder: Embedding, heads: Heads) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, heads

    def posterior(self, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and log-variances (n, d) of q(h | s) for raw observations (n, ...)."""
        means, log_variances = self.encoder(raw).chunk(2, 1)
        return means, log_variances.clamp(-10, 4)
