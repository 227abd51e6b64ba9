"""Double deep Q-learning for discrete actions (Mnih et al. 2015; van Hasselt et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from gcrl.agents.api import Batch, Floats, Metrics
from gcrl.agents.base import GoalAgent, Valued
from gcrl.agents.inference import ACT_ROWS, in_chunks
from gcrl.agents.losses import finite_check, td_loss, td_target
from gcrl.agents.networks import MLP
from gcrl.agents.spaces import number_of_actions
from gcrl.agents.targets import Polyak, frozen_copy, value_range
from representations.adam import Adam


class DQN(GoalAgent, Valued):
    """Goal-conditioned double DQN with ε-greedy exploration and a Huber loss.

    epsilon: the fraction of random actions when exploring. tau: Polyak step of the target network.
    n_step: as in `SAC`. reward_range: where rewards are known to lie, targets are clipped to what they can sum to.
    Raises `UserError` for an action space that is not Discrete and for hyperparameters out of range.
    """

    actor_goals = False

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
        tau: float = 0.05,
        epsilon: float = 0.2,
        reward_range: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            input_dim,
            goal_dim,
            seed=seed,
            device=device,
            hidden=hidden,
            batch_size=batch_size,
            discount=discount,
            n_step=n_step,
            lr=lr,
            tau=tau,
            epsilon=epsilon,
        )
        self.actions, self.first_action = number_of_actions(action_space, self.name)
        self.epsilon = epsilon
        self.bounds = value_range(self.name, reward_range, discount)
        self.actor = self.network = MLP([self.dim, *self.hidden, self.actions], self.weights).to(device)
        self.target_network = frozen_copy(self.network)
        self.targets = Polyak(tau, (self.target_network, self.network))
        self.assemble({"network": Adam(lr, self.network)}, network=self.network, target_network=self.target_network)

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None = None) -> NDArray[np.int64]:
        """Return (n,) int64 actions: the best by value, or ε-greedy where `explore` is given."""
        best: NDArray[np.int64] = in_chunks(self._values, inputs, goals, ACT_ROWS, self.device).argmax(-1)
        if explore is not None:
            best = np.array([self._explore(action, generator) for action, generator in zip(best, explore)], dtype=np.int64)
        return best + self.first_action

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step; metrics are 0-d tensors, ``finite`` is the loss."""
        now, after = self.now_and_after(batch)
        with torch.no_grad():
            chosen = self.network(after).argmax(-1, keepdim=True)
            next_values = self.target_network(after).gather(-1, chosen).squeeze(-1)
            target = td_target(batch.rewards, batch.terminated, next_values, self.next_discount(batch), self.bounds)
        taken = (batch.actions - self.first_action).unsqueeze(-1)
        loss, metrics = td_loss(self.network(now).gather(-1, taken).t(), target, huber=True)
        self.learner.step("network", loss)
        self.targets.step()
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}

    def _explore(self, best: int, generator: np.random.Generator) -> int:
        # Drawn whether used or not, so that a row's stream does not depend on what was drawn before.
        random = int(generator.integers(self.actions))
        return random if generator.random() < self.epsilon else int(best)

    def row_values(self, rows: Tensor) -> Tensor:
        values: Tensor = self.network(rows)
        return values.amax(-1)

    def _values(self, inputs: Tensor, goals: Tensor) -> Tensor:
        values: Tensor = self.network(self.normalizer(inputs, goals))
        return values
