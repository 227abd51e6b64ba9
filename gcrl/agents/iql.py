"""Implicit Q-learning (Kostrikov et al. 2021), goal-conditioned as in OGBench (Park et al. 2024, "GCIQL")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import Ensemble, GaussianAgent
from gcrl.agents.improve import Improvement
from gcrl.agents.losses import expectile_loss, finite_check, td_loss, td_target
from gcrl.agents.networks import MLP, Critics, OfflineActor
from gcrl.agents.targets import Polyak, frozen_copy, value_range
from representations.adam import Adam


class IQL(GaussianAgent, Ensemble):
    """Learns values of the best actions in the data without ever asking for others.

    V(s, g) is the `expectile` of the target critics over the actions taken (equation 5), Q(s, a, g) follows r + γ V(s', g) (equation 6).
    improvement: how the policy follows: ``advantage`` (equation 7, with `inverse_temperature` β) or ``value`` (up the critic and near the
    data, with `clone_weight`: OGBench's DDPG+BC). layer_norm: in critics and value. The other arguments are those of `SAC`.
    Raises `UserError` for an action space that is not a bounded Box and for hyperparameters out of range.
    """

    actor: OfflineActor

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
        discount: float = 0.99,
        lr: float = 3e-4,
        n_step: int = 1,
        tau: float = 0.005,
        critics: int = 2,
        expectile: float = 0.7,
        improvement: str = "advantage",
        inverse_temperature: float = 3.0,
        clone_weight: float = 0.3,
        layer_norm: bool = False,
        reward_range: Sequence[float] | None = None,
        exploration: float = 1.0,
    ) -> None:
        super().__init__(
            input_dim,
            goal_dim,
            action_space,
            seed=seed,
            device=device,
            hidden=hidden,
            batch_size=batch_size,
            discount=discount,
            n_step=n_step,
            lr=lr,
            tau=tau,
            critics=critics,
            expectile=expectile,
            exploration=exploration,
        )
        self.expectile = expectile
        self.improve = Improvement(self.name, improvement, inverse_temperature, clone_weight)
        self.bounds = value_range(self.name, reward_range, discount)
        self.actor = self.improve.actor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        self.critics = Critics(critics, self.dim + self.range.dim, self.hidden, self.weights, layer_norm=layer_norm).to(device)
        self.values = MLP([self.dim, *self.hidden, 1], self.weights, layer_norm=layer_norm).to(device)
        self.target_critics = frozen_copy(self.critics)
        self.targets = Polyak(tau, (self.target_critics, self.critics))
        self.assemble(
            {"actor": Adam(lr, self.actor), "critics": Adam(lr, self.critics), "values": Adam(lr, self.values)},
            actor=self.actor,
            critics=self.critics,
            values=self.values,
            target_critics=self.target_critics,
        )

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step each of value, actor and critics; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        now, after = self.now_and_after(batch)
        taken = self.range.to_unit(batch.actions)
        with torch.no_grad():
            best = self.target_critics(torch.cat([now, taken], -1)).amin(0)
        value_loss = expectile_loss(best - self.row_values(now), self.expectile)
        self.learner.step("values", value_loss)

        toward = self.toward_actor_goals(batch, now)
        loss, of_actor = self.improve(self.actor, toward, taken, lambda: self.advantages(toward, taken, best, toward is now), self.of_rows)
        self.learner.step("actor", loss)

        with torch.no_grad():
            target = td_target(batch.rewards, batch.terminated, self.row_values(after), self.next_discount(batch), self.bounds)
        critic_loss, metrics = td_loss(self.critics(torch.cat([now, taken], -1)), target)
        self.learner.step("critics", critic_loss)
        self.targets.step()
        self.learner.updates += 1
        metrics |= of_actor | {"value_loss": value_loss.detach()}
        return {**metrics, "finite": finite_check(metrics)}

    def of_rows(self, rows: Tensor, actions: Tensor, frozen: bool = False) -> Tensor:
        """Return (m, B) the critics' values of actions (B, a) for standardised rows (B, i + k)."""
        values: Tensor = self.critics(torch.cat([rows, actions], -1), frozen)
        return values

    @torch.no_grad()
    def advantages(self, rows: Tensor, taken: Tensor, best: Tensor, same: bool) -> Tensor:
        """Return A = min Q(s, a, g) - V(s, g), (B,); `best` holds the first half where these are the `same` goals as the values'."""
        q = best if same else self.target_critics(torch.cat([rows, taken], -1)).amin(0)
        return q - self.row_values(rows)

    def member_values(self, rows: Tensor) -> Tensor:
        return self.of_rows(rows, self.actor.mode(rows))

    def members(self) -> int:
        return len(self.critics.members)

    def row_values(self, rows: Tensor) -> Tensor:
        values: Tensor = self.values(rows)
        return values.squeeze(-1)
