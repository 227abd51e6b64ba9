"""What agents have in common beside their losses: acting, checkpoints, the normaliser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from gcrl.agents import state as states
from gcrl.agents.api import Batch, Floats, Metrics
from gcrl.agents.inference import ACT_ROWS, VALUE_ROWS, in_chunks
from gcrl.agents.networks import Gaussian
from gcrl.agents.normalizer import Normalizer
from gcrl.agents.spaces import ActionRange, hidden_sizes, require_all
from representations.adam import Adam


class GoalAgent(ABC):
    """A learner around an ``actor``, the network that acting needs.

    A subclass makes its networks from ``self.weights``, then calls `assemble`; it writes ``act`` and ``update``, and is `Valued`
    where it has values.
    """

    actor: nn.Module

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        *,
        seed: int,
        device: str,
        hidden: Sequence[int],
        batch_size: int,
        discount: float = 0.0,
        n_step: int = 1,
        **ranged: float,
    ) -> None:
        self.name = type(self).__name__
        self.hidden = hidden_sizes(self.name, hidden)
        require_all(self.name, batch_size=batch_size, discount=discount, n_step=n_step, **ranged)
        self.batch_size, self.discount, self.n_step, self.device = batch_size, discount, n_step, device
        self.dim = input_dim + goal_dim
        self.normalizer = Normalizer(input_dim, goal_dim, device)
        self.weights = torch.Generator().manual_seed(seed)
        self.seed = seed

    def assemble(self, optimizers: Mapping[str, Adam], **networks: nn.Module) -> None:
        """Say what is learnt: all `networks` are saved with a checkpoint, each of `optimizers` steps under its name."""
        generator = torch.Generator().manual_seed(self.seed)
        self.learner = states.Learner(self.name, networks, dict(optimizers), self.normalizer, generator)

    @abstractmethod
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of each network, by `learner.step`, and return metrics."""

    def losses(self, batch: Batch) -> Metrics:
        """Return the metrics that `update` would, and learn nothing from `batch`: not a bit of the agent changes."""
        with self.learner.measured():
            return self.update(batch)

    def rows(self, inputs: Tensor, goals: Tensor) -> Tensor:
        """Return what the networks see of inputs (n, i) and goals (n, k): standardised, side by side, (n, i + k)."""
        return self.normalizer(inputs, goals)

    def acting(self) -> nn.Module:
        """Return all that acting needs but the normaliser."""
        return self.actor

    def now_and_after(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return standardised rows (B, i + k) before and after each transition, both with the batch's goals."""
        rows = len(batch.rewards)
        both = self.rows(torch.cat([batch.inputs, batch.next_inputs]), torch.cat([batch.goals, batch.goals]))
        return both[:rows], both[rows:]

    def next_discount(self, batch: Batch) -> float | Tensor:
        """Return what values after the batch's transitions count for: γ, or (B,) powers of it where returns span several steps."""
        return self.discount if batch.discounts is None else batch.discounts

    def toward_actor_goals(self, batch: Batch, now: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Return standardised rows (B, i + k) with the goals that the policy is improved toward; `now` where those are the batch's goals.

        inputs: (B, i), by default those before each transition.
        """
        if batch.actor_goals is None:
            return now
        return self.rows(batch.inputs if inputs is None else inputs, batch.actor_goals)

    def set_normalizer(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Standardise network inputs from now on: (i,), (i,), (k,), (k,); raises `UserError` for other shapes."""
        self.normalizer.set(inputs_mean, inputs_std, goals_mean, goals_std)

    def actor_state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the actor's weights and the normalizer, as flat numpy arrays."""
        return states.actor_state(self.acting(), self.normalizer)

    def load_actor_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Act like the agent whose `actor_state` this is; raises `UserError` where it does not fit."""
        states.load_actor_state(self.acting(), self.normalizer, state, self.name)

    def value_state(self) -> dict[str, Any]:
        """Return a copy of all networks but targets: what `Valued.value` needs beside `actor_state`."""
        return {name: states.network_state(network) for name, network in self._valuing().items()}

    def load_value_state(self, state: Mapping[str, Any]) -> None:
        """Value like the agent whose `value_state` this is; raises `UserError` where it does not fit."""
        for name, network in self._valuing().items():
            states.load_network(network, states.part(state, name, self.name), f"{self.name} {name}")

    def _valuing(self) -> dict[str, nn.Module]:
        return {name: network for name, network in self.learner.networks.items() if not name.startswith("target")}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of networks, optimisers, normalizer, generator and counter."""
        return self.learner.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken; raises `UserError` for missing or altered parts."""
        self.learner.load(state)


class Valued(ABC):
    """The capability of an agent to tell what it expects."""

    device: str

    @abstractmethod
    def rows(self, inputs: Tensor, goals: Tensor) -> Tensor:
        """Return what the networks see of inputs (n, i) and goals (n, k); `GoalAgent` has it."""

    def value(self, inputs: Floats, goals: Floats) -> Floats:
        """Return (n,) the discounted return (reward units) that the agent expects of its deterministic policy toward each goal."""
        return in_chunks(lambda s, g: self.row_values(self.rows(s, g)), inputs, goals, VALUE_ROWS, self.device)

    @abstractmethod
    def row_values(self, rows: Tensor) -> Tensor:
        """Return (n,) values of standardised rows (n, i + k)."""


class Ensemble(Valued):
    """An agent whose values are several opinions: their least is its value, their disagreement can be asked for."""

    @abstractmethod
    def member_values(self, rows: Tensor) -> Tensor:
        """Return (m, n) values of standardised rows (n, i + k), one row per member."""

    @abstractmethod
    def members(self) -> int:
        """Return m."""

    @property
    def value_spread(self) -> Callable[[Floats, Floats], Floats] | None:
        """`inputs (n, i), goals (n, k) -> (n,)`: the standard deviation over the ensemble, in the units of `value`; None for one member."""
        return self._spread if self.members() > 1 else None

    def row_values(self, rows: Tensor) -> Tensor:
        return self.member_values(rows).amin(0)

    def _spread(self, inputs: Floats, goals: Floats) -> Floats:
        spread = lambda s, g: self.member_values(self.rows(s, g)).std(0, correction=0)  # noqa: E731
        return in_chunks(spread, inputs, goals, VALUE_ROWS, self.device)


class GaussianAgent(GoalAgent):
    """An agent that acts by a Gaussian policy on a bounded Box: samples of it to explore, else its mode.

    exploration: what samples' deviations are multiplied by. A policy that clones several ways of doing a thing takes them for noise,
    and samples of all of it may do none.
    """

    actor: Gaussian

    def __init__(
        self, input_dim: int, goal_dim: int, action_space: spaces.Space[Any], *, device: str, exploration: float = 1.0, **shared: Any
    ) -> None:
        super().__init__(input_dim, goal_dim, device=device, exploration=exploration, **shared)
        self.exploration = exploration
        self.range = ActionRange(action_space, self.name, device)

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None = None) -> Floats:
        """Return (n, a) actions in the environment's range: samples, or the mode without `explore`; a NaN stays in its row."""
        if explore is None:
            return self.range.from_unit(in_chunks(self._mode, inputs, goals, ACT_ROWS, self.device))
        mean, log_std = np.split(in_chunks(self._moments, inputs, goals, ACT_ROWS, self.device), 2, axis=-1)
        noise = np.stack([generator.standard_normal(self.range.dim, dtype=np.float32) for generator in explore])
        return self.range.from_unit(self.gaussian.squash(mean + np.float32(self.exploration) * np.exp(log_std) * noise))

    @property
    def gaussian(self) -> Gaussian:
        """The policy that acts."""
        return self.actor

    def _moments(self, inputs: Tensor, goals: Tensor) -> Tensor:
        return torch.cat(self.gaussian(self.rows(inputs, goals)), -1)

    def _mode(self, inputs: Tensor, goals: Tensor) -> Tensor:
        return self.gaussian.mode(self.rows(inputs, goals))
