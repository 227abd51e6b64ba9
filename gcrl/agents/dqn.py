"""Double deep Q-learning for discrete actions (Mnih et al. 2015; van Hasselt et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from gcrl.agents import state as states
from gcrl.agents.api import Batch, Floats, Metrics
from gcrl.agents.inference import ACT_ROWS, VALUE_ROWS, in_chunks
from gcrl.agents.losses import finite_check, td_loss, td_target
from gcrl.agents.networks import MLP
from gcrl.agents.normalizer import Normalizer
from gcrl.agents.spaces import hidden_sizes, number_of_actions, require
from gcrl.agents.targets import Polyak, frozen_copy, value_range


class DQN:
    """Goal-conditioned double DQN with ε-greedy exploration and a Huber loss.

    epsilon: the fraction of random actions when exploring. tau: Polyak step of the target network.
    reward_range: where rewards are known to lie, targets are clipped to what they can sum to.
    Raises `UserError` for an action space that is not Discrete and for hyperparameters out of range.
    """

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
        tau: float = 0.05,
        epsilon: float = 0.2,
        reward_range: Sequence[float] | None = None,
    ) -> None:
        hidden = hidden_sizes("DQN", hidden)
        for name, value, low, high in (
            ("batch_size", batch_size, 1, 1_000_000),
            ("discount", discount, 0.0, 0.99999),
            ("lr", lr, 1e-8, 1.0),
            ("tau", tau, 1e-6, 1.0),
            ("epsilon", epsilon, 0.0, 1.0),
        ):
            require("DQN", name, value, low, high)
        self.actions, self.first_action = number_of_actions(action_space, "DQN")
        self.batch_size, self.discount, self.epsilon, self.device = batch_size, discount, epsilon, device
        self.bounds = value_range("DQN", reward_range, discount)
        self.normalizer = Normalizer(input_dim, goal_dim, device)
        generator = torch.Generator().manual_seed(seed)
        self.network = MLP([input_dim + goal_dim, *hidden, self.actions], generator).to(device)
        self.target_network = frozen_copy(self.network)
        self.targets = Polyak(tau, (self.target_network, self.network))
        self.learner = states.Learner(
            "DQN",
            networks={"network": self.network, "target_network": self.target_network},
            optimizers={"network": states.adam(lr, self.network)},
            normalizer=self.normalizer,
            generator=generator,
        )

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None = None) -> NDArray[np.int64]:
        """Return (n,) int64 actions: the best by value, or ε-greedy where `explore` is given."""
        best: NDArray[np.int64] = in_chunks(self._values, inputs, goals, ACT_ROWS, self.device).argmax(-1)
        if explore is not None:
            best = np.array([self._explore(action, generator) for action, generator in zip(best, explore)], dtype=np.int64)
        return best + self.first_action

    def value(self, inputs: Floats, goals: Floats) -> Floats:
        """Return (n,) the best action's discounted return (reward units) toward each goal."""
        values: Floats = in_chunks(self._values, inputs, goals, VALUE_ROWS, self.device).max(-1)
        return values

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step; metrics are 0-d tensors, ``finite`` is the loss."""
        rows = len(batch.rewards)
        both = self.normalizer(torch.cat([batch.inputs, batch.next_inputs]), torch.cat([batch.goals, batch.goals]))
        now, after = both[:rows], both[rows:]
        with torch.no_grad():
            chosen = self.network(after).argmax(-1, keepdim=True)
            next_values = self.target_network(after).gather(-1, chosen).squeeze(-1)
            target = td_target(batch.rewards, batch.terminated, next_values, self.discount, self.bounds)
        taken = (batch.actions - self.first_action).unsqueeze(-1)
        loss, metrics = td_loss(self.network(now).gather(-1, taken).t(), target, huber=True)
        self.learner.step("network", loss)
        self.targets.step()
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}

    def set_normalizer(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Standardise network inputs from now on: (i,), (i,), (k,), (k,); raises `UserError` for other shapes."""
        self.normalizer.set(inputs_mean, inputs_std, goals_mean, goals_std)

    def actor_state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the network's weights and the normalizer, as flat numpy arrays."""
        return states.actor_state(self.network, self.normalizer)

    def load_actor_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Act like the agent whose `actor_state` this is; raises `UserError` where it does not fit."""
        states.load_actor_state(self.network, self.normalizer, state, "DQN")

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of networks, optimiser, normalizer, generator and counter."""
        return self.learner.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken; raises `UserError` for missing or altered parts."""
        self.learner.load(state)

    def _explore(self, best: int, generator: np.random.Generator) -> int:
        # Drawn whether used or not, so that a row's stream does not depend on what was drawn before.
        random = int(generator.integers(self.actions))
        return random if generator.random() < self.epsilon else int(best)

    def _values(self, inputs: Tensor, goals: Tensor) -> Tensor:
        values: Tensor = self.network(self.normalizer(inputs, goals))
        return values
