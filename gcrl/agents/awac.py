"""Advantage-weighted actor-critic (Nair et al. 2020, "AWAC: Accelerating online reinforcement learning with offline datasets")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import Ensemble, GaussianAgent
from gcrl.agents.imitation import Imitation
from gcrl.agents.losses import advantage_weighted_loss, finite_check, td_loss, td_target
from gcrl.agents.networks import Critics, OfflineActor
from gcrl.agents.targets import Polyak, frozen_copy, value_range
from representations.adam import Adam


class AWAC(GaussianAgent, Ensemble):
    """Learns critics of its own policy by temporal differences, and the policy by cloning what was done, weighted by advantage.

    Critics follow equation 10, the policy equation 13 with A = min Q(s, a) - min Q(s, π(s)): it stays near the data, so that a
    dataset can be learnt from before practice. inverse_temperature: β = 1/λ. layer_norm: in the critics. reward_range: where rewards
    are known to lie, targets are clipped to what they can sum to. The other arguments are those of `SAC`.
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
        discount: float = 0.98,
        lr: float = 3e-4,
        n_step: int = 1,
        tau: float = 0.005,
        critics: int = 2,
        inverse_temperature: float = 3.0,
        layer_norm: bool = False,
        reward_range: Sequence[float] | None = None,
        exploration: float = 1.0,
        bc_weight: float = 0.0,
        q_filter: bool = True,
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
            inverse_temperature=inverse_temperature,
            exploration=exploration,
        )
        self.inverse_temperature = inverse_temperature
        self.bounds = value_range(self.name, reward_range, discount)
        self.imitate = Imitation(self.name, bc_weight, q_filter)
        self.actor = OfflineActor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        self.critics = Critics(critics, self.dim + self.range.dim, self.hidden, self.weights, layer_norm=layer_norm).to(device)
        self.target_critics = frozen_copy(self.critics)
        self.targets = Polyak(tau, (self.target_critics, self.critics))
        self.assemble(
            {"actor": Adam(lr, self.actor), "critics": Adam(lr, self.critics)},
            actor=self.actor,
            critics=self.critics,
            target_critics=self.target_critics,
        )

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the critics and one of the actor; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        now, after = self.now_and_after(batch)
        taken = self.range.to_unit(batch.actions)
        with torch.no_grad():
            next_values = self.target_critics(torch.cat([after, self.sample(after)], -1)).amin(0)
            target = td_target(batch.rewards, batch.terminated, next_values, self.next_discount(batch), self.bounds)
        loss, metrics = td_loss(self.critics(torch.cat([now, taken], -1)), target)
        self.learner.step("critics", loss)

        toward = self.toward_actor_goals(batch, now)
        with torch.no_grad():
            # One pass for both halves of the advantage.
            both = self.critics(torch.cat([torch.cat([toward, toward]), torch.cat([taken, self.sample(toward)])], -1)).amin(0)
            advantage = both[: len(toward)] - both[len(toward) :]
        own = advantage_weighted_loss(self.actor.log_prob(toward, taken), advantage, self.inverse_temperature)
        loss, of_actor = self.imitate(own, batch.demos, toward, taken, self.actor.mode, self.critics)
        self.learner.step("actor", loss)
        self.targets.step()
        self.learner.updates += 1
        metrics |= of_actor
        return {**metrics, "finite": finite_check(metrics)}

    def sample(self, rows: Tensor) -> Tensor:
        """Return actions (n, a) in [-1, 1] of the policy with its noise."""
        mean, log_std = self.actor(rows)
        noise = self.learner.noise(*mean.shape)
        return torch.addcmul(mean, log_std.exp(), noise).clamp(-1.0, 1.0)

    def member_values(self, rows: Tensor) -> Tensor:
        values: Tensor = self.critics(torch.cat([rows, self.actor.mode(rows)], -1))
        return values

    def members(self) -> int:
        return len(self.critics.members)
