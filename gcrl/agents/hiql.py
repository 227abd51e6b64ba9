"""Hierarchical implicit Q-learning (Park et al. 2023, "HIQL: Offline goal-conditioned RL with latent states as actions")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import nn

from envs.errors import UserError
from gcrl.agents.api import Batch, Floats, Metrics
from gcrl.agents.inference import ACT_ROWS, in_chunks
from gcrl.agents.ivl import IVL
from gcrl.agents.losses import advantage_weighted_loss
from gcrl.agents.networks import MLP, gaussian_log_prob
from gcrl.agents.spaces import require_all
from representations.adam import Adam


class HIQL(IVL):
    """Two policies from one value V(s, g), learnt as `IVL` learns it: a high one says where to be soon, a low one how to get there.

    The high policy π(w | s, g) clones where episodes stood `subgoal_steps` later, weighted by exp(β (V(s_w, g) - V(s, g))) (eq. 6);
    the low one π(a | s, w) clones actions toward these waypoints, weighted by exp(β (V(s', w) - V(s, w))) (eq. 7). Values of far goals,
    which are noisy, are only asked which of two distant states is nearer. ``planner=hiql`` acts by both; without it the low policy alone
    is told the goal.

    The paper's waypoints are learnt features of states; here they are goals, as in its version without them, so that any planner may
    set them. Other arguments and errors: as in `IVL`.
    """

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        subgoal_steps: int = 25,
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 256,
        discount: float = 0.99,
        lr: float = 3e-4,
        tau: float = 0.005,
        expectile: float = 0.7,
        inverse_temperature: float = 3.0,
        layer_norm: bool = False,
        reward_range: Sequence[float] | None = None,
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
            layer_norm=layer_norm,
            reward_range=reward_range,
        )
        require_all(self.name, subgoal_steps=subgoal_steps)
        self.subgoal_steps = subgoal_steps
        # Of unit deviation, so that its log density is the squared error of standardised goals.
        self.high = MLP([self.dim, *self.hidden, goal_dim], self.weights).to(device)
        optimizers = {"actor": Adam(lr, self.actor), "high": Adam(lr, self.high), "values": Adam(lr, self.values)}
        self.assemble(optimizers, actor=self.actor, high=self.high, values=self.values, target_values=self.target_values)

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the values and one of each policy; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        if batch.waypoints is None or batch.waypoint_inputs is None:
            raise UserError(f"{self.name} was given a minibatch without waypoints; expected those of {self.subgoal_steps} steps later")
        now, after = self.now_and_after(batch)
        metrics = self.learn_values(batch, now, after)

        near, nearer = self.rows(batch.inputs, batch.waypoints), self.rows(batch.next_inputs, batch.waypoints)
        log_prob = self.actor.log_prob(near, self.range.to_unit(batch.actions))
        loss, of_low = advantage_weighted_loss(log_prob, self.gain(near, nearer), self.inverse_temperature)
        self.learner.step("actor", loss)

        toward = self.toward_actor_goals(batch, now)
        later = self.rows(batch.waypoint_inputs, batch.goals if batch.actor_goals is None else batch.actor_goals)
        chosen = self.high(toward)
        log_prob = gaussian_log_prob(chosen, torch.zeros_like(chosen), near[:, -chosen.shape[1] :])
        loss, of_high = advantage_weighted_loss(log_prob, self.gain(toward, later), self.inverse_temperature)
        self.learner.step("high", loss)
        return self.finished(metrics | of_low | {f"high_{name}": value for name, value in of_high.items()})

    def subgoals(self, inputs: Floats, goals: Floats) -> Floats:
        """Return (n, k) what the high policy would aim at from inputs (n, i) on the way to goals (n, k)."""
        return in_chunks(lambda s, g: self.normalizer.goals_of(self.high(self.rows(s, g))), inputs, goals, ACT_ROWS, self.device)

    def acting(self) -> nn.Module:
        return nn.ModuleDict({"low": self.actor, "high": self.high})
