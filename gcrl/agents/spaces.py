"""Checks of what an agent is constructed with, and the map between an environment's action range and [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from envs.errors import UserError
from gcrl.agents.api import Floats

# Lowest and highest values of hyperparameters, by the name that they have in every agent.
RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, 1_000_000),
    "discount": (0.0, 0.99999),
    "lr": (1e-8, 1.0),
    "tau": (1e-6, 1.0),
    "n_step": (1, 100),
    "critics": (1, 100),
    "average": (0.0, 0.99999),
    "temperature": (1e-6, 1e6),
    "policy_delay": (1, 1000),
    "target_noise": (0.0, 10.0),
    "target_noise_clip": (0.0, 10.0),
    "exploration": (0.0, 10.0),
    "exploration_noise": (0.0, 10.0),
    "random_actions": (0.0, 1.0),
    "action_l2": (0.0, 1e6),
    "epsilon": (0.0, 1.0),
    "expectile": (0.5, 0.999),
    "inverse_temperature": (0.0, 1e4),
    "clone_weight": (0.0, 1e4),
    "multiplier": (1e-6, 1e6),
    "slack": (0.0, 1e6),
    "far": (1e-3, 1e9),
    "target_entropy": (-1e6, 1e6),
    "bc_weight": (0.0, 1e6),
    "shift": (0, 100),
    "maps": (1, 1024),
    "features": (1, 10_000),
    "latent": (1, 100_000),
    "subgoal_steps": (1, 100_000),
}


class ActionRange:
    """The affine map between actions in [low, high] (the environment's) and in [-1, 1] (the networks'), both (..., a).

    Raises `UserError` for a space that is not a bounded, one-dimensional Box; `owner` names the agent in the message.
    """

    def __init__(self, space: spaces.Space[Any], owner: str, device: str = "cpu") -> None:
        if not isinstance(space, spaces.Box):
            hint = " (did you mean agent=dqn?)" if isinstance(space, spaces.Discrete) else ""
            raise UserError(f"{owner} was given action space {space}; expected a bounded Box of one dimension{hint}")
        if len(space.shape) != 1 or not space.is_bounded("both"):
            raise UserError(f"{owner} was given action space {space}; expected a bounded Box of one dimension")
        self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.dim = int(space.shape[0])
        self.half, self.centre = (self.high - self.low) / 2, (self.high + self.low) / 2
        self._scale = torch.as_tensor(1.0 / self.half, device=device)
        self._shift = torch.as_tensor(-self.centre / self.half, device=device)

    def to_unit(self, actions: Tensor) -> Tensor:
        return torch.addcmul(self._shift, actions, self._scale)

    def from_unit(self, unit: NDArray[Any]) -> Floats:
        """Return actions (n, a) that rounding cannot carry outside of the range; NaN stays NaN."""
        actions: Floats = np.clip(unit * self.half + self.centre, self.low, self.high).astype(np.float32, copy=False)
        return actions


def require(owner: str, name: str, value: float, low: float, high: float) -> None:
    """Raise `UserError` unless `value`, a number, lies in [low, high]; the message names the nearest value that does."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        nearest = f"; nearest valid: {min(max(value, low), high)}" if number and value == value else ""
        raise UserError(f"{owner} {name}={value!r} is out of range; expected a number in [{low}, {high}]{nearest}")


def require_all(owner: str, **values: float) -> None:
    """Raise `UserError` unless each hyperparameter lies in its range of `RANGES`."""
    for name, value in values.items():
        require(owner, name, value, *RANGES[name])


def hidden_sizes(owner: str, hidden: Sequence[int]) -> tuple[int, ...]:
    """Return layer widths as a tuple; raises `UserError` unless they are positive integers."""
    sizes = tuple(hidden) if isinstance(hidden, Sequence) and not isinstance(hidden, str) else ()
    if not sizes or any(not isinstance(size, int) or isinstance(size, bool) or size < 1 for size in sizes):
        raise UserError(f"{owner} hidden={hidden!r}; expected a list of positive layer widths such as [256, 256]")
    return sizes


def number_of_actions(space: spaces.Space[Any], owner: str) -> tuple[int, int]:
    """Return the number of discrete actions and the first one; raises `UserError` for a space that is not Discrete."""
    if not isinstance(space, spaces.Discrete):
        hint = " (did you mean agent=sac?)" if isinstance(space, spaces.Box) else ""
        raise UserError(f"{owner} was given action space {space}; expected a Discrete one{hint}")
    return int(space.n), int(space.start)
