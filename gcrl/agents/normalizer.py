"""Standardisation of what the networks see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.errors import UserError
from gcrl.agents.api import Floats

CLIP = 5.0  # standard deviations, as in HER (Andrychowicz et al. 2017, app. A)
SMALLEST_STD = 0.01  # an entry that hardly varied so far would otherwise saturate once it does


class Normalizer:
    """Maps inputs (n, i) and goals (n, k) to one standardised row (n, i + k), clipped to ±5; the identity (but for the clip) until set."""

    def __init__(self, input_dim: int, goal_dim: int, device: str) -> None:
        self.input_dim, self.goal_dim, self.device = input_dim, goal_dim, device
        self._load(np.zeros(input_dim + goal_dim, np.float32), np.ones(input_dim + goal_dim, np.float32))

    def __call__(self, inputs: Tensor, goals: Tensor) -> Tensor:
        rows = torch.cat([inputs, goals], dim=-1)
        # A product with the inverse and one addition: the mean is folded into the offset.
        return torch.addcmul(self._offset, rows, self._inverse).clamp_(-CLIP, CLIP)

    def set(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Standardise by these from now on: (i,), (i,), (k,), (k,); raises `UserError` for other shapes or values that are not finite."""
        self._load(np.concatenate([inputs_mean, goals_mean]), np.concatenate([inputs_std, goals_std]))

    def goals_of(self, standardised: Tensor) -> Tensor:
        """Return the goals (n, k) that standardised ones stand for."""
        goals = slice(self.input_dim, None)
        return (standardised - self._offset[goals]) / self._inverse[goals]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return mean and std, (i + k,) each."""
        return {"mean": self.mean.copy(), "std": self.std.copy()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned; raises `UserError` where it is missing or does not fit."""
        for name in ("mean", "std"):
            if name not in state:
                raise UserError(f"saved normalizer has no '{name}'; expected mean and std")
        self._load(np.asarray(state["mean"]), np.asarray(state["std"]))

    def _load(self, mean: NDArray[Any], std: NDArray[Any]) -> None:
        expected = (self.input_dim + self.goal_dim,)
        for name, values in (("mean", mean), ("std", std)):
            if values.shape != expected:
                parts = f"{self.input_dim} inputs, {self.goal_dim} goal parameters"
                raise UserError(f"normalizer {name} has shape {values.shape}; expected {expected}: {parts}")
            if not np.isfinite(values).all():
                raise UserError(f"normalizer {name} has {int((~np.isfinite(values)).sum())} values that are not finite; expected none")
        self.mean, self.std = mean.astype(np.float32), std.astype(np.float32)
        inverse = 1.0 / np.maximum(self.std.astype(np.float64), SMALLEST_STD)
        self._inverse = torch.as_tensor(inverse.astype(np.float32), device=self.device)
        self._offset = torch.as_tensor((-self.mean * inverse).astype(np.float32), device=self.device)
