"""Contrastive reinforcement learning (Eysenbach et al. 2022, "Contrastive learning as goal-conditioned reinforcement learning")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import Ensemble, GaussianAgent
from gcrl.agents.improve import Improvement
from gcrl.agents.losses import finite_check
from gcrl.agents.networks import MLP, OfflineActor
from gcrl.agents.spaces import require_all
from representations.adam import Adam


class Similarity(nn.Module):
    """Two networks φ(s, a) and ψ(g) of unit scale: how much likelier a goal is after an action than in general, as a logarithm."""

    def __init__(self, dims: tuple[int, int], latent: int, hidden: Sequence[int], generator: torch.Generator, layer_norm: bool) -> None:
        super().__init__()
        self.goal_dim = dims[1]
        self.of_actions = MLP([dims[0], *hidden, latent], generator, layer_norm=layer_norm)
        self.of_goals = MLP([dims[1], *hidden, latent], generator, layer_norm=layer_norm)
        self.scale = 1.0 / math.sqrt(latent)

    def matrix(self, inputs: Tensor, actions: Tensor, goals: Tensor) -> Tensor:
        """Return (B, B) φ(s_i, a_i)·ψ(g_j)/√d."""
        products: Tensor = self.of_actions(torch.cat([inputs, actions], -1)) @ self.of_goals(goals).t()
        return products * self.scale

    def forward(self, inputs: Tensor, actions: Tensor, goals: Tensor, frozen: bool = False) -> Tensor:
        """Return (B,) φ(s_i, a_i)·ψ(g_i)/√d; `frozen` as in `MLP`."""
        products: Tensor = (self.of_actions(torch.cat([inputs, actions], -1), frozen) * self.of_goals(goals, frozen)).sum(-1)
        return products * self.scale


class CRL(GaussianAgent, Ensemble):
    """Learns to tell the goal that an episode came to from the goals of other rows of the batch (NCE, equation 5); no rewards.

    Goals must be a geometrically later frame of the same episode for every row (``relabel=geometric``). An ensemble of two; the policy
    follows the least of both and stays near the data by `clone_weight` (OGBench's DDPG+BC) or ``improvement=advantage``.
    latent: dimensions of φ and ψ. Values are log density ratios, not returns. The other arguments are those of `SAC`.
    Raises `UserError` for an action space that is not a bounded Box and for hyperparameters out of range.
    """

    actor: OfflineActor
    relabels = ("geometric", "future")  # the only goals that it can be taught with
    largest_value = 20.0  # of a log density ratio: a goal half a billion times as likely as in general

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 256,
        lr: float = 3e-4,
        latent: int = 64,
        improvement: str = "value",
        inverse_temperature: float = 3.0,
        clone_weight: float = 0.1,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(input_dim, goal_dim, action_space, seed=seed, device=device, hidden=hidden, batch_size=batch_size, lr=lr)
        require_all(self.name, latent=latent)
        self.input_dim = input_dim
        self.improve = Improvement(self.name, improvement, inverse_temperature, clone_weight)
        self.actor = self.improve.actor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        dims = (input_dim + self.range.dim, goal_dim)
        self.pair = [Similarity(dims, latent, self.hidden, self.weights, layer_norm).to(device) for _ in range(2)]
        self.assemble({"actor": Adam(lr, self.actor), "critics": Adam(lr, *self.pair)}, actor=self.actor, critics=nn.ModuleList(self.pair))

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the critics and one of the actor; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        now = self.normalizer(batch.inputs, batch.goals)
        taken = self.range.to_unit(batch.actions)
        inputs, goals = now.tensor_split([self.input_dim], -1)
        logits = torch.stack([critic.matrix(inputs, taken, goals) for critic in self.pair])
        own = torch.eye(len(now), device=self.device)
        critic_loss = F.binary_cross_entropy_with_logits(logits, own.expand_as(logits)) * len(self.pair)
        self.learner.step("critics", critic_loss)

        toward = self.toward_actor_goals(batch, now)
        loss, metrics = self.improve(self.actor, toward, taken, lambda: self.advantages(toward, taken), self.of_rows)
        self.learner.step("actor", loss)
        self.learner.updates += 1
        with torch.no_grad():
            own_logits = logits.detach().diagonal(dim1=1, dim2=2)
            metrics |= {"critic_loss": critic_loss.detach(), "own_logit": own_logits.mean(), "other_logit": logits.detach().mean()}
            low, high = torch.aminmax(logits.detach())
            metrics |= {"q_min": low, "q_max": high}
            metrics |= {"told_apart": (logits.detach().argmax(-1) == torch.arange(len(now), device=self.device)).float().mean()}
        return {**metrics, "finite": finite_check(metrics)}

    def of_rows(self, rows: Tensor, actions: Tensor, frozen: bool = False) -> Tensor:
        """Return (2, B) log density ratios of actions (B, a) for standardised rows (B, i + k)."""
        inputs, goals = rows.tensor_split([self.input_dim], -1)
        return torch.stack([critic(inputs, actions, goals, frozen) for critic in self.pair])

    @torch.no_grad()
    def advantages(self, rows: Tensor, taken: Tensor) -> Tensor:
        """Return (B,) by how much what was done beats what the policy does."""
        return (self.of_rows(rows, taken) - self.of_rows(rows, self.actor.mode(rows))).amin(0)

    def member_values(self, rows: Tensor) -> Tensor:
        return self.of_rows(rows, self.actor.mode(rows))

    def members(self) -> int:
        return len(self.pair)
