"""Goal-conditioned implicit value learning (Park et al. 2024, "OGBench", app. C: GCIVL; after Xu et al. 2022 and Ghosh et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import Ensemble, GaussianAgent
from gcrl.agents.losses import advantage_weighted_loss, expectile_loss, finite_check, td_target
from gcrl.agents.networks import Critics, OfflineActor
from gcrl.agents.targets import Polyak, frozen_copy, value_range
from representations.adam import Adam


class IVL(GaussianAgent, Ensemble):
    """Learns V(s, g) alone, from states that followed states: no critic of actions, no actions of a policy's own.

    Two values move to the `expectile` of r + γ V(s', g) over the data (where transitions are random, lucky ones count as good ones);
    the policy clones actions weighted by exp(β (V(s', g) - V(s, g))), β being `inverse_temperature`. Other arguments: as in `SAC`.
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
        tau: float = 0.005,
        expectile: float = 0.9,
        inverse_temperature: float = 10.0,
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
            lr=lr,
            tau=tau,
            expectile=expectile,
            inverse_temperature=inverse_temperature,
            exploration=exploration,
        )
        self.expectile, self.inverse_temperature = expectile, inverse_temperature
        self.bounds = value_range(self.name, reward_range, discount)
        self.actor = OfflineActor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        self.values = Critics(2, self.dim, self.hidden, self.weights, layer_norm=layer_norm).to(device)
        self.target_values = frozen_copy(self.values)
        self.targets = Polyak(tau, (self.target_values, self.values))
        self.assemble(
            {"actor": Adam(lr, self.actor), "values": Adam(lr, self.values)},
            actor=self.actor,
            values=self.values,
            target_values=self.target_values,
        )

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the values and one of the actor; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        now, after = self.now_and_after(batch)
        metrics = self.learn_values(batch, now, after)
        toward = self.toward_actor_goals(batch, now)
        later = self.toward_actor_goals(batch, after, batch.next_inputs)
        log_prob = self.actor.log_prob(toward, self.range.to_unit(batch.actions))
        loss, of_actor = advantage_weighted_loss(log_prob, self.gain(toward, later), self.inverse_temperature)
        self.learner.step("actor", loss)
        return self.finished(metrics | of_actor)

    def learn_values(self, batch: Batch, now: Tensor, after: Tensor) -> Metrics:
        """Take one gradient step of the values, on rows (B, i + k) before and after each transition, and return metrics."""
        with torch.no_grad():
            both = self.target_values(torch.cat([now, after]))
            here, next_values = both[:, : len(now)], both[:, len(now) :]
            # The least of both says whether a step was a good one; each value then moves to its own target.
            advantage = td_target(batch.rewards, batch.terminated, next_values.amin(0), self.discount, self.bounds) - here.mean(0)
            target = torch.stack([td_target(batch.rewards, batch.terminated, row, self.discount, self.bounds) for row in next_values])
        values = self.values(now)
        value_loss = expectile_loss(target - values, self.expectile, advantage.expand_as(values)) * len(values)
        self.learner.step("values", value_loss)
        low, high = torch.aminmax(values.detach())
        return {"value_loss": value_loss.detach(), "v_mean": values.detach().mean(), "v_min": low, "v_max": high}

    def gain(self, now: Tensor, later: Tensor) -> Tensor:
        """Return (B,) by how much the values of rows `later` (B, i + k) exceed those of `now`."""
        with torch.no_grad():
            gained: Tensor = self.values(later).mean(0) - self.values(now).mean(0)
        return gained

    def finished(self, metrics: Metrics) -> Metrics:
        """End an update: the targets follow, it is counted, and ``finite`` joins `metrics`."""
        self.targets.step()
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}

    def member_values(self, rows: Tensor) -> Tensor:
        values: Tensor = self.values(rows)
        return values

    def members(self) -> int:
        return len(self.values.members)

    def row_values(self, rows: Tensor) -> Tensor:
        return self.member_values(rows).mean(0)
