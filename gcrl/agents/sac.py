"""Soft actor-critic with an adapted temperature (Haarnoja et al. 2018, "Soft actor-critic algorithms and applications")."""

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
from gcrl.agents.losses import finite_check, sac_actor_loss, td_loss, td_target, temperature_loss
from gcrl.agents.networks import Critics, GaussianActor, Temperature
from gcrl.agents.normalizer import Normalizer
from gcrl.agents.spaces import ActionRange, hidden_sizes, require
from gcrl.agents.targets import Polyak, frozen_copy, value_range


class SAC:
    """Goal-conditioned soft actor-critic.

    hidden: widths of the layers of all networks. critics: members of the ensemble whose minimum is the target.
    tau: Polyak step of the target critics. temperature: initial entropy weight α; target_entropy: nats, default -(action dimensions).
    reward_range: where rewards are known to lie, targets are clipped to what they can sum to (no room for an entropy bonus above).
    Raises `UserError` for an action space that is not a bounded Box and for hyperparameters out of range.
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
        tau: float = 0.005,
        critics: int = 2,
        temperature: float = 0.1,
        target_entropy: float | None = None,
        reward_range: Sequence[float] | None = None,
    ) -> None:
        hidden = hidden_sizes("SAC", hidden)
        for name, value, low, high in (
            ("batch_size", batch_size, 1, 1_000_000),
            ("discount", discount, 0.0, 0.99999),
            ("lr", lr, 1e-8, 1.0),
            ("tau", tau, 1e-6, 1.0),
            ("critics", critics, 1, 100),
            ("temperature", temperature, 1e-6, 1e6),
        ):
            require("SAC", name, value, low, high)
        self.range = ActionRange(action_space, "SAC", device)
        self.batch_size, self.discount, self.device = batch_size, discount, device
        self.target_entropy = -float(self.range.dim) if target_entropy is None else target_entropy
        self.bounds = value_range("SAC", reward_range, discount)
        self.normalizer = Normalizer(input_dim, goal_dim, device)

        weights = torch.Generator().manual_seed(seed)
        dim = input_dim + goal_dim
        self.actor = GaussianActor(dim, self.range.dim, hidden, weights).to(device)
        self.critics = Critics(critics, dim + self.range.dim, hidden, weights).to(device)
        self.target_critics = frozen_copy(self.critics)
        self.targets = Polyak(tau, (self.target_critics, self.critics))
        self.temperature = Temperature(temperature).to(device)
        self.learner = states.Learner(
            "SAC",
            networks={
                "actor": self.actor,
                "critics": self.critics,
                "target_critics": self.target_critics,
                "temperature": self.temperature,
            },
            optimizers={"critics": states.adam(lr, self.critics), "actor": states.adam(lr, self.actor, self.temperature)},
            normalizer=self.normalizer,
            generator=torch.Generator(device).manual_seed(seed),
        )

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None = None) -> Floats:
        """Return (n, a) actions in the environment's range: samples, or tanh of the mean without `explore`; a NaN stays in its row."""
        if explore is None:
            return self.range.from_unit(in_chunks(self._mode, inputs, goals, ACT_ROWS, self.device))
        mean, log_std = np.split(in_chunks(self._moments, inputs, goals, ACT_ROWS, self.device), 2, axis=-1)
        noise = np.stack([generator.standard_normal(self.range.dim, dtype=np.float32) for generator in explore])
        return self.range.from_unit(np.tanh(mean + np.exp(log_std) * noise))

    def value(self, inputs: Floats, goals: Floats) -> Floats:
        """Return (n,) the least critic's discounted return (reward units, entropy bonus included) of the mean action toward each goal."""
        return in_chunks(self._value, inputs, goals, VALUE_ROWS, self.device)

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of critics, actor and temperature; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        rows = len(batch.rewards)
        both = self.normalizer(torch.cat([batch.inputs, batch.next_inputs]), torch.cat([batch.goals, batch.goals]))
        now, after = both[:rows], both[rows:]
        noise = torch.randn((2, rows, self.range.dim), generator=self.learner.generator, device=self.device)
        temperature = self.temperature.log.detach().exp()

        with torch.no_grad():
            next_actions, next_log_prob = self.actor.sample(after, noise[1])
            next_values = self.target_critics(torch.cat([after, next_actions], -1)).amin(0) - temperature * next_log_prob
            target = td_target(batch.rewards, batch.terminated, next_values, self.discount, self.bounds)
        values = self.critics(torch.cat([now, self.range.to_unit(batch.actions)], -1))
        loss, metrics = td_loss(values, target)
        self.learner.step("critics", loss)

        actions, log_prob = self.actor.sample(now, noise[0])
        actor_loss, of_actor = sac_actor_loss(self.critics(torch.cat([now, actions], -1), frozen=True), log_prob, temperature)
        entropy_loss, of_temperature = temperature_loss(self.temperature.log, log_prob, self.target_entropy)
        metrics |= of_actor | of_temperature
        # The two share no parameter, so one step down their sum is a step down each, for the price of one.
        self.learner.step("actor", actor_loss + entropy_loss)

        self.targets.step()
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}

    def set_normalizer(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Standardise network inputs from now on: (i,), (i,), (k,), (k,); raises `UserError` for other shapes."""
        self.normalizer.set(inputs_mean, inputs_std, goals_mean, goals_std)

    def actor_state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the actor's weights and the normalizer, as flat numpy arrays."""
        return states.actor_state(self.actor, self.normalizer)

    def load_actor_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Act like the agent whose `actor_state` this is; raises `UserError` where it does not fit."""
        states.load_actor_state(self.actor, self.normalizer, state, "SAC")

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of networks, optimisers, normalizer, generator and counter."""
        return self.learner.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken; raises `UserError` for missing or altered parts."""
        self.learner.load(state)

    def _moments(self, inputs: Tensor, goals: Tensor) -> Tensor:
        return torch.cat(self.actor(self.normalizer(inputs, goals)), -1)

    def _mode(self, inputs: Tensor, goals: Tensor) -> Tensor:
        mean: Tensor = self.actor(self.normalizer(inputs, goals))[0]
        return mean.tanh()

    def _value(self, inputs: Tensor, goals: Tensor) -> Tensor:
        rows = self.normalizer(inputs, goals)
        values: Tensor = self.critics(torch.cat([rows, self.actor(rows)[0].tanh()], -1))
        return values.amin(0)
