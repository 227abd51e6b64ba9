"""Soft actor-critic with an adapted temperature (Haarnoja et al. 2018, "Soft actor-critic algorithms and applications")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import Ensemble, GaussianAgent
from gcrl.agents.imitation import Imitation
from gcrl.agents.losses import finite_check, sac_actor_loss, td_loss, td_target, temperature_loss
from gcrl.agents.networks import Critics, GaussianActor, Temperature
from gcrl.agents.spaces import require_all
from gcrl.agents.targets import Polyak, frozen_copy, value_range
from representations.adam import Adam


class SAC(GaussianAgent, Ensemble):
    """Goal-conditioned soft actor-critic.

    hidden: widths of the layers of all networks. critics: members of the ensemble whose minimum is the target.
    tau: Polyak step of the target critics. temperature: initial entropy weight α; target_entropy: nats, default -(action dimensions).
    n_step: rewards of so many steps are summed before the target critics are asked (no correction for the data's policy, no entropy
    bonus between). layer_norm: in the critics.
    reward_range: where rewards are known to lie, targets are clipped to what they can sum to (no room for an entropy bonus above).
    bc_weight, q_filter: cloning of demonstrations, as in `Imitation`.
    Raises `UserError` for an action space that is not a bounded Box and for hyperparameters out of range.
    """

    actor_goals = False

    actor: GaussianActor

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 128,
        discount: float = 0.98,
        lr: float = 1e-3,
        n_step: int = 1,
        tau: float = 0.005,
        critics: int = 2,
        temperature: float = 0.1,
        target_entropy: float | None = None,
        layer_norm: bool = False,
        reward_range: Sequence[float] | None = None,
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
            temperature=temperature,
        )
        self.target_entropy = -float(self.range.dim) if target_entropy is None else target_entropy
        require_all(self.name, target_entropy=self.target_entropy)
        self.bounds = value_range(self.name, reward_range, discount)
        self.imitate = Imitation(self.name, bc_weight, q_filter)
        actor, values, below = self.build(critics, layer_norm)
        self.actor, self.critics = actor.to(device), values.to(device)
        self.target_critics = frozen_copy(self.critics)
        self.targets = Polyak(tau, (self.target_critics, self.critics))
        self.temperature = Temperature(temperature).to(device)
        self.assemble(
            {"critics": Adam(lr, self.critics, *below.values()), "actor": Adam(lr, self.actor, self.temperature)},
            actor=self.actor,
            critics=self.critics,
            target_critics=self.target_critics,
            temperature=self.temperature,
            **below,
        )

    def build(self, critics: int, layer_norm: bool) -> tuple[GaussianActor, Critics, dict[str, nn.Module]]:
        """Return actor, critics, and what makes the rows that both see where that is learnt, by the critics' loss alone."""
        actor = GaussianActor(self.dim, self.range.dim, self.hidden, self.weights)
        return actor, Critics(critics, self.dim + self.range.dim, self.hidden, self.weights, layer_norm=layer_norm), {}

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of critics, actor and temperature; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        now, after = self.now_and_after(batch)
        noise = self.learner.noise(2, len(now), self.range.dim)
        temperature = self.temperature.log.detach().exp()

        with torch.no_grad():
            next_actions, next_log_prob = self.actor.sample(after, noise[1])
            next_values = self.target_critics(torch.cat([after, next_actions], -1)).amin(0) - temperature * next_log_prob
            target = td_target(batch.rewards, batch.terminated, next_values, self.next_discount(batch), self.bounds)
        taken = self.range.to_unit(batch.actions)
        values = self.critics(torch.cat([now, taken], -1))
        loss, metrics = td_loss(values, target)
        self.learner.step("critics", loss)

        now = now.detach()  # the policy's loss stays out of what makes the rows
        actions, log_prob = self.actor.sample(now, noise[0])
        own = sac_actor_loss(self.critics(torch.cat([now, actions], -1), frozen=True), log_prob, temperature)
        actor_loss, of_actor = self.imitate(own, batch.demos, now, taken, self.actor.mode, self.critics)
        entropy_loss, of_temperature = temperature_loss(self.temperature.log, log_prob, self.target_entropy)
        metrics |= of_actor | of_temperature
        # The two share no parameter, so one step down their sum is a step down each, for the price of one.
        self.learner.step("actor", actor_loss + entropy_loss)

        self.targets.step()
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}

    def member_values(self, rows: Tensor) -> Tensor:
        values: Tensor = self.critics(torch.cat([rows, self.actor.mode(rows)], -1))
        return values

    def members(self) -> int:
        return len(self.critics.members)
