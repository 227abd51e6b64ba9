"""The contract of an agent: what it is given, what it returns, what it can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Metrics = dict[str, Any]  # name -> float or 0-d tensor; converted only when logged


@dataclass
class Batch:
    """A relabelled minibatch of B transitions, on the learner's device.

    inputs, next_inputs: (B, i). actions: (B, a) float, or (B,) int64 for discrete actions. rewards, terminated: (B,) float32.
    goals: (B, k). actor_goals: (B, k), what the policy is improved toward where that differs from what values are learnt for, as in
    OGBench; None: `goals`. discounts: (B,), what values of the next inputs count for where `rewards` are sums over several steps
    and `next_inputs` come after them (n-step returns); None: the agent's discount. waypoints (B, k), waypoint_inputs (B, i): where the
    episode stood the agent's ``subgoal_steps`` later, on the way to `actor_goals` no later than there, as a goal and as inputs; None for
    agents that name no such number. demos: the number of
    rows, the first ones, that come from a dataset rather than from practice.
    """

    inputs: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    next_inputs: torch.Tensor
    terminated: torch.Tensor
    goals: torch.Tensor
    actor_goals: torch.Tensor | None = None
    discounts: torch.Tensor | None = None
    waypoints: torch.Tensor | None = None
    waypoint_inputs: torch.Tensor | None = None
    demos: int = field(default=0, kw_only=True)


@runtime_checkable
class Agent(Protocol):
    """A goal-conditioned agent. Constructed as ``Agent(input_dim, goal_dim, action_space, seed=, device=, **hyperparameters)``.

    Optional, found by ``hasattr``: ``value(inputs, goals) -> (n,)``, ``value_spread`` (the same of the disagreement of critics, or None);
    ``value_state()``/``load_value_state(state)``, what it takes in another process, for planners that ask for values there;
    ``losses(batch) -> metrics`` of held-out rows, with no bit of the agent changed; ``n_step``, the steps that `rewards` should sum;
    ``relabels``, the only fractions of ``relabel`` that it can learn from, or with ``policy_alone`` of ``actor_goals`` where those are
    given; ``actor_goals``, false where the batch's are not looked at; ``latent_first``, true where inputs must begin with the latent;
    ``largest_value``, what |values| may honestly come to where they are no sums of rewards; ``subgoals(inputs, goals) -> (n, k)``, what it
    would aim at on the way, and ``subgoal_steps``, how far ahead that lies.
    """

    batch_size: int

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None) -> NDArray[Any]:
        """Return (n, a) actions (or (n,) int64) in the environment's range; `explore` holds one generator per row, None: deterministic."""
        ...

    def update(self, batch: Batch) -> Metrics: ...

    def set_normalizer(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Standardise network inputs from now on: (i,), (i,), (k,), (k,)."""
        ...

    def actor_state(self) -> dict[str, NDArray[Any]]:
        """Return all that ``act`` needs, as flat numpy arrays (for the collector)."""
        ...

    def load_actor_state(self, state: Mapping[str, NDArray[Any]]) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
